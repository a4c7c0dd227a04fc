"""Initializes the heads' biases with the log frequencies of the classes in the training data."""

import keras
import numpy as np

from mdnn.tokens.features import MODALITY

# Maximum number of tokens to count, evenly spaced over the data.
COUNTED_TOKENS = 1_000_000


def frequency_biases(rows, steps):
    """Returns the log frequencies of the classes of each decoding step.

    With these biases training starts at the loss of predicting class frequencies, a few nats,
    instead of the loss of a uniform prediction over 1,114,112 code points.

    Args:
        rows: int32 `[n, 8]`, tokens of any modalities; padding is ignored.
        steps: list of the heads' decoding steps.

    Returns:
        dict from the names of steps to float32 `[classes]`. Half a count is added to each class, so
        that every class has a nonzero probability.
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


def text_tokens(ids, tokenizer):
    """Returns an evenly spaced sample of a text's tokens, about `COUNTED_TOKENS` at most.

    Args:
        ids: int32 `[n]`, token ids of the text.
        tokenizer: the `TextTokenizer` that produced them.

    Returns:
        int32 `[m, 8]`.
    """
    return tokenizer.tokens(ids[:: max(1, len(ids) // COUNTED_TOKENS)])


def init_head_bias(heads, tokens):
    """Sets the biases of `ModalityHeads` to the log frequencies of classes in tokens.

    Heads without biases (table `"bits"`) remain unchanged.

    Args:
        heads: `ModalityHeads`.
        tokens: int32 `[n, 8]`.
    """
    if not heads.biases:
        return
    for name, bias in frequency_biases(tokens, heads.steps).items():
        # Members in tandem have the bias once each.
        heads.biases[name].assign(np.broadcast_to(bias, heads.biases[name].shape))
