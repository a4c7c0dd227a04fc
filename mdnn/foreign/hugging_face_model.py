"""Reads a Hugging Face folder of a LLaMA network: config.json, *.safetensors, tokenizer.json."""

import json
from pathlib import Path

import numpy as np

from mdnn.errors import MdnnError, shown
from mdnn.files import read_small_text
from mdnn.foreign.gguf_weights import check_matrix
from mdnn.foreign.llama_shape import LlamaShape
from mdnn.foreign.stored_rows import StoredRows
from mdnn.runs.run_files import TOKENIZER, TOKENIZER_CONFIG
from mdnn.runs.safetensors_io import opened
from mdnn.strict_json import MAX_JSON_BYTES, parse_json, read_json
from mdnn.tokens.subwords.tokenizer_json import read_tokenizer

_NAMES = {
    "attention_norm": "input_layernorm",
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "result": "self_attn.o_proj",
    "hidden_norm": "post_attention_layernorm",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}
_TOP = {"embedding": "model.embed_tokens", "norm": "model.norm", "head": "lm_head"}
_DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
MAX_HEADER = 1 << 27


class _Place:
    """Location of a tensor: file, type, shape and first byte."""

    def __init__(self, path, dtype, shape, start):
        self.path, self.dtype, self.shape, self.start = path, dtype, shape, start


class HuggingFaceModel:
    """A Hugging Face folder with the methods that `mdnn.foreign.import_run` needs.

    Args:
        path: `pathlib.Path` of the folder.

    Attributes:
        shape: `LlamaShape`.
        vocabulary: tuple of the texts of tokenizer.json and tokenizer_config.json.

    Raises:
        MdnnError: a file is missing or damaged, or the network is unknown.
    """

    def __init__(self, path):
        self.path = Path(path)
        config = read_json(self.path / "config.json", 1 << 20)
        if not isinstance(config, dict):
            raise MdnnError(f"{self.path / 'config.json'}: expected an object")
        self.shape = self._shape(config).check(self.path / "config.json")
        self.places = {}
        files = sorted(self.path.glob("*.safetensors"))
        if not files:
            raise MdnnError(f"{path}: expected weights in *.safetensors, there are none")
        for file in files:
            self.places |= _places(file)
        names = {self._name(name): shape for name, shape in self.shape.matrices().items()}
        ignored = {"lm_head.weight"} if self.shape.tied else set()
        others = {name for name in self.places if name.endswith("rotary_emb.inv_freq")}
        if unknown := sorted(set(self.places) - set(names) - ignored - others):
            raise MdnnError(
                f"{path}: a network with the tensor {shown(unknown[0])} is not known to mdnn"
            )
        for name, shape in names.items():
            check_matrix(name, self.places.get(name), shape, path)
        self.vocabulary = self._vocabulary()

    def _shape(self, config):
        where = self.path / "config.json"
        if config.get("model_type") != "llama":
            raise MdnnError(
                f"{where}: unknown model_type {shown(config.get('model_type'))}; known: llama"
            )
        for name, known in (("hidden_act", "silu"), ("attention_bias", False), ("mlp_bias", False)):
            if config.get(name, known) not in (known, None):
                raise MdnnError(f"{where}: unknown {name} {shown(config[name])}; known: {known}")
        rotary = config.get("rope_parameters") or config.get("rope_scaling") or {}
        kind = rotary.get("rope_type", rotary.get("type", "default"))
        if kind != "default":
            raise MdnnError(f"{where}: unknown rope_scaling {shown(kind)}; known: default")
        width, heads = config.get("hidden_size"), config.get("num_attention_heads")
        size = config.get("head_dim")
        if size is not None and size * (heads or 0) != width:
            raise MdnnError(f"{where}: expected head_dim = hidden_size / heads, received {size}")
        return LlamaShape(
            vocabulary=config.get("vocab_size"),
            width=width,
            hidden=config.get("intermediate_size"),
            blocks=config.get("num_hidden_layers"),
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            context=config.get("max_position_embeddings"),
            rotary_base=rotary.get("rope_theta", config.get("rope_theta", 10_000.0)),
            epsilon=config.get("rms_norm_eps", 1e-6),
            tied=config.get("tie_word_embeddings", False) is True,
        )

    def _vocabulary(self):
        file = self.path / TOKENIZER
        if not file.is_file():
            raise MdnnError(f"{self.path}: expected its tokenizer in {TOKENIZER}, there is no file")
        text = read_small_text(file, MAX_JSON_BYTES)
        read_tokenizer(text, file)
        about = {}
        if (self.path / TOKENIZER_CONFIG).is_file():
            about = parse_json(
                read_small_text(self.path / TOKENIZER_CONFIG, MAX_JSON_BYTES), TOKENIZER_CONFIG
            )
        about = about if isinstance(about, dict) else {}
        names = ("bos_token", "eos_token", "chat_template")
        kept = {name: about[name] for name in names if about.get(name)}
        return text, json.dumps(kept, ensure_ascii=False)

    @staticmethod
    def _name(name):
        block, _, name = name.rpartition(".")
        return f"model.layers.{block}.{_NAMES[name]}.weight" if block else f"{_TOP[name]}.weight"

    def rows(self, name):
        """Reads a weight; see `mdnn.foreign.gguf_model.GgufModel.rows`."""
        place = self.places[self._name(name)]
        rows, columns = (1, *place.shape)[-2:]
        count = rows * columns
        values = np.fromfile(place.path, _DTYPES[place.dtype], count, offset=place.start)
        if place.dtype == "BF16":
            values = (values.astype("uint32") << 16).view("float32")
        dtype = "float16" if place.dtype == "F16" else "float32"
        return StoredRows(dtype, columns, values.reshape(rows, columns))


def _places(path):
    """Returns the locations of a file's tensors, after the checks of the safetensors library."""
    found = {}
    with opened(path), open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER:
            raise MdnnError(f"{path}: expected a header of at most {MAX_HEADER:,} bytes")
        header = parse_json(file.read(length).decode("utf-8", "replace"), path)
    for name, about in header.items():
        if name == "__metadata__":
            continue
        if about["dtype"] not in _DTYPES:
            raise MdnnError(
                f"{path}: tensor {shown(name)}: unknown type {shown(about['dtype'])}; known: "
                f"{', '.join(_DTYPES)}"
            )
        start = 8 + length + about["data_offsets"][0]
        found[name] = _Place(path, about["dtype"], tuple(about["shape"]), start)
    return found
