"""The training step on JAX."""

import jax
import numpy as np

from mdnn.models.active_rows import LISTS
from mdnn.training.mixed_precision import compute_dtype_scope
from mdnn.training.step_base import TrainingStep, is_faulty, largest_gradient, loss_scale_of

# Batches from which the numbers of targets are foreseen, and by how much more they may be.
FORESEEN, MORE = 64, 1.25


class JaxStep(TrainingStep):
    """Learns from a batch; the values of all variables stay with the step until `sync`.

    Args:
        learners, optimizer, precision: see `TrainingStep`.
        batches: `mdnn.datasets.batches.text_batches.StepBatches` that will be learnt from, whose
            `objective` is the name of a learner. A few of them are looked at, so that a step need
            not be compiled again when a later one has more targets of a modality.
    """

    def __init__(self, learners, optimizer, precision, batches=None):
        super().__init__(learners, optimizer, precision)
        # [trainable, fixed, optimizer state]: the current values, whichever learner was the last.
        self.values = []
        self.sizes = foreseen_sizes(learners, batches)

    def compile(self, learner):
        optimizer, gradients_of = self.optimizer, gradient_function(learner)
        rate_at = [v is optimizer.learning_rate for v in optimizer.variables].index(True)
        scales = [v is loss_scale_of(optimizer) for v in optimizer.variables]

        @jax.jit
        def step(trainable, fixed, state, batch, rate):
            scale = state[scales.index(True)] if any(scales) else None
            factor = () if scale is None else (scale,)
            with compute_dtype_scope(learner, self.precision):
                (_, (value, fixed)), gradients = gradients_of(trainable, fixed, batch, *factor)
            state = [rate if k == rate_at else v for k, v in enumerate(state)]

            def learn():
                learnt, changed = optimizer.stateless_apply(state, gradients, trainable)
                return (jax.numpy.int32(-1), jax.numpy.float32(0)), list(learnt), list(changed)

            def leave():
                return largest_gradient(gradients, scale), trainable, state

            fault, trainable, state = jax.lax.cond(is_faulty(value, gradients, scale), leave, learn)
            return value, fault, trainable, fixed, state

        return step

    def __call__(self, batch, rate, name=None):
        # Read when first needed and after `sync`: then others may set the variables, and Keras'
        # `predict` gives away the arrays that they hold.
        if not self.values:
            self.values = [*values_of(self.first), [v.value for v in self.optimizer.variables]]
        learner = self.learners[name]
        batch = learner.with_target_indices(batch, padded=True, sizes=self.sizes[id(learner)])
        rate = jax.numpy.float32(rate)
        value, self.fault, *self.values = self.compiled[name](*self.values, batch, rate)
        return value

    def sync(self):
        if not self.values:
            return
        first = self.first
        owners = (
            first.trainable_variables,
            first.non_trainable_variables,
            self.optimizer.variables,
        )
        for variables, values in zip(owners, self.values, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        self.values = []

    def read(self, variable):
        if not self.values:
            return np.asarray(variable.value)
        number = [v is variable for v in self.first.non_trainable_variables].index(True)
        return np.asarray(self.values[1][number])


def values_of(learner):
    """Returns the values of a learner's variables: those that are trained, and the others."""
    trainable = [v.value for v in learner.trainable_variables]
    return trainable, [v.value for v in learner.non_trainable_variables]


def gradient_function(learner):
    """Returns the function that takes the loss of a batch and its gradients.

    Returns:
        Function `(trainable, fixed, batch, scale=1) -> ((_, (loss, fixed)), gradients)`; the
        gradients are those of the loss times `scale`.
    """

    def compute(trainable, fixed, batch, scale=1.0):
        value, fixed = learner.stateless_call(trainable, fixed, batch, training=True)
        return value * scale, (value, fixed)

    return jax.value_and_grad(compute, has_aux=True)


def foreseen_sizes(learners, batches):
    """Returns the lengths of target indices that each learner will need, as a few batches tell.

    Args:
        learners: dict from names to learners.
        batches: as of `JaxStep`, or `None`.

    Returns:
        Dict from the learners' ids to dicts from the names of modalities to lengths.
    """
    sizes = {id(learner): {} for learner in learners.values()}
    for step in range(FORESEEN if batches is not None else 0):
        learner = learners[batches.objective(step)]
        if learner.uses_target_indices:
            known = sizes[id(learner)]
            batch = learner.with_target_indices(batches.at(step))
            rows = {name: batch[name] for name in LISTS if name in batch}
            for name, index in (batch["target_indices"] | rows).items():
                known[name] = max(known.get(name, 0), int(MORE * len(index)))
    return sizes
