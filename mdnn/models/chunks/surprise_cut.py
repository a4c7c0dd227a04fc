"""Cuts where the next character is hard to foresee: entropies of a small count model."""

import keras
import numpy as np
from keras import ops

from mdnn.errors import MdnnError
from mdnn.layers.weight_rules import RuledLayer
from mdnn.models.chunks.characters_of import code_points

ORDER, ROWS, BASE = 3, 32_749, 127
"""Characters that an entropy depends on, rows of the table (a prime), and base of their number."""


@keras.saving.register_keras_serializable(package="mdnn")
class SurpriseCut(RuledLayer):
    """Proposes a cut where the next character's entropy rises: BLT's rule (arXiv 2412.09871).

    The entropy is that of a small model, the counts of what follows three characters in the
    training text. It is measured once (`measure`) and stored with the weights, a number per row of
    a table in which three characters are looked up by their number modulo its rows; so a network
    cuts any text the same way, also position by position. A cut is proposed where the entropy
    before a character is above that before the last one by more than a threshold.
    """

    reach, learnt = ORDER + 2, False

    def build(self, shape):
        self.entropy = self.add_weight((ROWS,), "zeros", trainable=False, name="entropy")
        self.threshold = self.add_weight((1,), "ones", trainable=False, name="threshold")
        self.built = True

    def strength(self, codes, x):
        """See `mdnn.models.chunks.cuts.SpaceCut.strength`."""
        positions = codes.shape[1]
        before = ops.pad(codes % BASE, [[0, 0], [ORDER + 1, 0]])
        number = 0
        for k in range(ORDER):
            number = number * BASE + before[:, k : k + positions + 1]
        entropy = ops.take(ops.cast(self.entropy, "float32"), number % ROWS, axis=0)
        rise = entropy[:, 1:] - entropy[:, :-1] - ops.cast(self.threshold, "float32")
        return ops.clip(0.5 + 0.25 * rise, 0.0, 1.0)

    def measure(self, codes, letters):
        """Measures the entropies on a text, and the threshold that cuts it every `letters`.

        Args:
            codes: int32 `[n]`, code points of the training text.
            letters: float, mean number of characters between proposed cuts.

        Raises:
            MdnnError: the text is too short.
        """
        codes = np.asarray(codes)
        if len(codes) < 2 * ORDER + 2:
            raise MdnnError(f"cut = 'surprise': a text of {len(codes)} characters is too short")
        small, number = codes % BASE, np.zeros(len(codes) - ORDER, "int64")
        for k in range(ORDER):
            number = number * BASE + small[k : len(codes) - ORDER + k]
        row = number % ROWS
        pairs, counts = np.unique(row << 21 | codes[ORDER:], return_counts=True)
        total = np.bincount(row, minlength=ROWS)
        kinds = np.bincount(pairs >> 21, minlength=ROWS)
        logs = np.bincount(pairs >> 21, weights=counts * np.log(counts), minlength=ROWS)
        seen = np.maximum(total, 1)
        # Miller and Madow's correction: few counts understate an entropy.
        entropy = np.log(seen) - logs / seen + np.maximum(kinds - 1, 0) / (2 * seen)
        entropy[total == 0] = entropy[total > 0].mean()
        rise = np.diff(entropy[row])
        self.entropy.assign(entropy.astype("float32"))
        self.threshold.assign(np.array([np.quantile(rise, 1 - 1 / letters)], "float32"))


def measure_surprise(network, tokens):
    """Measures the entropies of all layers of chunks that cut by surprise, if there are any.

    Training does this before its first step. A network that `fit` trains needs the call.

    Args:
        network: `mdnn.Network`.
        tokens: int32 `[n, 8]`, tokens of the training text.
    """
    codes = None
    for block in network.blocks:
        cutter = getattr(block, "cutter", None)
        if isinstance(cutter, SurpriseCut):
            codes = ops.convert_to_numpy(code_points(tokens)) if codes is None else codes
            cutter.measure(codes, block.letters)
