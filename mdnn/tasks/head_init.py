"""Initial biases of the heads: the log frequencies of each class in the training data."""

import keras
import numpy as np

from mdnn.tokens.features import MODALITY

# Units that are counted, evenly spread over the data.
COUNTED_UNITS = 1_000_000


def frequency_biases(rows, steps):
    """Returns the log frequencies of the classes of every decoding step in tokens.

    Heads that start from them begin at the loss of guessing by frequency, a few nats, instead
    of that of guessing evenly among 1,114,112 code points, and need not spend their first
    steps on it.

    Args:
        rows: int32 `[n, 8]`, tokens of any modalities; padding does not count.
        steps: list of the heads' decoding steps.

    Returns:
        dict from the name of a step to float32 `[classes]`; half a count is added to each class,
        so that none is impossible.
    """
    rows = np.asarray(rows)
    rows = rows[rows[:, MODALITY] > 0]
    biases = {}
    for step in steps:
        own = rows[keras.ops.convert_to_numpy(step.has(rows)) > 0]
        answers = keras.ops.convert_to_numpy(step.answer(own))
        counts = np.bincount(answers, minlength=step.classes)
        odds = (counts + 0.5) / (counts.sum() + 0.5 * step.classes)
        biases[step.name] = np.log(odds).astype("float32")
    return biases


def text_tokens(units, tokenizer):
    """Returns tokens of at most about `COUNTED_UNITS` of a text's units, evenly spread.

    Args:
        units: int32 `[n]`, the text's units.
        tokenizer: the `TextTokenizer` that made them.

    Returns:
        int32 `[m, 8]`.
    """
    return tokenizer.tokens(units[:: max(1, len(units) // COUNTED_UNITS)])


def init_head_bias(heads, tokens):
    """Sets the biases of `ModalityHeads` to the log frequencies in tokens `[n, 8]`.

    Heads without weights, of the table `"bits"`, stay as they are.
    """
    if not heads.biases:
        return
    for name, bias in frequency_biases(tokens, heads.steps).items():
        heads.biases[name].assign(bias)
