"""Implements the training step on TensorFlow."""

import numpy as np
import tensorflow as tf

from mdnn.models.active_rows import LISTS
from mdnn.native import native_graphs
from mdnn.training.mixed_precision import compute_dtype_scope
from mdnn.training.steps.step_base import TrainingStep, is_faulty, largest_gradient, loss_scale_of


class TensorFlowStep(TrainingStep):
    """Takes one optimizer step per call, optionally with several microbatches in parallel.

    Args:
        loss_models, optimizer, precision: see `TrainingStep`.
        xla: bool, whether to compile the step with XLA. On a CPU with 2 cores a step of
            configs/text.toml takes 224 ms with XLA and 45 ms without; a step of configs/maze.toml
            with 128 puzzles takes 484 ms with XLA and 934 ms without.
        microbatches: int, a divisor of the batch size.
        strategy: see `mdnn.training.steps.step.make_step`.
    """

    def __init__(self, loss_models, optimizer, precision, xla=False, microbatches=1, strategy=None):
        self.xla, self.microbatches, self.strategy = xla, microbatches, strategy
        super().__init__(loss_models, optimizer, precision)

    def compile(self, loss_model):
        optimizer, strategy = self.optimizer, self.strategy

        @tf.function(jit_compile=self.xla, autograph=False)
        def step(batches, rate):
            optimizer.learning_rate.assign(rate)
            with compute_dtype_scope(loss_model, self.precision), native_graphs(strategy is None):
                if strategy is None:
                    value, gradients = gradients_of(loss_model, batches, optimizer.scale_loss)
                else:
                    value, gradients = strategy(
                        loss_model,
                        [v.value for v in loss_model.trainable_variables],
                        [v.value for v in loss_model.non_trainable_variables],
                        batches[0],
                        optimizer.iterations.value,
                    )
            scale = loss_scale_of(optimizer)
            scale = None if scale is None else tf.convert_to_tensor(scale)
            dense = [g.values if isinstance(g, tf.IndexedSlices) else g for g in gradients]

            def learn():
                step_number = tf.identity(optimizer.iterations.value)
                optimizer.apply(gradients, loss_model.trainable_variables)
                if strategy is not None:
                    for index, variable in enumerate(loss_model.trainable_variables):
                        variable.assign(strategy.settle(index, variable.value, step_number))
                return tf.constant(-1), tf.constant(0.0)

            return value, tf.cond(
                is_faulty(value, dense, scale), lambda: largest_gradient(dense, scale), learn
            )

        traced = []

        def run(batches, rate):
            if not traced:
                specs = [_spec_of(batch) for batch in batches]
                traced.append(step.get_concrete_function(specs, tf.TensorSpec([], "float32")))
            return traced[0](batches, rate)

        return run

    def __call__(self, batch, rate, name=None):
        loss_model = self.loss_models[name]
        if self.microbatches == 1:
            batches = [loss_model.with_target_indices(batch)]
        else:
            batches = loss_model.microbatches(batch, self.microbatches)
        tensors = tf.nest.map_structure(tf.constant, batches)
        # No Python number: TensorFlow keeps each one that it makes a tensor of, for ever.
        value, self.fault = self.compiled[name](tensors, tf.constant(np.float32(rate)))
        return value

    def sync(self):
        """Does nothing: the variables are always current."""

    def read(self, variable):
        return variable.numpy()


def _spec_of(batch):
    """Returns the `TensorSpec`s of a batch, with a variable number of targets per modality."""
    spec = tf.nest.map_structure(tf.TensorSpec.from_tensor, batch)
    any_number = tf.TensorSpec([None], "int32")
    spec |= {name: any_number for name in LISTS if name in batch}
    if "target_indices" in batch:
        spec["target_indices"] = dict.fromkeys(batch["target_indices"], any_number)
    return spec


def gradients_of(loss_model, batches, scaled=lambda value: value):
    """Returns the loss of a batch, given as microbatches, and its gradients.

    Args:
        loss_model: `mdnn.models.loss_model.LossModel`.
        batches: list of dicts, the microbatches.
        scaled: function that scales the loss; the gradients are those of the scaled loss.

    Returns:
        The unscaled loss, a scalar, and a list of tensors, one per trainable variable; zeros for a
        variable that the loss does not depend on.
    """
    with tf.GradientTape() as tape:
        weights = zip(batches, loss_model.loss_weights(batches), strict=True)
        value = sum(loss_model(batch, training=True) * weight for batch, weight in weights)
        large = scaled(value)
    variables = [v.value for v in loss_model.trainable_variables]
    zero = tf.UnconnectedGradients.ZERO
    return value, tape.gradient(large, variables, unconnected_gradients=zero)
