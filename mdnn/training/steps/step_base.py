"""Defines the interface of a training step on every backend."""

import abc

import numpy as np
from keras import ops


class TrainingStep(abc.ABC):
    """Takes one optimizer step per call; compiled once for each loss model.

    Args:
        loss_models: dict from names to `LossModel`s that share their variables; a loss model may
            have several names.
        optimizer: a Keras optimizer, built on their trainable variables.
        precision: compute dtype: `"float32"`, `"bfloat16"` or `"float16"`.

    Call arguments:
        batch: dict of the model's inputs, including `targets` and optionally `weights` for the
            loss.
        rate: float, the learning rate.
        name: name of the loss model to train.

    Returns:
        The loss, a scalar. If the loss or a gradient is not finite, no variable is updated.

    Attributes:
        loss_models: as above.
        fault: pair of scalars for the last call: `(-1, 0)` after a valid step; after a non-finite
            loss or gradient, the index of the trainable variable with the largest gradient and the
            largest absolute value of that gradient.
    """

    def __init__(self, loss_models, optimizer, precision):
        self.loss_models, self.optimizer, self.precision = loss_models, optimizer, precision
        self.first = next(iter(loss_models.values()))
        self.fault = None
        compiled = {id(loss_model): self.compile(loss_model) for loss_model in loss_models.values()}
        self.compiled = {name: compiled[id(loss_model)] for name, loss_model in loss_models.items()}

    @abc.abstractmethod
    def compile(self, loss_model):
        """Returns the compiled function of one loss model."""

    @abc.abstractmethod
    def __call__(self, batch, rate, name=None):
        """Takes one optimizer step on a batch; see the class."""

    @abc.abstractmethod
    def sync(self):
        """Writes the current values back to the variables of model and optimizer.

        Afterwards other code may read and assign them.
        """

    def copy_values(self, sources, targets):
        """Assigns the current values of variables to non-trainable ones.

        Args:
            sources, targets: lists of variables of the loss models.
        """
        self.sync()
        for source, target in zip(sources, targets, strict=True):
            # A copy: Keras' `predict` donates arrays that variables hold.
            target.assign(ops.copy(ops.convert_to_tensor(source)))

    @abc.abstractmethod
    def read(self, variable):
        """Returns the current value of a non-trainable variable as an array, without `sync`."""


def is_faulty(value, gradients, scale):
    """Returns whether the loss or a gradient of a step is not finite.

    Args:
        value: the loss, a scalar.
        gradients: list of tensors.
        scale: the loss scale, a scalar, or `None`. While it is above 1, non-finite gradients are
            ignored here: the loss-scaling optimizer handles them by reducing the scale.

    Returns:
        bool scalar.
    """
    finite = ops.all(ops.stack([ops.all(ops.isfinite(g)) for g in gradients]))
    if scale is not None:
        finite = ops.logical_or(finite, scale > 1)
    return ops.logical_not(ops.logical_and(finite, ops.isfinite(value)))


def largest_gradient(gradients, scale):
    """Returns the index of the gradient with the largest absolute value, and that value.

    A non-finite gradient counts as infinite.

    Args:
        gradients: list of tensors.
        scale: the loss scale, by which the value is divided, or `None`.

    Returns:
        int32 scalar and float32 scalar.
    """
    peaks = [
        ops.where(ops.all(ops.isfinite(g)), ops.max(ops.abs(ops.cast(g, "float32"))), np.inf)
        for g in gradients
    ]
    peaks = ops.stack(peaks) / (1.0 if scale is None else scale)
    return ops.cast(ops.argmax(peaks), "int32"), ops.max(peaks)


def loss_scale_of(optimizer):
    """Returns the loss-scale variable of an optimizer; `None` if it does not scale the loss."""
    return getattr(optimizer, "dynamic_scale", None)
