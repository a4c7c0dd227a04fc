"""Limits each position's refeed steps by the lengths of prompt and answer."""

import math

import keras
import numpy as np
from keras import ops

from mdnn.models.thinking.stopping import run_until_stopped
from mdnn.tokens.features import MODALITY
from mdnn.tokens.modalities import modality

ROUNDING = 1e-3


class StepLimits(keras.layers.Layer):
    """Computes the largest number of steps of each position (`refeed.steps_by_length`).

    In a causal call a position has read all positions up to itself and predicts the next one.
    Otherwise all positions of a context take the same number of steps, which depends on the
    numbers of its known and of its masked tokens.

    Args:
        length: `mdnn.config.training_tables.Length`.
        steps: int, the largest number of steps.
        grid: tuple of ints, the context's axes.

    Call arguments:
        tokens: int32 `[batch, positions, 8]`.
        causal: bool.

    Returns:
        int32 `[1, *grid, 1]` if causal, otherwise `[batch, *(1 for each axis), 1]`.
    """

    def __init__(self, length, steps, grid, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.length, self.steps, self.grid = length, steps, tuple(grid)

    def of_positions(self):
        """Returns the limits of a causal call, int32 `[*grid]`."""
        given = np.arange(1, math.prod(self.grid) + 1)
        return np.array(self._steps(given, 1, np), "int32").reshape(self.grid)

    def call(self, tokens, causal=True):
        if causal:
            return ops.convert_to_tensor(self.of_positions()[None, ..., None])
        kind = tokens[..., MODALITY]
        unknown = ops.sum(ops.cast(ops.equal(kind, modality("blank").index), "int32"), axis=1)
        given = ops.sum(ops.cast(kind > 0, "int32"), axis=1) - unknown
        given, unknown = (ops.cast(count, "float32") for count in (given, unknown))
        steps = ops.cast(self._steps(given, unknown, ops), "int32")
        return ops.reshape(steps, (-1, *(1 for _ in self.grid), 1))

    def _steps(self, given, unknown, math):
        """Returns numbers of steps, with the functions of `numpy` or `keras.ops`."""
        steps = self.length.per_given * given + self.length.per_unknown * unknown
        # A product that rounding made a little larger than a whole number counts as that number.
        steps = math.ceil(steps - ROUNDING)
        return math.clip(steps, self.length.least, self.length.most or self.steps)

    def compute_output_spec(self, tokens, causal=True):
        sizes = self.grid if causal else tuple(1 for _ in self.grid)
        return keras.KerasTensor((1 if causal else tokens.shape[0], *sizes, 1), "int32")


def steps_taken(network, tokens):
    """Returns the number of refeed steps of each position, int32 `[batch, positions]`.

    Args:
        network: `mdnn.models.network.Network`.
        tokens: int32 `[batch, positions, 8]`.
    """
    options, x = network.options, network.embed(tokens)
    if not options.adaptive:
        return ops.zeros_like(tokens[..., 0]) + options.steps
    limits = network.limits(tokens, options)
    arguments = (options.steps, limits, options, False)
    taken = run_until_stopped(network.refeed, x, network.first_states(x), *arguments)[1]
    return ops.reshape(taken, (-1, network.positions))
