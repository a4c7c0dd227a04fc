"""What a network is and costs: layers, parameters, operations and bytes per position, reach."""

import keras
import numpy as np

from mdnn.models.builder import build
from mdnn.models.compiling import without_xla
from mdnn.tokens.features import COLUMNS, MODALITY, PLACES, WIDTH, modality


def inspect(config, words=(), model=None):
    """Facts about a network.

    Args:
        config: `mdnn.Config`.
        words: table of words; a made-up one of the config's size where it is empty.
        model: the built network; built from the config where it is None.

    Returns:
        dict: `grid`, `positions`, `width`, `parameters`, `steps`,
        `operations_per_position` (multiply-adds of one pass with all its steps,
        wired as built, divided by the positions), `bytes_per_position` (values that the
        layers write in that pass, 4 bytes each, divided by the same: what training keeps for the
        way back), `receptive_field` (from how many positions the last position's answer depends,
        measured by changing each), `layers` (list of dicts `name`, `kind`, `shape`,
        `parameters`, `operations`).
    """
    if config.tokens.words and not words:
        words = [
            "".join("abcdefghij"[int(digit)] for digit in f"{n:05}")
            for n in range(config.tokens.words)
        ]
    model = model or build(config, words)
    positions = config.context.positions
    layers = [_layer(layer) for layer in model.layers]
    operations = sum(layer["operations"] for layer in layers)
    values = sum(_values(layer) for layer in model.layers)
    return {
        "grid": list(config.context.grid),
        "positions": positions,
        "width": config.backbone.width,
        "parameters": model.count_params(),
        "steps": config.refeed.steps,
        "operations_per_position": operations // positions,
        "bytes_per_position": 4 * values // positions,
        "receptive_field": receptive_field(model, config),
        "layers": layers,
    }


def _layer(layer):
    shape = _shape(layer)
    counted = hasattr(layer, "operations")
    return {
        "name": layer.name,
        "kind": type(layer).__name__,
        "shape": list(shape[1:]),
        "parameters": layer.count_params(),
        "operations": int(layer.operations(_input_shape(layer))) if counted else 0,
    }


def _shape(layer):
    return tuple(layer.output.shape)


def _input_shape(layer):
    first = layer.input[0] if isinstance(layer.input, (list, tuple)) else layer.input
    return tuple(first.shape)


def _values(layer):
    """Values that a layer writes for one example."""
    if hasattr(layer, "values"):
        return layer.values(_input_shape(layer))
    if isinstance(layer, (keras.layers.InputLayer, keras.layers.Reshape)):
        return 0
    return int(np.prod(_shape(layer)[1:]))


def receptive_field(model, config, most=256, batch=32):
    """From how many positions the last position's answer depends.

    Every position of random units (of a context longer than `most`: that many evenly spread ones,
    and the result is scaled) is changed in turn; what the last position then answers is compared.

    Returns:
        int, the number of positions.
    """
    positions = config.context.positions
    # Words come from a table that may be short; there is text beside them.
    kind = modality(next(name for name in config.tokens.modalities if name != "word"))
    changing = COLUMNS.index(f"byte_{len(kind.bytes)}")
    draw = np.random.RandomState(0)
    base = np.zeros((positions, WIDTH), "int32")
    base[:, MODALITY] = kind.index
    # Symbols that every puzzle has; printable characters, bytes of anything else.
    low, high, more = (0, 4, 1) if kind.name == "symbol" else (32, 127, 128)
    base[:, changing] = draw.randint(low, high, positions)
    base[:, PLACES.start] = np.arange(positions)
    tokens = keras.Input((positions, WIDTH), dtype="int32")
    hidden = keras.Model(tokens, model.hidden(tokens))
    without_xla(hidden)

    def last(tokens):
        filled = np.concatenate([tokens, np.repeat(base[None], batch - len(tokens), axis=0)])
        return np.asarray(hidden.predict_on_batch(filled))[: len(tokens), -1]

    # Compared row by row: equal rows of a batch may differ in the last bit of what they give.
    before = last(np.repeat(base[None], batch, axis=0))
    tried = np.unique(np.linspace(0, positions - 1, min(positions, most)).astype(int))
    found = 0
    for start in range(0, len(tried), batch):
        places = tried[start : start + batch]
        changed = np.repeat(base[None], len(places), axis=0)
        changed[np.arange(len(places)), places, changing] += more
        found += int((last(changed) != before[: len(places)]).any(axis=-1).sum())
    return found * positions // len(tried)
