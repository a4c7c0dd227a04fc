"""Makes a run folder from the weights of another project."""

import json
from pathlib import Path

import numpy as np

from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.files import check_new_folder, making
from mdnn.foreign.gguf_model import GgufModel
from mdnn.foreign.hugging_face_model import HuggingFaceModel
from mdnn.foreign.llama2c_model import Llama2cModel
from mdnn.foreign.stored_rows import joined_rows
from mdnn.runs.quantization import Stored, check_dtype, pack_weights, stored_about
from mdnn.runs.run_files import WEIGHTS, write_about
from mdnn.runs.safetensors_io import write_arrays
from mdnn.tokens.subwords.subword_tokenizer import SubwordTokenizer

FLOAT = "float32"


def import_weights(path, out, context=None, to=None, tokenizer=None, progress=None):
    """Makes a run folder from a GGUF file, a Hugging Face folder or a file of llama2.c.

    The network is of the LLaMA family: grouped-query attention with rotary positions, RMS norms and
    SwiGLU, over subwords. The run can be used as any other. Weights stay as they are stored: 4-bit
    codes of Q4_0, Q4_1 and Q4_K and 8-bit ones of Q8_0 and Q6_K are copied with their scales,
    halves stay halves, BF16 becomes float32.

    Args:
        path: the file or folder.
        out: the run folder to make.
        context: int, positions of the network's context; `None` for its own, at most 2,048.
            Caches take memory for all of them.
        to: `"float32"`, `"float16"`, `"int8"` or `"int4"` for weights stored in another way;
            `None`: as they are.
        tokenizer: path of the tokenizer of a file of llama2.c; `None`: beside it.
        progress: function called with the completed fraction, 0 to 1.

    Returns:
        Dict of `run` (the folder), `parameters`, `dtype`, `bytes` (of the weights file), `blocks`,
        `width`, `vocabulary` and `context`.

    Raises:
        MdnnError: a damaged file, or an architecture, tensor type or tokenizer that is not known,
            which is named; `out` is not empty.

    Example:

    >>> mdnn.import_weights("SmolLM2-135M-Instruct.Q4_1.gguf", "runs/smollm2")["parameters"]
    134564288
    """
    path, out = as_path(path, "path"), as_path(out, "out")
    if to is not None and to != FLOAT:
        check_dtype(to)
    check_new_folder(out)
    model = open_foreign(path, tokenizer)
    if context is not None and not 1 <= context <= model.shape.context:
        raise MdnnError(
            f"context: expected 1 to {model.shape.context:,}, the positions that the network was "
            f"trained with, received {context}"
        )
    config = model.shape.config(context)
    SubwordTokenizer(model.vocabulary, model.shape.vocabulary)
    arrays, about = stored_arrays(model, to, progress or (lambda part: None))
    with making(out) as part:
        write_about(part, config, model.vocabulary)
        write_arrays(part / WEIGHTS, arrays, about)
        size = (part / WEIGHTS).stat().st_size
    return {
        "run": str(out),
        "parameters": model.shape.parameters,
        "dtype": about.get("dtype", FLOAT),
        "bytes": size,
        "blocks": model.shape.blocks,
        "width": model.shape.width,
        "vocabulary": model.shape.vocabulary,
        "context": config.context.positions,
    }


def open_foreign(path, tokenizer=None):
    """Opens the weights of another project; selects the reader by the contents of the path.

    Args:
        path: a path.
        tokenizer: see `import_weights`.

    Returns:
        `GgufModel`, `HuggingFaceModel` or `Llama2cModel`.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise MdnnError(f"{path}: expected a Hugging Face folder with config.json")
        return HuggingFaceModel(path)
    if not path.is_file():
        raise MdnnError(f"{path}: expected a GGUF file, a file of llama2.c or a folder")
    with open(path, "rb") as file:
        start = file.read(4)
    return GgufModel(path) if start == b"GGUF" else Llama2cModel(path, tokenizer)


def weight_names(shape):
    """Returns a dict from paths of the network's weights to the foreign weights they are made of.

    Args:
        shape: `mdnn.foreign.llama_shape.LlamaShape`.

    Returns:
        Dict from paths to tuples of names of `LlamaShape.matrices`.
    """
    found = {"embedding/subword_byte_1": ("embedding",), "final_norm/scale": ("norm",)}
    if not shape.tied:
        found["heads/subword_byte_1_kernel"] = ("head",)
    for n in range(shape.blocks):
        mix, hidden = f"block_{n}_mix", f"block_{n}_feedforward"
        found[f"{mix}/norm/scale"] = (f"{n}.attention_norm",)
        for name in ("query", "key", "value", "result"):
            found[f"{mix}/mixer_0_0/{name}/kernel"] = (f"{n}.{name}",)
        found[f"{hidden}/norm/scale"] = (f"{n}.hidden_norm",)
        found[f"{hidden}/dense_in/kernel"] = (f"{n}.gate", f"{n}.up")
        found[f"{hidden}/dense_out/kernel"] = (f"{n}.down",)
    return found


def stored_arrays(model, to, progress):
    """Returns the arrays and metadata of the weights file.

    Args:
        model: see `open_foreign`.
        to, progress: see `import_weights`.
    """
    arrays, stored = {}, {}
    names = weight_names(model.shape)
    for done, (path, parts) in enumerate(names.items()):
        progress(done / len(names))
        rows = joined_rows([model.rows(name) for name in parts])
        values = rows.values() if rows.scales is None or to is not None else None
        if values is not None and not np.isfinite(values).all():
            raise MdnnError(f"{model.path}: {parts[0]!r} holds values that are not finite")
        if path.endswith("/scale"):
            arrays[path] = rows.values()[0]
            continue
        turned = path.endswith("kernel")
        if to is not None or rows.dtype == FLOAT:
            values = np.ascontiguousarray(values.T) if turned else values
            if to in (None, FLOAT):
                arrays[path] = values
                continue
            packed, about = pack_weights({path: values}, to)
            arrays |= packed
            stored |= json.loads(about["stored"])
            continue
        shape = rows.shape[::-1] if turned else rows.shape
        own, more = _packed(path, rows, shape, turned)
        arrays |= own
        stored[path] = more
    bias = np.zeros(model.shape.vocabulary, FLOAT)
    arrays["heads/subword_byte_1_bias"] = bias
    return arrays, stored_about(stored)


def _packed(path, rows, shape, turned):
    """Returns the arrays of stored rows and their entry in the metadata."""
    for scales in (rows.scales, rows.offsets):
        if scales is not None and not np.isfinite(scales).all():
            raise MdnnError(f"{path}: the scales are not all finite")
    if rows.scales is None:
        codes = np.ascontiguousarray(rows.codes.T) if turned else rows.codes
        return {path: codes}, Stored(rows.dtype, shape).to_dict()
    codes = rows.codes.reshape(-1, rows.codes.shape[-1])
    found = {path: codes, f"{path}:scales": rows.scales.reshape(-1)}
    if rows.offsets is not None:
        found[f"{path}:offsets"] = rows.offsets.reshape(-1)
    wide = rows.scales.dtype == np.float32
    return found, Stored(rows.dtype, shape, turned, rows.offsets is not None, wide).to_dict()
