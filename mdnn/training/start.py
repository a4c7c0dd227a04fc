"""A start from what the training text already says: how frequent each byte is."""

import numpy as np

from mdnn.layers.modality_heads import decoding_steps
from mdnn.tokens.units import COLUMNS, MODALITY, modality

# Units that are counted, evenly spread over the text.
MOST = 1_000_000


def frequency_biases(units, codec, modalities):
    """Log frequencies of the classes of every decoding step in a text.

    Heads that start from them begin at the loss of guessing by frequency, a few nats, instead
    of that of guessing evenly among 1,114,112 code points, and need not spend their first
    steps on it.

    Args:
        units: int32 `[n]`, the training text.
        codec: the `TextCodec` that made them.
        modalities: names of the heads' modalities, in their order.

    Returns:
        dict from the name of a step to float32 `[classes]`; half a count is added to each class,
        so that none is impossible.
    """
    tokens = codec.tokens(units[:: max(1, len(units) // MOST)])
    kinds = tokens[:, MODALITY]
    biases = {}
    for name, where, classes, kind in decoding_steps(modalities):
        if kind is None:
            counts = np.array([(kinds == modality(m).index).sum() for m in modalities])
        else:
            values = tokens[kinds == kind.index, COLUMNS.index(where)]
            counts = np.bincount(values, minlength=classes)
        biases[name] = np.log((counts + 0.5) / (counts.sum() + 0.5 * classes)).astype("float32")
    return biases


def start_heads(heads, units, codec):
    """Sets the biases of `ModalityHeads` to the log frequencies of a training text."""
    for name, bias in frequency_biases(units, codec, heads.modalities).items():
        heads.biases[name].assign(bias)
