"""Models that map a batch to its loss, or to the losses of its targets."""

import keras
import numpy as np
from keras import ops, tree

from mdnn.layers.axis_product import by_device, from_devices
from mdnn.layers.slabs import in_slabs
from mdnn.models.active_rows import ActiveRows, rounded
from mdnn.models.auxiliary_losses import collected
from mdnn.models.compiling import predicted
from mdnn.models.head_options import head_weights
from mdnn.models.loss import token_nll
from mdnn.tokens.features import MODALITY
from mdnn.tokens.modalities import modality


class LossModel(keras.Model):
    """Combines a network and its loss, computing only the scores that the loss needs.

    `TokenCrossEntropy` takes the scores of every decoding step at every position. In a network of
    several modalities most of them belong to other modalities than the target's. This model
    computes only the steps of each target's own modality; the value is that of
    `TokenCrossEntropy`.

    Args:
        model: `mdnn.Network`.
        loss: its `mdnn.TokenCrossEntropy`.

    Call arguments:
        batch: dict of `tokens` and `targets`, int32 `[batch, positions, 8]`; optionally
            `weights`, float32 `[batch, positions]`; for networks of several modalities the keys
            added by `with_target_indices`.

    Returns:
        The loss, a scalar.

    Attributes:
        divisible: bool, whether the loss of a batch is a weighted sum of the losses of its
            microbatches (see `loss_weights`).
    """

    divisible = True

    def __init__(self, model, loss, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        # The variables are those of the network, in the same order.
        self.network = model
        self.heads = model.heads
        self.loss_function = loss
        _check_loss(loss, self.heads)
        self.uses_target_indices = len(self.heads.modalities) > 1 and self.heads.table != "bits"
        self.rows = ActiveRows.of(model) if self.uses_target_indices else None
        self.built = True

    def with_target_indices(self, batch, padded=False, sizes=None):
        """Returns a batch with the indices of its targets and of their rows.

        Args:
            batch: dict of arrays, see `call`.
            padded, sizes: see `target_indices`.
        """
        if not self.uses_target_indices:
            return batch
        found = target_indices(batch["targets"], self.heads.modalities, padded, sizes)
        rows = {} if self.rows is None else self.rows.with_target_indices(batch, padded, sizes)
        return batch | {"target_indices": found} | rows

    def microbatches(self, batch, count):
        """Splits a batch into microbatches of equal length.

        Args:
            batch: dict of arrays, see `call`, without the keys added by `with_target_indices`.
            count: int, a divisor of the batch's length.

        Returns:
            List of `count` dicts for `call`.
        """
        pieces = {name: np.split(values, count) for name, values in batch.items()}
        return [
            self.with_target_indices({name: own[k] for name, own in pieces.items()})
            for k in range(count)
        ]

    def loss_weights(self, batches):
        """Returns the weight of each microbatch's loss in the loss of the whole batch.

        Args:
            batches: list of dicts for `call`, the microbatches.

        Returns:
            List of scalars; their sum is 1 if the batch has a target.
        """
        if len(batches) == 1:
            return [1.0]
        counts = [
            ops.sum(self.loss_function.weights(ops.cast(batch["targets"], "int32")))
            for batch in batches
        ]
        return [count / ops.maximum(sum(counts), 1e-9) for count in counts]

    def call(self, batch, training=None):
        if self.rows is not None:
            return self.loss_of(self.rows.hidden(batch, training), batch)
        with collected() as losses:
            hidden = self.hidden_of(batch, training)
        loss = self.loss_of(hidden, batch)
        # They add gradients; the loss that is shown stays that of the targets.
        return loss + sum(more - ops.stop_gradient(more) for more in losses)

    def hidden_of(self, batch, training=None):
        """Returns the input of the heads for a batch, `[batch, positions, width]`.

        A subclass may return a tuple of such tensors, which `nll` gets.
        """
        return self.network.hidden(batch["tokens"], training=training)

    def nll(self, name, hidden, rows):
        """Returns the loss of targets of one modality, float32 `[n]`.

        Args:
            name: str, the modality.
            hidden: `[n, width]`, the input of the heads, or a tuple (see `hidden_of`).
            rows: int32 `[n, 8]`, the targets.
        """
        return self.heads.nll(name, hidden, rows, self.loss_function.step_weights)

    def loss_of(self, hidden, batch):
        """Returns the loss of a batch, a scalar.

        Args:
            hidden: the input of the heads, `[batch, positions, width]`, or the result of
                `ActiveRows.hidden`.
            batch: see `call`.
        """
        targets, weights = ops.cast(batch["targets"], "int32"), batch.get("weights")
        if self.heads.table == "bits":
            scores = self.heads(hidden, targets)
            return self.loss_function(targets, scores, sample_weight=weights)
        counts = self.loss_function.weights(targets)
        norm = ops.sum(counts)
        counts = counts if weights is None else counts * weights
        if not self.uses_target_indices:
            slab = self.network.config.backbone.slab
            arrays = [by_device(x) for x in (*tree.flatten(hidden), targets)]
            nll = in_slabs(self._nll, arrays, slab, True, head_weights(self.heads))
            nll = from_devices(nll, tree.flatten(hidden)[0].shape[1])
            total = ops.sum(ops.where(counts > 0, nll, 0.0) * counts)
            return total / ops.maximum(norm, 1e-9)
        counts = ops.reshape(counts, (-1,))
        rows = ops.reshape(targets, (-1, targets.shape[-1]))
        hidden = tree.map_structure(lambda x: ops.reshape(x, (-1, x.shape[-1])), hidden)
        total = 0.0
        for name, index in batch["target_indices"].items():
            weight = ops.cast(index >= 0, "float32")
            index = ops.maximum(index, 0)
            weight = weight * ops.take(counts, index)
            computed = index if self.rows is None else self.rows.computed_indices(batch, index)
            chosen = [ops.take(x, computed, axis=0) for x in tree.flatten(hidden)]
            chosen = tree.pack_sequence_as(hidden, chosen)
            nll = self.nll(name, chosen, ops.take(rows, index, axis=0))
            # Use where(), not a bare product: values gathered at padding indices may be NaN or inf.
            total = total + ops.sum(ops.where(weight > 0, nll, 0.0) * weight)
        return total / ops.maximum(norm, 1e-9)

    def _nll(self, *arrays):
        """Returns the losses `[batch, n]` of targets of the only modality, in nats.

        Args:
            *arrays: the inputs of the heads, and the targets.
        """
        *hidden, rows = [ops.reshape(x, (-1, x.shape[-1])) for x in arrays]
        hidden = hidden[0] if len(hidden) == 1 else tuple(hidden)
        nll = self.nll(self.heads.modalities[0], hidden, rows)
        return ops.reshape(nll, (-1, arrays[-1].shape[1]))


def _check_loss(loss, heads):
    """Refuses a loss for heads with other options.

    Raises:
        ValueError: names the first option that differs.
    """
    names = ["table", "places", *(("base", "digits") if heads.places else ())]
    pairs = {name: (loss.options[name], getattr(heads, name)) for name in names}
    pairs = {"modalities": (list(loss.modalities), list(heads.modalities))} | pairs
    for name, (of_loss, of_heads) in pairs.items():
        if of_loss != of_heads:
            raise ValueError(
                f"loss: expected {name}={of_heads!r}, as the network's heads have, received "
                f"{name}={of_loss!r}"
            )


class TargetNLL(keras.Model):
    """Computes the loss of each target, scoring only the steps of its own modality.

    Args:
        model: `mdnn.Network`.

    Call arguments:
        batch: dict of `tokens` and `targets`, int32 `[batch, positions, 8]`, and `target_indices`
            (see `target_indices`).

    Returns:
        dict from the names in `target_indices` to float32 `[n]`, the losses in nats of the targets
        at these indices.
    """

    def __init__(self, model, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.network, self.heads = model, model.heads
        # Minimum lengths of the target indices, updated by every call.
        self.sizes = {}
        self.built = True

    def call(self, batch):
        hidden = self.network.hidden(batch["tokens"], training=False)
        hidden = ops.reshape(hidden, (-1, hidden.shape[-1]))
        rows = ops.reshape(ops.cast(batch["targets"], "int32"), (-1, batch["targets"].shape[-1]))
        found = {}
        for name, index in batch["target_indices"].items():
            index = ops.maximum(index, 0)
            own, right = ops.take(hidden, index, axis=0), ops.take(rows, index, axis=0)
            found[name] = self._own(name, own, right)
        return found

    def _own(self, name, hidden, rows):
        heads = self.heads
        if heads.table != "bits":
            return heads.nll(name, hidden, rows)
        # Bit patterns that encode no token also have probability.
        options = {"places": heads.places, "base": heads.base, "digits": heads.digits}
        scores = heads(hidden[None], rows[None])
        return token_nll(rows[None], scores, heads.modalities, table="bits", **options)[0][0]

    def nll(self, tokens, targets):
        """Returns the loss of every target in nats, float64 `[batch, positions]`; 0 for padding."""
        batch = {"tokens": tokens, "targets": targets}
        batch["target_indices"] = target_indices(
            targets, self.heads.modalities, padded=True, sizes=self.sizes
        )
        found = predicted(self, batch)
        nll = np.zeros(targets[..., MODALITY].size)
        for name, index in batch["target_indices"].items():
            real = index >= 0
            nll[index[real]] = np.asarray(found[name], dtype="float64")[real]
        return nll.reshape(targets.shape[:-1])


def target_indices(targets, modalities, padded=False, sizes=None):
    """Returns the positions whose target has each modality.

    Args:
        targets: int tokens `[batch, positions, 8]`, an array.
        modalities: names of modalities.
        padded: bool, whether to round lengths up to few different values, so that functions
            compiled per shape (JAX) are rarely compiled again.
        sizes: dict from names to minimum lengths, for `padded`. It is updated with the returned
            lengths, so that they only grow and become constant.

    Returns:
        dict from the names to int32 `[n]`, indices into the flattened positions of the batch,
        followed by -1 up to the rounded length.
    """
    kinds = np.asarray(targets)[..., MODALITY].reshape(-1)
    found = {}
    for name in modalities:
        index = np.flatnonzero(kinds == modality(name).index).astype("int32")
        found[name] = rounded(index, name, sizes) if padded else index
    return found
