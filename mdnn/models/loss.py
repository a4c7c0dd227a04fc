"""The one definition of the loss: nats per unit, by the chain rule over its decoding steps."""

import keras
from keras import ops

from mdnn.layers.modality_embedding import column
from mdnn.layers.modality_heads import decoding_steps
from mdnn.tokens.units import modality


def unit_nats(targets, scores, modalities):
    """Negative log-likelihood of units.

    Args:
        targets: integer tokens `[..., 8]`, the right units.
        scores: `[..., classes]` as `ModalityHeads` gives them for the same targets.
        modalities: names of the heads' modalities, in their order.

    Returns:
        Two float32 tensors `[...]`: nats of each slot, 0 where the target is padding; and 1
        where the target is a unit, 0 where it is padding.
    """
    kind = column(targets, "modality")
    counted = ops.cast(ops.not_equal(kind, 0), "float32")
    total, start = 0.0, 0
    for _, where, classes, own in decoding_steps(modalities):
        piece = scores[..., start : start + classes]
        start += classes
        if own is None:
            answer = sum(
                k * ops.cast(ops.equal(kind, modality(name).index), "int32")
                for k, name in enumerate(modalities)
            )
            weight = counted
        else:
            answer = ops.minimum(column(targets, where), classes - 1)
            weight = ops.cast(ops.equal(kind, own.index), "float32")
        nats = ops.sparse_categorical_crossentropy(answer, piece, from_logits=True)
        total = total + nats * weight
    return total, counted


@keras.saving.register_keras_serializable(package="mdnn")
class UnitLoss(keras.losses.Loss):
    """Mean nats per unit over the slots whose target is not padding.

    Args:
        modalities: names of the heads' modalities, in their order.

    Call arguments:
        y_true: integer tokens `[batch, slots, 8]`.
        y_pred: scores `[batch, slots, classes]` of `ModalityHeads`.
    """

    def __init__(self, modalities=("text",), name="nats", **kwargs):
        super().__init__(name=name, **kwargs)
        self.modalities = list(modalities)

    def call(self, y_true, y_pred):
        nats, counted = unit_nats(ops.cast(y_true, "int32"), y_pred, self.modalities)
        # Keras takes the mean over all slots; padding is to cost nothing in it.
        return nats / ops.maximum(ops.mean(counted), 1e-9)

    def get_config(self):
        return {**super().get_config(), "modalities": self.modalities}


@keras.saving.register_keras_serializable(package="mdnn")
class UnitNats(keras.layers.Layer):
    """`unit_nats` as a layer, so that a network that ends in it runs compiled.

    Args:
        modalities: names of the heads' modalities, in their order.

    Call arguments:
        targets: integer tokens `[batch, slots, 8]`.
        scores: `[batch, slots, classes]`.

    Output shape:
        float32 `[batch, slots]`.
    """

    def __init__(self, modalities, **kwargs):
        super().__init__(**kwargs)
        self.modalities = list(modalities)

    def call(self, targets, scores):
        return unit_nats(targets, scores, self.modalities)[0]

    def get_config(self):
        return {**super().get_config(), "modalities": self.modalities}


def nats_model(model, modalities):
    """A model with the inputs of `model` (targets given) that returns nats `[batch, slots]`."""
    inputs = dict(zip(("targets", "tokens"), model.inputs, strict=True))
    return keras.Model(model.input, UnitNats(modalities)(inputs["targets"], model.output))
