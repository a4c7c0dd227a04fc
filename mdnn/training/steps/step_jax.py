"""Implements the training step on JAX."""

import jax
import numpy as np

from mdnn.models.active_rows import LISTS
from mdnn.native import native_graphs
from mdnn.training.mixed_precision import compute_dtype_scope
from mdnn.training.steps.step_base import TrainingStep, is_faulty, largest_gradient, loss_scale_of

# Number of batches used to estimate the numbers of targets, and the safety factor.
FORESEEN, MORE = 64, 1.25


class JaxStep(TrainingStep):
    """Takes one optimizer step per call; holds the values of all variables until `sync`.

    Args:
        loss_models, optimizer, precision: see `TrainingStep`.
        batches: the training batches, a `mdnn.datasets.batches.step_batches.StepBatches`, whose
            `objective` returns the name of a loss model; or `None`. A sample of them determines
            the padded lengths of the target indices, which avoids recompilation when a later batch
            has more targets of a modality.
        strategy: see `mdnn.training.steps.step.make_step`.
    """

    def __init__(self, loss_models, optimizer, precision, batches=None, strategy=None):
        self.strategy = strategy
        super().__init__(loss_models, optimizer, precision)
        # [trainable, non-trainable, optimizer state]: current values, shared by all loss models.
        self.values = []
        self.sizes = foreseen_sizes(loss_models, batches)

    def compile(self, loss_model):
        optimizer, strategy = self.optimizer, self.strategy
        gradients_of = gradient_function(loss_model)
        rate_at = [v is optimizer.learning_rate for v in optimizer.variables].index(True)
        number_at = [v is optimizer.iterations for v in optimizer.variables].index(True)
        scales = [v is loss_scale_of(optimizer) for v in optimizer.variables]

        def step(trainable, fixed, state, batch, rate):
            scale = state[scales.index(True)] if any(scales) else None
            factor = () if scale is None else (scale,)
            with compute_dtype_scope(loss_model, self.precision), native_graphs(strategy is None):
                if strategy is None:
                    (_, (value, fixed)), gradients = gradients_of(trainable, fixed, batch, *factor)
                else:
                    number = state[number_at]
                    value, gradients = strategy(loss_model, trainable, fixed, batch, number)
            state = [rate if k == rate_at else v for k, v in enumerate(state)]

            def learn():
                learnt, changed = optimizer.stateless_apply(state, gradients, trainable)
                if strategy is not None:
                    number = state[number_at]
                    learnt = [strategy.settle(k, v, number) for k, v in enumerate(learnt)]
                return (jax.numpy.int32(-1), jax.numpy.float32(0)), list(learnt), list(changed)

            def leave():
                return largest_gradient(gradients, scale), trainable, state

            fault, trainable, state = jax.lax.cond(is_faulty(value, gradients, scale), leave, learn)
            return value, fault, trainable, fixed, state

        return self.jitted(step)

    def jitted(self, step):
        """Returns the compiled function of a step."""
        return jax.jit(step)

    def __call__(self, batch, rate, name=None):
        # Read again after each `sync`: other code may assign the variables in between, and Keras'
        # `predict` donates the arrays that they hold.
        if not self.values:
            self.values = [*values_of(self.first), [v.value for v in self.optimizer.variables]]
        loss_model = self.loss_models[name]
        batch = loss_model.with_target_indices(batch, padded=True, sizes=self.sizes[id(loss_model)])
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


def values_of(loss_model):
    """Returns the values of a loss model's trainable and non-trainable variables, two lists."""
    trainable = [v.value for v in loss_model.trainable_variables]
    return trainable, [v.value for v in loss_model.non_trainable_variables]


def gradient_function(loss_model):
    """Builds the function that computes the loss of a batch and its gradients.

    Returns:
        Function `(trainable, fixed, batch, scale=1) -> ((_, (loss, fixed)), gradients)`, where
        `fixed` are the non-trainable values; the gradients are those of `scale * loss`.
    """

    def compute(trainable, fixed, batch, scale=1.0):
        value, fixed = loss_model.stateless_call(trainable, fixed, batch, training=True)
        return value * scale, (value, fixed)

    return jax.value_and_grad(compute, has_aux=True)


def foreseen_sizes(loss_models, batches):
    """Estimates the padded lengths of target indices from the first `FORESEEN` batches.

    Args:
        loss_models: dict from names to loss models.
        batches: see `JaxStep`; `None`: the inner dicts stay empty.

    Returns:
        Dict from the ids of the loss models to dicts from modalities (or the names in
        `mdnn.models.active_rows.LISTS`) to lengths.
    """
    sizes = {id(loss_model): {} for loss_model in loss_models.values()}
    for step in range(FORESEEN if batches is not None else 0):
        # Steps of parts of the weights have other names.
        loss_model = loss_models.get(batches.objective(step))
        if loss_model is not None and loss_model.uses_target_indices:
            known = sizes[id(loss_model)]
            batch = loss_model.with_target_indices(batches.at(step))
            rows = {name: batch[name] for name in LISTS if name in batch}
            for name, index in (batch["target_indices"] | rows).items():
                known[name] = max(known.get(name, 0), int(MORE * len(index)))
    return sizes
