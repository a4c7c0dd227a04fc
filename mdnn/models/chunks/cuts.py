"""The ways to cut a text into chunks, by their config word.

A cut is a layer with the method `strength`, which computes the strength of a cut before each
position, 0 to 1, from the characters and the stream up to that position only; from 0.5 on a cut is
proposed. `reach` is the number of last positions that the strength depends on.
"""

import keras
from keras import ops

from mdnn.layers.weight_rules import RuledLayer, get_initializer
from mdnn.models.chunks.characters_of import SPACE, is_letter
from mdnn.models.chunks.surprise_cut import SurpriseCut


@keras.saving.register_keras_serializable(package="mdnn")
class SpaceCut(RuledLayer):
    """Proposes a cut where a word ends: before the gap that precedes the next word.

    The rule of SpaceByte (arXiv 2404.14408): the first letter of a word, the hardest to predict, is
    predicted with all earlier words at hand.
    """

    reach, learnt = 2, False

    def build(self, shape):
        self.built = True

    def strength(self, codes, x):
        """Returns the strength of a cut before each position, 0 to 1, `[batch, positions]`.

        Args:
            codes: int32 `[batch, positions]`, code points.
            x: `[batch, positions, channels]`, the normed stream.
        """
        letter = is_letter(ops.pad(codes, [[0, 0], [1, 0]], constant_values=SPACE))
        ended = ops.logical_and(letter[:, :-1], ops.logical_not(letter[:, 1:]))
        return ops.cast(ended, x.dtype)


@keras.saving.register_keras_serializable(package="mdnn")
class LearnedCut(RuledLayer):
    """Proposes a cut where neighboring characters differ: H-Net's rule (arXiv 2507.07955).

    `p_t = (1 - cos(Q x_t, K x_(t-1))) / 2`, with Q and K the identity at first.
    """

    reach, learnt = 2, True

    def build(self, shape):
        channels = shape[-1]
        identity = get_initializer("identity")
        self.query = self.add_weight((channels, channels), identity, name="query")
        self.key = self.add_weight((channels, channels), identity, name="key")
        self.built = True

    def strength(self, codes, x):
        """See `SpaceCut.strength`."""
        # In float32: a cut at 0.5 must not depend on the compute dtype more than x does.
        x = ops.cast(x, "float32")
        query = _unit(ops.matmul(x, ops.cast(self.query, "float32")))
        key = _unit(ops.matmul(x, ops.cast(self.key, "float32")))
        key = ops.pad(key[:, :-1], [[0, 0], [1, 0], [0, 0]])
        return 0.5 - 0.5 * ops.sum(query * key, axis=-1)


def _unit(x):
    return x * ops.rsqrt(ops.sum(x * x, axis=-1, keepdims=True) + 1e-6)


CUTS = {"space": SpaceCut, "surprise": SurpriseCut, "learned": LearnedCut}
"""Dict from values of `cut` to classes."""
