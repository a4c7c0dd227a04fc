"""Initializers for several kernels and for tables of ordered rows."""

import math

import keras
import numpy as np
from keras import ops

from mdnn.layers.weight_rules import NumpyDraw, get_initializer, rules_apply

# Rows per half period of the fastest wave: neighboring rows stay similar but distinguishable.
SHORTEST = 32


@keras.saving.register_keras_serializable(package="mdnn")
class OrderedRows(keras.initializers.Initializer):
    """Initializes the rows of a table as smooth functions of the row index.

    Row `r` of `n` is a sum of smooth functions of `x = r / (n - 1)`, each along a random
    direction: the ramp `2x - 1`, from which a linear layer can read the index, and the waves
    `cos(pi f x)` and `sin(pi f x)` for `f` = 1, 2, 4, ..., with amplitude `1 / sqrt(f)`.

    Args:
        stddev: float, root mean square of the values; larger than in other tables, because
            neighboring rows differ by a small fraction of it.
        seed: As in Keras' `RandomNormal`.
    """

    def __init__(self, stddev=0.05, seed=None):
        self.stddev = float(stddev)
        options = {} if seed is None else {"seed": seed}
        self._directions = get_initializer("random_normal", stddev=self.stddev, **options)

    def __call__(self, shape, dtype=None):
        """Returns a table `[rows, width]`."""
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


@keras.saving.register_keras_serializable(package="mdnn")
class ZeroFirstRow(keras.initializers.Initializer):
    """Initializes a table as another initializer does, but for its first row, which is zero.

    Args:
        rows: initializer of the other rows, or its config.
        seed: As in Keras' initializers; `None` for that of `rows`.
    """

    def __init__(self, rows, seed=None):
        if seed is not None:
            # Set before it is made: without a seed Keras would draw one from Python's generator.
            config = keras.initializers.serialize(rows) if callable(rows) else rows
            rows = {**config, "config": {**config["config"], "seed": seed}}
        self._rows = keras.initializers.get(rows)

    def __call__(self, shape, dtype=None):
        """Returns a table `[rows, width]`."""
        rows = self._rows
        seed = rows.get_config().get("seed")
        if isinstance(seed, int) and NumpyDraw.knows(rows):
            rows = NumpyDraw(rows, seed)
        table = rows(shape, dtype=dtype)
        first = ops.arange(shape[0])[:, None] == 0
        return ops.where(first, ops.zeros_like(table), table)

    def get_config(self):
        config = keras.initializers.serialize(self._rows)
        return {"rows": config, "seed": self._rows.get_config().get("seed")}


def waves(rows):
    """Evaluates the basis functions: float32 `[rows, functions]`, mean squared norm of a row 1."""
    x = np.arange(rows) / max(rows - 1, 1)
    basis = [2 * x - 1]
    f = 1
    while f * SHORTEST <= max(rows, SHORTEST):
        basis += [np.cos(math.pi * f * x) / math.sqrt(f), np.sin(math.pi * f * x) / math.sqrt(f)]
        f *= 2
    basis = np.stack(basis, axis=-1)
    return (basis / np.sqrt(np.mean(np.sum(basis**2, axis=-1)))).astype("float32")


def initializer_copy(initializer, index):
    """Copies an initializer for the `index`-th kernel that uses it.

    An initializer object returns the same numbers at every call; without a copy, all kernels that
    share it would start equal.

    Args:
        initializer: `keras.initializers.Initializer` or callable.
        index: int from 0.

    Returns:
        A new initializer, with `index` added to an integer seed. Plain callables and initializers
        with a `SeedGenerator`, which advances by itself, are returned unchanged.
    """
    if not isinstance(initializer, keras.initializers.Initializer):
        return initializer
    config = initializer.get_config()
    if isinstance(config.get("seed"), dict):
        return initializer
    if config.get("seed", index) is None and rules_apply():
        # The rules give each weight a seed of its own.
        return initializer
    if isinstance(config.get("seed"), int):
        config["seed"] += index
    return initializer.__class__.from_config(config)
