"""A network with its loss as one model: a batch in, the loss out."""

import keras
import numpy as np
from keras import ops

from mdnn.models.active_rows import ActiveRows, rounded
from mdnn.models.loss import token_nll
from mdnn.tokens.features import MODALITY, modality


class LossModel(keras.Model):
    """A network and its loss, with no score computed that the loss does not ask for.

    `TokenCrossEntropy` takes the scores of every step at every position. Where a network answers in
    several modalities, most of them are of modalities that the position's target is not: here the
    heads are asked for each target's own steps alone. The value is that of `TokenCrossEntropy`.

    Args:
        model: `mdnn.Network`.
        loss: its `mdnn.TokenCrossEntropy`.

    Call arguments:
        batch: dict of `tokens` and `targets`, int32 `[batch, positions, 8]`, maybe `weights`,
            float32 `[batch, positions]`, and for networks of several modalities what
            `with_target_indices` adds. Where the number of steps differs from batch to batch,
            `free`, int32 `[batch]`: how many are taken without gradient before the last
            `refeed.bptt_steps`, the same number for each example.

    Returns:
        The loss, a scalar.

    Attributes:
        divisible: whether the loss of a batch is made of those of its parts (see `shares`).
    """

    divisible = True

    def __init__(self, model, loss, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        # The variables are the network's, in the network's order.
        self.network = model
        self.heads = model.heads
        self.loss_function = loss
        self.uses_target_indices = len(self.heads.modalities) > 1 and self.heads.table != "bits"
        self.rows = ActiveRows.of(model) if self.uses_target_indices else None
        self.built = True

    def with_target_indices(self, batch, padded=False, sizes=None):
        """A batch with the places of its targets, and the rows that they are in.

        Args:
            batch: dict as for `call`, of arrays.
            padded, sizes: as for `target_indices`.
        """
        if not self.uses_target_indices:
            return batch
        found = target_indices(batch["targets"], self.heads.modalities, padded, sizes)
        rows = {} if self.rows is None else self.rows.with_target_indices(batch, padded, sizes)
        return batch | {"target_indices": found} | rows

    def microbatches(self, batch, count):
        """A batch in as many parts of equal length, each as `call` takes it; a list.

        Args:
            batch: dict as for `call`, of arrays, without what `with_target_indices` adds.
            count: int, a divisor of the batch's length.
        """
        pieces = {name: np.split(values, count) for name, values in batch.items()}
        return [
            self.with_target_indices({name: own[k] for name, own in pieces.items()})
            for k in range(count)
        ]

    def shares(self, batches):
        """What the loss of each part of a batch counts in the loss of the whole batch.

        Args:
            batches: list of dicts as for `call`, the parts.

        Returns:
            List of scalars, whose sum is 1 where there is a target.
        """
        if len(batches) == 1:
            return [1.0]
        counts = [
            ops.sum(self.loss_function.weights(ops.cast(batch["targets"], "int32")))
            for batch in batches
        ]
        return [count / ops.maximum(sum(counts), 1e-9) for count in counts]

    def _hidden(self, batch, training):
        """What the heads are given, `[batch, positions, width]`."""
        network = self.network
        if "free" not in batch:
            return network.hidden(batch["tokens"], training=training)
        x = network.embed(batch["tokens"])
        states = network.iterate(
            x,
            network.first_states(x, training),
            network.config.refeed.bptt_steps,
            batch["free"][0],
            training=training,
        )
        return network.read_out(states[0])

    def call(self, batch, training=None):
        targets, weights = ops.cast(batch["targets"], "int32"), batch.get("weights")
        if self.heads.table == "bits":
            scores = self.heads(self._hidden(batch, training), targets)
            return self.loss_function(targets, scores, sample_weight=weights)
        counts = self.loss_function.weights(targets)
        norm = ops.sum(counts)
        counts = ops.reshape(counts if weights is None else counts * weights, (-1,))
        rows = ops.reshape(targets, (-1, targets.shape[-1]))
        if self.rows is None:
            hidden = self._hidden(batch, training)
            hidden = ops.reshape(hidden, (-1, hidden.shape[-1]))
        else:
            hidden = self.rows.hidden(batch, training)
        if not self.uses_target_indices:
            nats = self.heads.nll(
                self.heads.modalities[0], hidden, rows, self.loss_function.step_weights
            )
            total = ops.sum(ops.where(counts > 0, nats, 0.0) * counts)
            return total / ops.maximum(norm, 1e-9)
        total = 0.0
        for name, index in batch["target_indices"].items():
            weight = ops.cast(index >= 0, "float32")
            index = ops.maximum(index, 0)
            weight = weight * ops.take(counts, index)
            place = index if self.rows is None else self.rows.places(batch, index)
            nats = self.heads.nll(
                name,
                ops.take(hidden, place, axis=0),
                ops.take(rows, index, axis=0),
                self.loss_function.step_weights,
            )
            # Not a product alone: what stands in for no position may be no finite number.
            total = total + ops.sum(ops.where(weight > 0, nats, 0.0) * weight)
        return total / ops.maximum(norm, 1e-9)


class TargetNLL(keras.Model):
    """Nats of targets, each target's own steps alone scored.

    Args:
        model: `mdnn.Network`.

    Call arguments:
        batch: dict of `tokens` and `targets`, int32 `[batch, positions, 8]`, and `target_indices`
            (see `target_indices`).

    Returns:
        dict from the names in `target_indices` to float32 `[n]`: nats of the targets that are
        with_target_indices.
    """

    def __init__(self, model, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.network, self.heads = model, model.heads
        # Of the target_indices in each call so far.
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
        # Bits that make no unit have a share of the probability, too.
        how = {"places": heads.places, "base": heads.base, "digits": heads.digits}
        scores = heads(hidden[None], rows[None])
        return token_nll(rows[None], scores, heads.modalities, table="bits", **how)[0][0]

    def nll(self, tokens, targets):
        """Nats of every position's target, float64 `[batch, positions]`, 0 where there is none."""
        batch = {"tokens": tokens, "targets": targets}
        batch["target_indices"] = target_indices(
            targets, self.heads.modalities, padded=True, sizes=self.sizes
        )
        found = self.predict_on_batch(batch)
        nats = np.zeros(targets[..., MODALITY].size)
        for name, index in batch["target_indices"].items():
            real = index >= 0
            nats[index[real]] = np.asarray(found[name], dtype="float64")[real]
        return nats.reshape(targets.shape[:-1])


def target_indices(targets, modalities, padded=False, sizes=None):
    """Which positions have a target of which modality.

    Args:
        targets: integer tokens `[batch, positions, 8]`, an array.
        modalities: names.
        padded: whether lengths are rounded up, to few different ones, so that a function that
            is compiled for each (JAX) is compiled seldom.
        sizes: dict from names to the least lengths that are given where lengths are rounded up;
            it is told the lengths that are given, so that in the end they are always the same.

    Returns:
        dict from the names to int32 `[n]`, places in the batch's positions laid end to end; -1
        where a length was rounded up.
    """
    kinds = np.asarray(targets)[..., MODALITY].reshape(-1)
    found = {}
    for name in modalities:
        index = np.flatnonzero(kinds == modality(name).index).astype("int32")
        found[name] = rounded(index, name, sizes) if padded else index
    return found
