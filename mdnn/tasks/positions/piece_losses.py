"""Passes of long contexts, one piece after another: memory is that of a piece and the caches."""

import keras
import numpy as np
from keras import ops

from mdnn.models.compiling import predicted, without_xla
from mdnn.models.loss import TokenNLL


class PieceReader(keras.Model):
    """Computes the inputs of the heads of causal contexts in pieces; compiled once.

    Args:
        network: causal `mdnn.models.network.Network` whose decoder has a `piece`.
    """

    def __init__(self, network):
        super().__init__(dtype="float32")
        self.network, self.heads = network, network.heads
        self.incremental = network.decoder()
        self.built = True
        without_xla(self)

    def call(self, inputs):
        weights = self.incremental.prepare_weights()
        hidden, read, _ = self.incremental.read(
            inputs["tokens"], weights, inputs["read"], inputs["first"]
        )
        return self.outputs(hidden, inputs) | {"read": read}

    def outputs(self, hidden, inputs):
        """Returns what is computed of a piece: a dict of tensors `[batch, piece, ...]`."""
        return {"hidden": hidden}

    def pieces(self, arrays, filled, progress=None):
        """Yields the outputs of one piece after another.

        Args:
            arrays: dict of arrays `[batch, positions, ...]`, `tokens` among them.
            filled: int, number of first positions to compute.
            progress: function called with the completed fraction, 0 to 1, after each piece.

        Yields:
            The first position of the piece, int, and a dict of numpy arrays.
        """
        network, size = self.incremental, self.incremental.piece
        count = -(-filled // size)
        read = keras.tree.map_structure(
            ops.convert_to_numpy, network.empty_reading(len(arrays["tokens"]))
        )
        for start in range(0, count * size, size):
            piece = {name: array[:, start : start + size] for name, array in arrays.items()}
            piece["first"] = np.array([start // network.num_columns], "int32")
            result = predicted(self, piece | {"read": read})
            read = result.pop("read")
            yield start, {name: np.asarray(array) for name, array in result.items()}
            if progress is not None:
                progress((start + size) / (count * size))


class PieceLosses(PieceReader):
    """Computes the losses of causal contexts in pieces.

    Args:
        network: see `PieceReader`.
        modalities: names of the heads' modalities, in their order.
        **options: see `TokenNLL`.
    """

    def __init__(self, network, modalities, **options):
        super().__init__(network)
        self.nll = TokenNLL(modalities, **options)

    def outputs(self, hidden, inputs):
        """Returns `nats`, the losses of a piece."""
        targets = inputs["targets"]
        return {"nats": self.nll(targets, self.heads(hidden, targets))}

    def of(self, tokens, targets, filled, progress=None):
        """Returns the losses of contexts in nats, float32 `[batch, positions]`.

        Args:
            tokens, targets: int32 `[batch, positions, 8]`.
            filled: int, number of first positions to compute; the others are 0.
            progress: see `pieces`.
        """
        found = np.zeros(tokens.shape[:2], "float32")
        arrays = {"tokens": tokens, "targets": targets}
        for start, piece in self.pieces(arrays, filled, progress):
            nats = piece["nats"]
            found[:, start : start + nats.shape[1]] = nats
        return found
