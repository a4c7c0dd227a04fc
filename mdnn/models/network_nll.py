"""A model that maps tokens and targets to the loss of every position."""

import keras
from keras import ops

from mdnn.layers.axis_product import by_device, from_devices
from mdnn.layers.decoding_steps import decoding_steps
from mdnn.layers.slabs import count_slabs, in_slabs
from mdnn.models.head_options import head_weights
from mdnn.models.loss import TokenNLL, check_scores


class NetworkNLL(keras.Model):
    """Computes the loss of every position of a network.

    It calls the network and is not a graph of its layers: a functional model would leave its nodes
    in them, and what is made for each evaluation would stay with a network that is kept.

    Args:
        network: as returned by `mdnn.build`.
        modalities: names of the heads' modalities, in their order.
        slab: int, largest number of positions whose scores are computed at once; 0: all. Only a
            `Network` can have more positions than that.
        **options: `table`, `places`, `base`, `digits` and `subwords` of the heads
            (`mdnn.models.head_options.decoding` returns those of a config).

    Call arguments:
        batch: dict of `tokens` and `targets`, int32 `[batch, positions, 8]`.

    Returns:
        float32 `[batch, positions]`, in nats; 0 for padding.

    Raises:
        ValueError: the network has heads with other decoding steps.
    """

    def __init__(self, network, modalities, slab=0, **options):
        super().__init__(dtype="float32")
        self.network, self.heads, self.slab = network, network.heads, slab
        self.nll = TokenNLL(modalities, **options)
        classes = sum(step.classes for step in decoding_steps(modalities, **options))
        check_scores(network.output, classes, modalities, options)
        self.built = True

    def call(self, batch):
        hidden = self.network.hidden(batch["tokens"], training=False)
        targets = ops.cast(batch["targets"], "int32")
        if count_slabs(hidden.shape[1], self.slab) == 1:
            return self.losses(hidden, targets)
        arrays, weights = [by_device(hidden), by_device(targets)], head_weights(self.heads)
        nll = in_slabs(self.losses, arrays, self.slab, weights=weights)
        return from_devices(nll, hidden.shape[1])

    def losses(self, hidden, targets):
        """Returns the losses `[batch, n]` of the inputs of the heads and their targets."""
        return self.nll(targets, self.heads(hidden, targets))
