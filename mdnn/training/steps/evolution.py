"""Estimates gradients without backpropagation: evolution strategies (`train.method = "blind"`)."""

import math

import keras
from keras import ops

SCALE_RANGE = 4.0
"""Half of the range of int8 weights, in units of 1 / sqrt(fan in)."""


class EvolutionStrategy:
    """Estimates the gradient of a loss from losses at perturbed weights alone.

    Antithetic pairs (Salimans et al., arXiv 1703.03864): with noise `E` of variance 1 and
    `s = sigma * size`, where `size` is 1 / sqrt(fan in) of a matrix, the gradient is estimated by
    the mean over pairs of `(loss(W + s E) - loss(W - s E)) / (2 s) * E`. The noise of a matrix is
    of low rank, `A B^T / sqrt(rank)` with normal `A` and `B` (EGGROLL, arXiv 2511.16652); that of
    a vector is normal. All noise is a function of the seed, the step, the pair and the weight, so
    nothing of it is stored. The network computes without dropout, and no activation is kept.

    Args:
        pairs: int, pairs of evaluations per step.
        sigma: float, size of the noise relative to 1 / sqrt(fan in).
        rank: int, rank of a matrix's noise.
        weights: `"float32"`, or `"int8"`: matrices stay on a grid of 255 values, and neither
            noise nor updates leave it; updates are rounded at random, so that small updates
            take effect on average.
        seed: int.
    """

    def __init__(self, pairs, sigma, rank, weights, seed):
        self.pairs, self.sigma, self.rank, self.seed = pairs, sigma, rank, seed
        self.int8 = weights == "int8"

    def __call__(self, loss_model, trainable, fixed, batch, step):
        """Returns the loss and the estimated gradients.

        Args:
            loss_model: `mdnn.models.loss_model.LossModel`.
            trainable: list of tensors, the weights.
            fixed: list of tensors, the non-trainable values.
            batch: dict for the loss model.
            step: int32 scalar, the number of the step.

        Returns:
            Mean loss of all evaluations, a scalar, and a list of tensors, one per weight.
        """
        sizes = [fan_size(value.shape) for value in trainable]
        # Keras counts steps in int32 or int64, depending on the backend.
        step = ops.cast(step, "int32")

        def loss_at(sign, noise):
            weights = [
                self.on_grid(w + sign * self.sigma * size * e, w.shape)
                for w, size, e in zip(trainable, sizes, noise, strict=True)
            ]
            value, _ = loss_model.stateless_call(weights, fixed, batch, training=False)
            return ops.cast(value, "float32")

        def add_pair(pair, carried):
            total, gradients = carried
            noise = self.noise(trainable, step * self.pairs + pair)
            above, below = loss_at(1.0, noise), loss_at(-1.0, noise)
            slope = (above - below) / (2 * self.sigma * self.pairs)
            gradients = [
                g + slope / size * e for g, size, e in zip(gradients, sizes, noise, strict=True)
            ]
            return total + (above + below) / (2 * self.pairs), gradients

        start = ops.zeros((), "float32"), [ops.zeros_like(value) for value in trainable]
        return ops.fori_loop(0, self.pairs, add_pair, start)

    def noise(self, trainable, number):
        """Returns noise of variance 1, a list of tensors shaped like the weights.

        Args:
            trainable: list of tensors, the weights.
            number: int32 scalar, counts the pairs of all steps.
        """
        return [self._noise(index, value.shape, number) for index, value in enumerate(trainable)]

    def _noise(self, index, shape, number):
        if len(shape) < 2:
            return self._normal(shape, 3 * index, number)
        *stack, rows, columns = shape
        a = self._normal((*stack, rows, self.rank), 3 * index, number)
        b = self._normal((*stack, self.rank, columns), 3 * index + 1, number)
        return ops.matmul(a, b) / math.sqrt(self.rank)

    def _normal(self, shape, stream, number):
        return _stateless("normal", shape, self.seed, stream, number)

    def on_grid(self, value, shape):
        """Returns a matrix rounded to the int8 grid; other values, and float32 ones, as they are.

        Args:
            value: float tensor `[...]`, a weight; only those of two or more axes are rounded.
            shape: tuple of ints, its shape.
        """
        if not self.int8 or len(shape) < 2:
            return value
        unit = grid_unit(shape)
        return ops.clip(ops.round(value / unit), -127, 127) * unit

    def settle(self, index, value, step):
        """Returns an updated weight on the int8 grid, rounded up or down at random.

        The expected value is the one given, unless it is outside the grid.

        Args:
            index: int, the number of the weight.
            value: float tensor `[...]`, the weight after the optimizer's update.
            step: int32 scalar, the number of the step.
        """
        if not self.int8 or len(value.shape) < 2:
            return value
        draw = _stateless("uniform", value.shape, self.seed, 3 * index + 2, step)
        unit = grid_unit(value.shape)
        return ops.clip(ops.floor(value / unit + draw), -127, 127) * unit

    def start(self, variables):
        """Rounds the weights to the int8 grid before the first step."""
        if not self.int8:
            return
        for variable in variables:
            variable.assign(self.on_grid(ops.convert_to_tensor(variable), variable.shape))


def fan_size(shape):
    """Returns 1 / sqrt(fan in) of a weight's shape; 0.1 for vectors, whose scale is 1 or 0."""
    return 1 / math.sqrt(shape[-2]) if len(shape) > 1 else 0.1


def grid_unit(shape):
    """Returns the distance between two neighboring int8 values of a matrix."""
    return SCALE_RANGE * fan_size(shape) / 127


def _stateless(kind, shape, seed, stream, number):
    """Draws float32 numbers that are a function of three integers; `number` may be a tensor."""
    shape = tuple(int(size) for size in shape)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        key = tf.stack([tf.constant(seed * 10_007 + stream, tf.int64), tf.cast(number, tf.int64)])
        draw = tf.random.stateless_normal if kind == "normal" else tf.random.stateless_uniform
        return draw(shape, key)
    import jax

    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), stream), number)
    return getattr(jax.random, kind)(key, shape)


def strategy_of(config):
    """Returns the `EvolutionStrategy` of a config; `None` where it trains by gradients."""
    if config.train.method != "blind":
        return None
    spec = config.train.blind
    return EvolutionStrategy(spec.pairs, spec.sigma, spec.rank, spec.weights, config.seed)
