"""What a training step is on every backend."""

import abc

import numpy as np
from keras import ops


class TrainingStep(abc.ABC):
    """Learns from one batch at a time; compiled once for each loss model.

    Args:
        learners: dict from names to `LossModel`s that share their variables; one of them may have
            several names.
        optimizer: a Keras optimizer, built on their trainable variables.
        precision: `"float32"`, `"bfloat16"` or `"float16"`, what the step computes with.

    Call arguments:
        batch: dict of the model's inputs, whose `targets` are also what the loss compares with,
            and whose `weights`, if there are any, the loss takes.
        rate: float, the learning rate.
        name: the loss model that learns.

    Returns:
        The loss, a scalar. Where the loss or a gradient is not finite, nothing is learnt.

    Attributes:
        learners: as above.
        fault: of the last call, the number of the trainable variable with the largest gradient
            and its largest value where the loss or a gradient was not finite, else -1 and 0.
    """

    def __init__(self, learners, optimizer, precision):
        self.learners, self.optimizer, self.precision = learners, optimizer, precision
        self.first = next(iter(learners.values()))
        self.fault = None
        compiled = {id(learner): self.compile(learner) for learner in learners.values()}
        self.compiled = {name: compiled[id(learner)] for name, learner in learners.items()}

    @abc.abstractmethod
    def compile(self, learner):
        """Returns the compiled function of one loss model."""

    @abc.abstractmethod
    def __call__(self, batch, rate, name=None):
        """Learns from a batch; see the class."""

    @abc.abstractmethod
    def sync(self):
        """Makes the variables of model and optimizer readable and settable from outside."""

    @abc.abstractmethod
    def read(self, variable):
        """Returns the value of a variable that is not trained, an array, without `sync`."""


def is_faulty(value, gradients, scale):
    """Returns whether a step must not be learnt from, a boolean scalar.

    Args:
        value: the loss, a scalar.
        gradients: list of tensors.
        scale: the factor of the loss, a scalar, or `None`. While it is above 1, gradients that
            are not finite are left to the optimizer, which takes a smaller factor.
    """
    finite = ops.all(ops.stack([ops.all(ops.isfinite(g)) for g in gradients]))
    if scale is not None:
        finite = ops.logical_or(finite, scale > 1)
    return ops.logical_not(ops.logical_and(finite, ops.isfinite(value)))


def largest_gradient(gradients, scale):
    """Returns the number of the gradient with the largest value, and that value.

    A gradient that is not finite counts as larger than any that is.
    """
    peaks = [
        ops.where(ops.all(ops.isfinite(g)), ops.max(ops.abs(ops.cast(g, "float32"))), np.inf)
        for g in gradients
    ]
    peaks = ops.stack(peaks) / (1.0 if scale is None else scale)
    return ops.cast(ops.argmax(peaks), "int32"), ops.max(peaks)


def loss_scale_of(optimizer):
    """Returns the variable by which an optimizer scales the loss; `None` where it does not."""
    return getattr(optimizer, "dynamic_scale", None)
