"""A network with its loss as one model: a batch in, the loss out."""

import keras
import numpy as np
from keras import ops

from mdnn.layers.decoding_steps import column, is_any
from mdnn.models.loss import unit_nats
from mdnn.tokens.units import MODALITY, modality


class Learner(keras.Model):
    """A network and its loss, with no score computed that the loss does not ask for.

    `UnitLoss` takes the scores of every step at every slot. Where a network answers in several
    modalities, most of them are of modalities that the slot's target is not: here the heads are
    asked for each target's own steps alone. The value is that of `UnitLoss`.

    Args:
        model: a network as `mdnn.build` or `mdnn.models.variants.variant` makes it.
        loss: its `mdnn.UnitLoss`.

    Call arguments:
        batch: dict of `tokens` and `targets`, int32 `[batch, slots, 8]`, maybe `weights`, float32
            `[batch, slots]`, and `picks`: for networks of several modalities, what `picks` gives.

    Returns:
        The loss, a scalar.
    """

    def __init__(self, model, loss, **kwargs):
        super().__init__(**kwargs)
        # First, so that the variables are the network's, in the network's order.
        self.network = model
        self.heads, self.hidden = heads_and_hidden(model)
        self.loss_function = loss
        self.picking = len(self.heads.modalities) > 1 and self.heads.table != "bits"
        self.built = True

    def call(self, batch, training=None):
        hidden = self.hidden(batch["tokens"], training=training)
        targets, weights = ops.cast(batch["targets"], "int32"), batch.get("weights")
        if not self.picking:
            scores = self.heads(hidden, targets)
            return self.loss_function(targets, scores, sample_weight=weights)
        counts = {
            name: self.loss_function.modality_weights.get(name, 1.0)
            for name in self.heads.modalities
        }
        kind = column(targets, "modality")
        norm = ops.sum(sum(count * is_any(kind, [name]) for name, count in counts.items()))
        hidden = ops.reshape(hidden, (-1, hidden.shape[-1]))
        rows = ops.reshape(targets, (-1, targets.shape[-1]))
        weights = None if weights is None else ops.reshape(weights, (-1,))
        total = 0.0
        for name, index in batch["picks"].items():
            real = ops.cast(index >= 0, "float32")
            index = ops.maximum(index, 0)
            weight = real if weights is None else real * ops.take(weights, index)
            nats = self.heads.nats(
                name,
                ops.take(hidden, index, axis=0),
                ops.take(rows, index, axis=0),
                self.loss_function.step_weights,
            )
            # Not a product alone: what stands in for no slot may be no finite number.
            total = total + counts[name] * ops.sum(ops.where(weight > 0, nats, 0.0) * weight)
        return total / ops.maximum(norm, 1e-9)


def heads_and_hidden(model):
    """A network's heads, and the model from tokens to what the heads are given.

    Variants share their layers: it is what they are given in this one of them.
    """
    heads, node, _ = model.output._keras_history
    hidden = heads._inbound_nodes[node].input_tensors[0]
    return heads, keras.Model(model.input["tokens"], hidden)


class TargetNats(keras.Model):
    """Nats of targets, each target's own steps alone scored.

    Args:
        model: a network as `mdnn.build` or `mdnn.models.variants.variant` makes it.

    Call arguments:
        batch: dict of `tokens` and `targets`, int32 `[batch, slots, 8]`, and `picks` (see
            `picks`).

    Returns:
        dict from the names in `picks` to float32 `[n]`: nats of the targets that are picked.
    """

    def __init__(self, model, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.hidden = heads_and_hidden(model)
        # Of the picks in each call so far.
        self.sizes = {}
        self.built = True

    def call(self, batch):
        hidden = self.hidden(batch["tokens"], training=False)
        hidden = ops.reshape(hidden, (-1, hidden.shape[-1]))
        rows = ops.reshape(ops.cast(batch["targets"], "int32"), (-1, batch["targets"].shape[-1]))
        found = {}
        for name, index in batch["picks"].items():
            index = ops.maximum(index, 0)
            own, right = ops.take(hidden, index, axis=0), ops.take(rows, index, axis=0)
            found[name] = self._own(name, own, right)
        return found

    def _own(self, name, hidden, rows):
        heads = self.heads
        if heads.table != "bits":
            return heads.nats(name, hidden, rows)
        # Bits that make no unit have a share of the probability, too.
        how = {"places": heads.places, "base": heads.base, "digits": heads.digits}
        scores = heads(hidden[None], rows[None])
        return unit_nats(rows[None], scores, heads.modalities, table="bits", **how)[0][0]

    def nats(self, tokens, targets):
        """Nats of every slot's target, float64 `[batch, slots]`, 0 where there is none."""
        batch = {"tokens": tokens, "targets": targets}
        batch["picks"] = picks(targets, self.heads.modalities, padded=True, sizes=self.sizes)
        found = self.predict_on_batch(batch)
        nats = np.zeros(targets[..., MODALITY].size)
        for name, index in batch["picks"].items():
            real = index >= 0
            nats[index[real]] = np.asarray(found[name], dtype="float64")[real]
        return nats.reshape(targets.shape[:-1])


def hidden_model(model):
    """From tokens to what the heads of a network are given, as a model of the same layers.

    The layers of a variant are those of another network, too: it is the tensor that this model's
    own scores come from which is asked for, not the first one that such a layer gave.
    """
    history = model.output._keras_history
    node = history.operation._inbound_nodes[history.node_index]
    return keras.Model(model.input["tokens"], node.input_tensors[0])


def picks(targets, modalities, padded=False, sizes=None):
    """Which slots have a target of which modality.

    Args:
        targets: integer tokens `[batch, slots, 8]`, an array.
        modalities: names.
        padded: whether lengths are rounded up, to few different ones, so that a function that
            is compiled for each (JAX) is compiled seldom.
        sizes: dict from names to the least lengths that are given where lengths are rounded up;
            it is told the lengths that are given, so that in the end they are always the same.

    Returns:
        dict from the names to int32 `[n]`, places in the batch's slots laid end to end; -1
        where a length was rounded up.
    """
    kinds = np.asarray(targets)[..., MODALITY].reshape(-1)
    found = {}
    for name in modalities:
        index = np.flatnonzero(kinds == modality(name).index).astype("int32")
        if padded:
            sizes = {} if sizes is None else sizes
            size = max(16, sizes.get(name, 0))
            if len(index) > size:
                size = 1 << (len(index) - 1).bit_length()
            sizes[name] = size
            index = np.pad(index, (0, size - len(index)), constant_values=-1)
        found[name] = index
    return found
