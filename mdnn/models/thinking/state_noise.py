"""Noise that training adds to the states of a recurrence."""

import keras
from keras import ops

# Largest number of noise draws per iteration of a loop.
MOST_DRAWN = 128


class StateNoise:
    """Adds normal noise to the states of a step.

    Args:
        size: float, standard deviation.
        generator: `keras.random.SeedGenerator`.
    """

    def __init__(self, size, generator):
        self.size, self.generator = size, generator

    def added(self, state):
        drawn = keras.random.normal(ops.shape(state), stddev=self.size, seed=self.generator)
        return state + ops.cast(drawn, state.dtype)

    def begin(self):
        """Draws the base seed of a loop, inside which the generator cannot advance."""
        self.base = self.generator.next()

    def at(self, number):
        """Returns the noise of one iteration of the loop."""
        return StateNoise(self.size, _IterationSeeds(self.base, number))


class _IterationSeeds(keras.random.SeedGenerator):
    """Derives seeds from a base seed and an iteration number, without variables."""

    def __init__(self, base, number):
        self.base, self.number, self.drawn = base, number, 0

    def next(self, ordered=True):
        self.drawn += 1
        number = ops.cast(self.number, "int32") * MOST_DRAWN + self.drawn
        return self.base + ops.cast(ops.stack([number, number]), self.base.dtype)
