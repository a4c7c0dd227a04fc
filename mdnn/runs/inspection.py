"""Reports a network's layers, parameters, costs per position and receptive field."""

import keras
import numpy as np

from mdnn.models.builder import build
from mdnn.tokens.features import COORDINATES, MODALITY, NUM_FEATURES, TOKEN_FEATURES
from mdnn.tokens.modalities import modality

MEASURED_OPERATIONS = 3 * 10**11
"""Multiply-adds that measuring the receptive field may take: some seconds."""


def network_facts(config, words=(), model=None):
    """Returns facts about a network.

    Args:
        config: `mdnn.Config`.
        words: table of words; if empty, placeholder words of the config's number are used.
        model: the built network; `None` to build it from the config.

    Returns:
        dict with the keys:

        - `grid`, `positions`, `width`, `parameters`, `steps`;
        - `operations_per_position`: multiply-adds of one forward pass with all its refeed steps,
          with the wiring as built, divided by the positions;
        - `bytes_per_position`: bytes that the layers write in that pass, 4 per value, divided by
          the positions: an estimate of the activations stored for gradients;
        - `receptive_field`: number of positions that change the last position's output, measured
          by changing each position;
        - `layers`: list of dicts `name`, `kind`, `shape`, `parameters`, `operations`.
    """
    model = model or build(config, words or placeholder_words(config))
    positions = config.context.positions
    layers = [_layer(layer) for layer in model.layers]
    operations, values = operations_and_values(model)
    return {
        "grid": list(config.context.grid),
        "positions": positions,
        "width": config.backbone.width,
        "parameters": model.count_params(),
        "steps": config.refeed.steps,
        "operations_per_position": operations // positions,
        "bytes_per_position": 4 * values // positions,
        "receptive_field": receptive_field(model, config, _affordable(operations)),
        "layers": layers,
    }


def placeholder_words(config):
    """Returns as many words as the table of a config has, a list of str."""
    return [
        "".join("abcdefghij"[int(digit)] for digit in f"{n:05}") for n in range(config.tokens.words)
    ]


def operations_and_values(model):
    """Returns the multiply-adds of a network for one context, and the values that it writes."""
    operations = sum(_layer(layer)["operations"] for layer in model.layers)
    return operations, sum(_values(layer) for layer in model.layers)


def _affordable(operations):
    """Returns the number of changed positions that are measured, for multiply-adds per context."""
    return int(min(256, max(4, MEASURED_OPERATIONS // max(1, operations))))


def _layer(layer):
    shape = _shape(layer)
    operations_and_values = hasattr(layer, "operations")
    return {
        "name": layer.name,
        "kind": type(layer).__name__,
        "shape": list(shape[1:]),
        "parameters": layer.count_params(),
        "operations": int(layer.operations(_input_shape(layer))) if operations_and_values else 0,
    }


def _shape(layer):
    return tuple(layer.output.shape)


def _input_shape(layer):
    first = layer.input[0] if isinstance(layer.input, (list, tuple)) else layer.input
    return tuple(first.shape)


def _values(layer):
    """Returns the number of values that a layer writes for one example."""
    if hasattr(layer, "values"):
        return layer.values(_input_shape(layer))
    if isinstance(layer, (keras.layers.InputLayer, keras.layers.Reshape)):
        return 0
    return int(np.prod(_shape(layer)[1:]))


def receptive_field(model, config, most=256, batch=32):
    """Measures the number of positions that the last position's output depends on.

    Changes the positions of a context of random tokens one at a time and compares the output at
    the last position.

    Args:
        model: the network.
        config: its `mdnn.Config`.
        most: int, largest number of positions to change. In a longer context this many evenly
            spaced positions are changed and the result is scaled.
        batch: int, contexts per call.

    Returns:
        int, the number of positions.
    """
    positions = config.context.positions
    # Skip words, whose table may be too short; a config with words also has text.
    kind = next(modality(n) for n in config.tokens.modalities if modality(n).kind in (n, None))
    changing = TOKEN_FEATURES.index(f"byte_{len(kind.bytes)}")
    draw = np.random.RandomState(0)
    base = np.zeros((positions, NUM_FEATURES), "int32")
    base[:, MODALITY] = kind.index
    low, high, more = kind.probe
    base[:, changing] = draw.randint(low, high, positions)
    base[:, COORDINATES.start] = np.arange(positions)
    tokens = keras.Input((positions, NUM_FEATURES), dtype="int32")
    hidden = keras.Model(tokens, model.hidden(tokens))

    batch = min(batch, most)

    def last(tokens):
        filled = np.concatenate([tokens, np.repeat(base[None], batch - len(tokens), axis=0)])
        # Not predict_on_batch: a compiled function stays in memory after its model.
        return keras.ops.convert_to_numpy(hidden(filled, training=False))[: len(tokens), -1]

    # Compare examples at the same index: equal examples of a batch may differ in the last bit.
    before = last(np.repeat(base[None], batch, axis=0))
    tried = np.unique(np.linspace(0, positions - 1, min(positions, most)).astype(int))
    found = 0
    for start in range(0, len(tried), batch):
        some = tried[start : start + batch]
        changed = np.repeat(base[None], len(some), axis=0)
        changed[np.arange(len(some)), some, changing] += more
        found += int((last(changed) != before[: len(some)]).any(axis=-1).sum())
    return found * positions // len(tried)
