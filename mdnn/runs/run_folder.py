"""Run folders: the config, the weights and the words of a trained network."""

import collections
import dataclasses
import functools
import json
import threading
import weakref
from pathlib import Path

import keras

import mdnn
from mdnn.config.growing import stage_configs
from mdnn.config.load import Config, load_config
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.files import check_new_folder, write_text
from mdnn.models.builder import build
from mdnn.models.network import Network
from mdnn.models.parameter_limit import TooLargeError
from mdnn.runs.quantization import packed_dtype, unpack
from mdnn.runs.safetensors_io import assign, named, opened, read_arrays, spec_of, write_arrays
from mdnn.strict_json import read_json
from mdnn.tokens.characters import TextTokenizer
from mdnn.tokens.item_tokenizer import ItemTokenizer
from mdnn.tokens.items import RANKS

CONFIG, WEIGHTS, WORDS = "config.toml", "model.safetensors", "words.json"
ITEMS, ABOUT = "item_statistics.json", "run.json"
STAGE = "stage"
"""Metadata key of a weights file: the number of `[[train.stage]]` tables in force."""
FORMAT = 1
"""The format version of written run folders, and the newest that can be read."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained network with its config and tokenizers.

    Args:
        path: `Path` of the run folder; `None` for a network that exists only in memory.
        config: `Config` that it was trained with.
        words: tuple of strings, its table of words; empty for a vocabulary of characters.
    """

    path: Path | None
    config: Config
    words: tuple[str, ...] = ()

    @functools.cached_property
    def model(self):
        """The network with its weights."""
        file = self.path / WEIGHTS
        # Open the file first, so that its size is that of a valid file. A weight takes at least
        # half a byte.
        with opened(file):
            most = 2 * file.stat().st_size
        try:
            model = build(self.config, self.words, most=most)
        except TooLargeError as error:
            if most >= self.config.limits.parameters:
                raise
            raise MdnnError(f"{file} holds fewer weights than {CONFIG} asks for: {error}") from None
        read_weights(model.weights, self.path / WEIGHTS)
        return model

    @functools.cached_property
    def dtype(self):
        """The storage format of its weights: `"float32"`, `"float16"`, `"int8"` or `"int4"`."""
        return weights_dtype(self.path)

    @functools.cached_property
    def tokenizer(self):
        """The tokenizer of texts."""
        return TextTokenizer(self.words)

    @functools.cached_property
    def item_tokenizer(self):
        """The tokenizer of items."""
        return ItemTokenizer(self.words, self.config.tokens.sample_rate)

    @functools.cached_property
    def item_statistics(self):
        """Statistics of the items that the network was trained on, a dict (layout "items").

        `longest`: dict from modalities to the number of tokens of the longest item. `shapes`: dict
        from modalities of pictures and films to a list of their shapes, tuples `(h, w)` or
        `(n, h, w)`, most frequent first; long lists are truncated.
        """
        if self.path is None:
            return {"longest": {}, "shapes": {}}
        return read_item_statistics(self.path)

    def holding(self, model):
        """Returns a copy of this run that holds a given network instead of reading it."""
        run = dataclasses.replace(self)
        vars(run).update(model=model, dtype="float32")
        return run


class _MemoryRun(Run):
    """A run whose network exists in memory."""

    @property
    def model(self):
        return self.network()

    @property
    def dtype(self):
        return "float32"


def open_run(run):
    """Opens a run.

    Args:
        run: a run folder; a `.keras` file; a `Network`, trained with `fit` or loaded; or a `Run`,
            which is returned unchanged.

    Returns:
        `Run`.

    Raises:
        MdnnError: `run` is none of these, or a folder without a finished run.
    """
    if isinstance(run, Run):
        return run
    if isinstance(run, keras.Model):
        return run_of(run)
    path = as_path(run, "run")
    if path.suffix == ".keras" and path.is_file():
        network = load(path)
        return Run(None, network.config, network.words).holding(network)
    if not path.is_dir():
        what = "a file" if path.exists() else "nothing"
        raise MdnnError(f"{path} is no run folder: there is {what} there")
    check_format(path)
    for name in (CONFIG, WEIGHTS):
        if not (path / name).is_file():
            raise MdnnError(f"{path} is no run folder: it has no {name}")
    config = load_config(path / CONFIG)
    if config.train.stage:
        config = _config_of_stage(config, path / WEIGHTS)
    return Run(path, config, read_words(path) if config.tokens.words else ())


def _config_of_stage(config, file):
    """Returns the config of the stage of training that a weights file belongs to."""
    with opened(file) as weights:
        stage = (weights.metadata() or {}).get(STAGE, "0")
    configs = stage_configs(config)
    if not stage.isdecimal() or int(stage) >= len(configs):
        raise MdnnError(f"{file}: expected a stage below {len(configs)}, received {stage[:20]!r}")
    return configs[int(stage)]


def run_of(network):
    """Returns the `Run` of a network in memory, the same object in every call.

    Args:
        network: `Network`, from `mdnn.build`, `mdnn.load` or `keras.models.load_model`.

    Raises:
        MdnnError: the model is no `Network` and has no config.
    """
    if not isinstance(network, Network):
        raise MdnnError(
            "expected a network made by mdnn.build or mdnn.load, a run folder or a .keras file; "
            f"received a {type(network).__name__} without a config"
        )
    run = _IN_MEMORY.get(network)
    if run is None:
        # A weak reference, so that the table does not keep the network alive.
        run = _MemoryRun(None, network.config, network.words)
        object.__setattr__(run, "network", weakref.ref(network))
        _IN_MEMORY[network] = run
    return run


def save(network, path):
    """Writes a network as a run folder.

    Args:
        network: `Network`, or a `Run`.
        path: the folder to make.

    Returns:
        `Path` of the run folder.

    Raises:
        MdnnError: the folder is not empty, or the model has no config.

    Example:

    >>> model = mdnn.build(mdnn.load_config("configs/text.toml"))
    >>> mdnn.save(model, "runs/mine")
    """
    run, path = open_run(network), as_path(path, "path")
    check_new_folder(path)
    path.mkdir(parents=True, exist_ok=True)
    if run.path is None or (run.path / ITEMS).is_file():
        write_item_statistics(path, run.item_statistics)
    write_run(path, run.config, run.words, run.model)
    return path


MAX_OPENED = 4
"""Largest number of runs in the cache of `cached_run`; the least recently used is dropped."""

_OPENED = collections.OrderedDict()
_IN_MEMORY = weakref.WeakKeyDictionary()
_OPENED_LOCK = threading.Lock()


def cached_run(run):
    """Opens a run folder once and returns the same `Run` while its files are unchanged.

    All callers share the network of the run and its compiled functions: do not change its weights.
    `open_run` and `load` return a separate network.

    Args:
        run: a run folder; or a `Run` or `Network`, passed to `open_run`.

    Raises:
        MdnnError: the folder does not exist or holds no finished run.
    """
    if isinstance(run, (Run, keras.Model)):
        return open_run(run)
    try:
        path = as_path(run, "run").resolve()
    except (OSError, RuntimeError, ValueError):
        # Not a path: `open_run` raises the error.
        return open_run(run)
    with _OPENED_LOCK:
        state = _state_of(path)
        before, opened = _OPENED.pop(path, (None, None))
        if opened is None or before != state:
            # Errors name the path as given by the caller; the run holds the resolved path, which
            # stays valid when the process changes its working directory.
            opened = open_run(run)
            if opened.path is not None:
                opened = dataclasses.replace(opened, path=path)
        _OPENED[path] = state, opened
        while len(_OPENED) > MAX_OPENED:
            _OPENED.popitem(last=False)
    return opened


def _state_of(path):
    """Returns times, sizes and inodes of the files of a run folder, to detect changes."""
    state = []
    files = [path] if path.is_file() else [path / n for n in (CONFIG, WEIGHTS, WORDS, ITEMS, ABOUT)]
    for file in files:
        try:
            about = file.stat()
        except OSError:
            state.append(None)
            continue
        state.append((about.st_mtime_ns, about.st_size, about.st_ino))
    return tuple(state)


def load(run):
    """Returns the trained `Network` of a run folder.

    Args:
        run: a run folder, or a `.keras` file (see `mdnn.safety.keras_files.load_keras`).

    Raises:
        MdnnError: `run` is neither of these, or it is damaged.
    """
    if not isinstance(run, Run) and as_path(run, "run").suffix == ".keras":
        # Imported late: run folders do not need it.
        from mdnn.safety.keras_files import load_keras

        return load_keras(run)
    return open_run(run).model


def write_run(path, config, words, model, stage=0):
    """Writes config, words and weights into a run folder, the weights last.

    The weights file says to which stage of `config` it belongs, so that a process that is killed in
    between leaves no config of another network.
    """
    write_about(path, config, words)
    about = {STAGE: str(stage)} if stage else None
    write_arrays(Path(path) / WEIGHTS, named(model.weights), about)


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
    """Writes the format, config and words of a run."""
    about = {"format": FORMAT, "mdnn": mdnn.__version__}
    write_text(Path(path) / CONFIG, config.to_toml())
    write_text(Path(path) / ABOUT, json.dumps(about) + "\n")
    if words:
        write_text(Path(path) / WORDS, json.dumps(list(words), ensure_ascii=False))


def read_words(path):
    """Returns the table of words of a run folder."""
    words = read_json(path / WORDS)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise MdnnError(f"{path / WORDS}: expected a list of texts")
    # JSON can contain unpaired surrogates.
    if "".join(words).encode("utf-8", "replace") != "".join(words).encode("utf-8", "surrogatepass"):
        raise MdnnError(f"{path / WORDS}: expected texts of Unicode characters")
    return tuple(words)


def write_item_statistics(path, seen):
    """Writes the item statistics of a run folder (see `Run.item_statistics`)."""
    write_text(Path(path) / ITEMS, json.dumps(seen))


def read_item_statistics(path):
    """Reads the item statistics of a run folder (see `Run.item_statistics`).

    Raises:
        MdnnError: the file does not exist or is invalid.
    """
    file = Path(path) / ITEMS
    seen = read_json(file)
    try:
        longest = {_kind(kind): _size(units) for kind, units in seen["longest"].items()}
        shapes = {
            _kind(kind): [_shape(kind, shape) for shape in shapes]
            for kind, shapes in seen["shapes"].items()
        }
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        raise MdnnError(f"{file}: expected the longest items and the shapes of each kind") from None
    return {"longest": longest, "shapes": shapes}


def _size(number):
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**40:
        raise ValueError(number)
    return number


def _shape(kind, shape):
    if len(shape) != (3 if "video" in kind else 2):
        raise ValueError(shape)
    return tuple(map(_size, shape))


def _kind(name):
    if name not in ("text", *RANKS):
        raise KeyError(name)
    return name


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
    arrays, about = read_arrays(path, None if small else expected)
    assign(variables, unpack(arrays, about, path, expected), path)
