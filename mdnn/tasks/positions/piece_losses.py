"""Losses of long contexts, one piece after another: memory is that of a piece and the caches."""

import keras
import numpy as np
from keras import ops

from mdnn.models.compiling import predicted, without_xla
from mdnn.models.loss import TokenNLL


class PieceLosses(keras.Model):
    """Computes the losses of causal contexts in pieces; compiled once.

    Args:
        network: causal `mdnn.models.network.Network` whose decoder has a `piece`.
        modalities: names of the heads' modalities, in their order.
        **options: see `TokenNLL`.
    """

    def __init__(self, network, modalities, **options):
        super().__init__(dtype="float32")
        self.network, self.heads = network, network.heads
        self.incremental = network.decoder()
        self.nll = TokenNLL(modalities, **options)
        self.built = True
        without_xla(self)

    def call(self, inputs):
        weights = self.incremental.prepare_weights()
        hidden, read, _ = self.incremental.read(
            inputs["tokens"], weights, inputs["read"], inputs["first"]
        )
        targets = inputs["targets"]
        return {"nats": self.nll(targets, self.heads(hidden, targets)), "read": read}

    def of(self, tokens, targets, filled, progress=None):
        """Returns the losses of contexts in nats, float32 `[batch, positions]`.

        Args:
            tokens, targets: int32 `[batch, positions, 8]`.
            filled: int, number of first positions to compute; the others are 0.
            progress: function called with the completed fraction, 0 to 1, after each piece.
        """
        network, found = self.incremental, []
        size, positions = network.piece, tokens.shape[1]
        count = -(-filled // size)
        read = keras.tree.map_structure(
            ops.convert_to_numpy, network.empty_reading(tokens.shape[0])
        )
        for start in range(0, count * size, size):
            piece = slice(start, start + size)
            arrays = {
                "tokens": tokens[:, piece],
                "targets": targets[:, piece],
                "first": np.array([start // network.num_columns], "int32"),
                "read": read,
            }
            result = predicted(self, arrays)
            read = result["read"]
            found.append(np.asarray(result["nats"]))
            if progress is not None:
                progress((start + size) / (count * size))
        rest = np.zeros((len(tokens), positions - count * size), "float32")
        return np.concatenate([*found, rest], axis=1)
