"""A run folder: the config, the weights and the words of a trained network."""

import contextlib
import dataclasses
import functools
import json
from pathlib import Path

import keras
import safetensors
import safetensors.numpy

from mdnn.errors import MdnnError
from mdnn.files import replacing, write_text
from mdnn.models.builder import build
from mdnn.models.config import Config, load_config
from mdnn.models.quantization import packed_dtype, unpack
from mdnn.tokens.codec import ItemCodec
from mdnn.tokens.items import RANKS
from mdnn.tokens.text import TextCodec

CONFIG, WEIGHTS, WORDS = "config.toml", "model.safetensors", "words.json"
ITEMS = "items.json"


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained network and what is needed to feed it.

    Args:
        path: the run folder.
        config: the config it was trained with.
        words: its table of words, empty for characters alone.
    """

    path: Path
    config: Config
    words: tuple[str, ...] = ()

    @functools.cached_property
    def model(self):
        """The network with its weights."""
        model = build(self.config, self.words)
        read_weights(model.weights, self.path / WEIGHTS)
        return model

    @functools.cached_property
    def dtype(self):
        """What its weights are stored as: `"float32"`, `"float16"`, `"int8"` or `"int4"`."""
        return weights_dtype(self.path)

    @functools.cached_property
    def codec(self):
        """Between text and units."""
        return TextCodec(self.words)

    @functools.cached_property
    def item_codec(self):
        """Between items and token rows."""
        return ItemCodec(self.words, self.config.tokens.rate)

    @functools.cached_property
    def seen(self):
        """What items the network was trained on, a dict (layout "items").

        `longest`: dict from kinds to the units of the longest item. `shapes`: dict from kinds of
        pictures and films to a list of their shapes, tuples `(h, w)` or `(n, h, w)`, the most
        frequent first; a long list is cut.
        """
        return read_seen(self.path)

    def holding(self, model):
        """This run with its network at hand, which is then not read from the folder."""
        run = dataclasses.replace(self)
        vars(run).update(model=model, dtype="float32")
        return run


def open_run(run):
    """The `Run` in a folder (or the run itself, handed on).

    Raises:
        MdnnError: no such folder, or one that holds no finished run.
    """
    if isinstance(run, Run):
        return run
    path = Path(run)
    if not path.is_dir():
        what = "a file" if path.exists() else "nothing"
        raise MdnnError(f"{path} is no run folder: there is {what} there")
    for name in (CONFIG, WEIGHTS):
        if not (path / name).is_file():
            raise MdnnError(f"{path} is no run folder: it has no {name}")
    config = load_config(path / CONFIG)
    return Run(path, config, read_words(path) if config.tokens.words else ())


def load(run):
    """The trained network of a run folder, a `keras.Model` as `mdnn.build` makes it."""
    return open_run(run).model


def write_run(path, config, words, model):
    """Makes a folder a run: config, words and weights, the weights last."""
    write_about(path, config, words)
    write_arrays(Path(path) / WEIGHTS, named(model.weights))


def write_about(path, config, words):
    """Writes what a run is before it has weights: config and words."""
    write_text(Path(path) / CONFIG, config.to_toml())
    if words:
        write_text(Path(path) / WORDS, json.dumps(list(words), ensure_ascii=False))


def read_words(path):
    """The table of words of a run folder."""
    try:
        words = json.loads((path / WORDS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MdnnError(f"{path / WORDS} cannot be read: {error}") from None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise MdnnError(f"{path / WORDS}: expected a list of texts")
    return tuple(words)


def write_seen(path, seen):
    """Writes what items a network is trained on into its run folder (see `Run.seen`)."""
    write_text(Path(path) / ITEMS, json.dumps(seen))


def read_seen(path):
    """Reads what `write_seen` wrote.

    Raises:
        MdnnError: no such file, or one that says something else.
    """
    file = Path(path) / ITEMS
    try:
        seen = json.loads(file.read_text(encoding="utf-8"))
        longest = {_kind(kind): int(units) for kind, units in seen["longest"].items()}
        shapes = {
            _kind(kind): [tuple(map(int, shape)) for shape in shapes]
            for kind, shapes in seen["shapes"].items()
        }
    except (OSError, ValueError) as error:
        raise MdnnError(f"{file} cannot be read: {error}") from None
    except (AttributeError, KeyError, TypeError):
        raise MdnnError(f"{file}: expected the longest items and the shapes of each kind") from None
    return {"longest": longest, "shapes": shapes}


def _kind(name):
    if name not in ("text", *RANKS):
        raise KeyError(name)
    return name


def named(variables):
    """Variables as a dict from their path to a numpy array."""
    return {variable.path: keras.ops.convert_to_numpy(variable) for variable in variables}


def write_arrays(path, arrays, about=None):
    """Writes arrays (and a dict of texts about them) as one safetensors file, atomically."""
    arrays = {name: array.copy(order="C") for name, array in arrays.items()}
    with replacing(path) as part:
        safetensors.numpy.save_file(arrays, part, metadata=about)


def read_arrays(path):
    """Arrays and the dict of texts about them.

    Raises:
        MdnnError: no such file, or not a whole safetensors file.
    """
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def weights_dtype(path):
    """What the weights of a run folder are stored as: `"float32"`, `"int8"` or another.

    Args:
        path: the run folder; only the head of its weights file is read.
    """
    with _opened(Path(path) / WEIGHTS) as file:
        return packed_dtype(file.metadata() or {})


@contextlib.contextmanager
def _opened(path):
    """An open safetensors file."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            yield file
    except FileNotFoundError:
        raise MdnnError(f"no weights at {path}") from None
    except (OSError, safetensors.SafetensorError) as error:
        raise MdnnError(f"{path} is no readable safetensors file: {error}") from None


def assign(variables, arrays, where):
    """Gives variables the arrays of their paths.

    Raises:
        MdnnError: a name, shape or dtype that does not fit; nothing is assigned then.
    """
    variables = {variable.path: variable for variable in variables}
    if missing := sorted(set(variables) ^ set(arrays)):
        side = "lacks" if missing[0] in variables else "has an unknown"
        raise MdnnError(f"{where} {side} weight {missing[0]!r}")
    for name, variable in variables.items():
        array, dtype = arrays[name], keras.backend.standardize_dtype(variable.dtype)
        if tuple(array.shape) != tuple(variable.shape) or str(array.dtype) != dtype:
            raise MdnnError(
                f"{where}: expected {name!r} as {dtype} {tuple(variable.shape)}, found "
                f"{array.dtype} {tuple(array.shape)}"
            )
    for name, variable in variables.items():
        variable.assign(arrays[name])


def read_weights(variables, path):
    """Reads a safetensors file into variables of the same names, shapes and dtypes.

    Small weights (see `mdnn.models.quantization`) become float32 here.
    """
    arrays, about = read_arrays(path)
    assign(variables, unpack(arrays, about, path), path)
