"""The weights of members as they were some steps ago, from which the members learn."""

import contextlib

import keras
from keras import ops


class StaleMembers(keras.layers.Layer):
    """Holds copies of the weights of all members; they are not weights of the network.

    Args:
        members: `mdnn.models.tandem.members.Members`.

    Attributes:
        sources: list of variables of `members`.
        copies: list of variables, their copies in the same order.
    """

    def __init__(self, members):
        super().__init__(name="stale", dtype="float32", autocast=False)
        # Weights of the network: Keras must not track them here.
        object.__setattr__(self, "sources", list(members.stacked))
        self.copies = []
        for source in self.sources:
            copy = self.add_weight(
                name=source.name,
                shape=source.shape,
                dtype=source.dtype,
                initializer="zeros",
                trainable=False,
            )
            copy.assign(source)
            self.copies.append(copy)
        self.built = True

    def values(self):
        """Returns the copies as a list of tensors."""
        return [ops.stop_gradient(ops.convert_to_tensor(copy)) for copy in self.copies]

    @contextlib.contextmanager
    def computing(self, values):
        """Context manager in which members compute with the copies.

        Args:
            values: what `values` returned.
        """
        with keras.StatelessScope(zip(self.sources, values, strict=True)):
            yield
