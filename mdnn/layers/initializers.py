"""Initializers: copies for several kernels, and tables whose rows have an order."""

import math

import keras
import numpy as np
from keras import ops

# Rows of half a period of the fastest wave: short enough to tell a row from the next one, long
# enough to leave the two alike.
SHORTEST = 32


@keras.saving.register_keras_serializable(package="mdnn")
class OrderedRows(keras.initializers.Initializer):
    """Rows that are a smooth function of their number.

    Row `r` of `n` is a sum of smooth functions of `x = r / (n - 1)`, each along a random
    direction: the ramp `2x - 1`, which a linear layer reads the number from, and the waves
    `cos(pi f x)` and `sin(pi f x)` for `f` = 1, 2, 4, ..., the faster ones lower
    (`1 / sqrt(f)`).

    Args:
        stddev: root of the mean square of the values. Larger than the random start of other
            tables: what tells near rows apart is a small part of them.
        seed: as Keras' `RandomNormal` takes it.
    """

    def __init__(self, stddev=0.05, seed=None):
        self.stddev = float(stddev)
        self._directions = keras.initializers.RandomNormal(stddev=self.stddev, seed=seed)

    def __call__(self, shape, dtype=None):
        """The values: a table `[rows, width]`."""
        rows, width = shape
        functions = ops.convert_to_tensor(waves(rows), dtype=dtype)
        shape = (functions.shape[1], width)
        seed = self._directions.get_config()["seed"]
        if isinstance(seed, int):
            # By numpy: the same numbers on every backend.
            drawn = self.stddev * np.random.default_rng(seed).standard_normal(shape)
            directions = ops.convert_to_tensor(drawn.astype("float32"), dtype=dtype)
        else:
            directions = self._directions(shape, dtype=dtype)
        return ops.matmul(functions, directions)

    def get_config(self):
        return {"stddev": self.stddev, "seed": self._directions.get_config()["seed"]}


def waves(rows):
    """The functions at each row: float32 `[rows, functions]`, their mean square sum 1."""
    x = np.arange(rows) / max(rows - 1, 1)
    found = [2 * x - 1]
    f = 1
    while f * SHORTEST <= max(rows, SHORTEST):
        found += [np.cos(math.pi * f * x) / math.sqrt(f), np.sin(math.pi * f * x) / math.sqrt(f)]
        f *= 2
    found = np.stack(found, axis=-1)
    return (found / np.sqrt(np.mean(np.sum(found**2, axis=-1)))).astype("float32")


def initializer_copy(initializer, index):
    """Returns an initializer like the given one for the `index`-th kernel that it fills.

    One initializer object gives the same numbers at every call, so that kernels which share it
    start equal.

    Args:
        initializer: `keras.initializers.Initializer` or callable.
        index: Integer from 0.

    Returns:
        A new initializer, with `index` added to an integer seed. A plain callable is handed
        back, and so is an initializer with a `SeedGenerator`, which moves on by itself.
    """
    if not isinstance(initializer, keras.initializers.Initializer):
        return initializer
    config = initializer.get_config()
    if isinstance(config.get("seed"), dict):
        return initializer
    if isinstance(config.get("seed"), int):
        config["seed"] += index
    return initializer.__class__.from_config(config)
