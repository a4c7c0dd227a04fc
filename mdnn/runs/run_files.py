"""Reads and writes the files of a run folder: format, config, words and weights."""

import json
from pathlib import Path

import mdnn
from mdnn.config.growing import stage_configs
from mdnn.config.load import RUN, load_config
from mdnn.errors import MdnnError
from mdnn.files import read_small_text, write_text
from mdnn.runs.quantization import packed_dtype, unpack_weights
from mdnn.runs.safetensors_io import StoredArrays, assign, opened, spec_of, write_arrays
from mdnn.safety.saved_model_ops import is_saved_model
from mdnn.strict_json import MAX_JSON_BYTES, read_json

CONFIG, WEIGHTS, WORDS = "config.toml", "model.safetensors", "words.json"
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
"""Files of the tokenizer of subwords, as the package `tokenizers` and Hugging Face name them."""
ABOUT = RUN
STAGE = "stage"
"""Metadata key of a weights file: the number of `[[train.stage]]` tables in force."""
FILES = (CONFIG, ABOUT, WEIGHTS, WORDS, TOKENIZER, TOKENIZER_CONFIG)
"""All that `write_run` writes."""
FORMAT = 1
"""The format version of written run folders, and the newest that can be read."""


def write_run(path, config, words, model, stage=0):
    """Writes config, words and weights into a run folder, the weights last.

    The weights file says to which stage of `config` it belongs, so that a process that is killed in
    between leaves no config of another network.

    Args:
        path: the run folder.
        config: `mdnn.Config`.
        words: the words or tokenizer files of the network, see `mdnn.build`.
        model: the network.
        stage: int, the number of `[[train.stage]]` tables in force.
    """
    write_about(path, config, words)
    about = {STAGE: str(stage)} if stage else None
    write_arrays(Path(path) / WEIGHTS, {weight.path: weight for weight in model.weights}, about)


def is_exported(path):
    """Returns whether a folder holds a SavedModel and no run."""
    return not (Path(path) / CONFIG).exists() and is_saved_model(path)


def check_format(path):
    """Refuses a run folder of a newer format; a folder without `run.json` is accepted.

    Raises:
        MdnnError: the format is newer, or `run.json` does not contain it.
    """
    file = Path(path) / ABOUT
    if not file.exists():
        return
    about = read_json(file, most=1 << 16)
    form = about.get("format") if isinstance(about, dict) else None
    if not isinstance(form, int) or isinstance(form, bool) or form < 0:
        raise MdnnError(f"{file}: expected a number as its format, received {str(form)[:40]!r}")
    if form > FORMAT:
        raise MdnnError(
            f"{path} is a run folder of form {form}, made by mdnn {str(about.get('mdnn'))[:40]}; "
            f"this one, {mdnn.__version__}, reads forms up to {FORMAT}: install a newer mdnn"
        )


def write_about(path, config, words):
    """Writes the format, config and words of a run.

    Args:
        path, config, words: see `write_run`.
    """
    about = {"format": FORMAT, "mdnn": mdnn.__version__}
    write_text(Path(path) / CONFIG, config.to_toml())
    write_text(Path(path) / ABOUT, json.dumps(about) + "\n")
    if config.tokens.subwords:
        for name, text in zip((TOKENIZER, TOKENIZER_CONFIG), words, strict=False):
            write_text(Path(path) / name, text)
    elif words:
        write_text(Path(path) / WORDS, json.dumps(list(words), ensure_ascii=False))


def read_config(path):
    """Returns the config of a run folder: that of the stage its weights file belongs to.

    Args:
        path: `Path` of the run folder.

    Raises:
        MdnnError: the config is wrong, or the weights file names a stage that it does not have.
    """
    config, file = load_config(path / CONFIG), path / WEIGHTS
    if not config.train.stage:
        return config
    with opened(file) as weights:
        stage = (weights.metadata() or {}).get(STAGE, "0")
    configs = stage_configs(config)
    if not stage.isdecimal() or int(stage) >= len(configs):
        raise MdnnError(f"{file}: expected a stage below {len(configs)}, received {stage[:20]!r}")
    return configs[int(stage)]


def read_vocabulary(path, tokens):
    """Returns the vocabulary of a run folder, a tuple of strings.

    Args:
        path: the run folder.
        tokens: the table `tokens` of its config.

    Returns:
        The table of words; with `tokens.subwords` the texts of tokenizer.json and
        tokenizer_config.json; empty for a vocabulary of characters.
    """
    if tokens.subwords:
        texts = [read_small_text(path / TOKENIZER, MAX_JSON_BYTES)]
        about = path / TOKENIZER_CONFIG
        texts.append(read_small_text(about, MAX_JSON_BYTES) if about.exists() else "{}")
        return tuple(texts)
    return read_words(path) if tokens.words else ()


def read_words(path):
    """Returns the table of words of a run folder."""
    words = read_json(path / WORDS)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise MdnnError(f"{path / WORDS}: expected a list of strings")
    # JSON can contain unpaired surrogates.
    if "".join(words).encode("utf-8", "replace") != "".join(words).encode("utf-8", "surrogatepass"):
        raise MdnnError(f"{path / WORDS}: expected strings of Unicode characters")
    return tuple(words)


def weights_dtype(path):
    """Returns the storage format of a run folder's weights, such as `"float32"` or `"int8"`.

    Args:
        path: the run folder; only the header of its weights file is read.
    """
    with opened(Path(path) / WEIGHTS) as file:
        return packed_dtype(file.metadata() or {})


def read_weights(variables, path):
    """Reads a safetensors file into variables of the same names, shapes and dtypes.

    Quantized weights (see `mdnn.runs.quantization`) are expanded to float32. Shapes in the file are
    compared with the variables before anything is allocated.
    """
    expected = spec_of({variable.path: variable for variable in variables})
    with opened(path) as file:
        small = packed_dtype(file.metadata() or {}) != "float32"
    with StoredArrays(path, None if small else expected) as arrays:
        values = unpack_weights(dict(arrays), arrays.about, path, expected) if small else arrays
        assign(variables, values, path)
