"""Defines `LineageUniform`, the kernel initializer of `MNN`."""

import keras


@keras.saving.register_keras_serializable(package="mdnn")
class LineageUniform(keras.initializers.RandomUniform):
    """Draws uniformly from ±s with s = (sum of all kernel dimensions but the last)^-½.

    Args:
        seed: int, `keras.random.SeedGenerator`, or `None` for a random one.
    """

    def __init__(self, seed=None):
        super().__init__(seed=seed)

    def __call__(self, shape, dtype=None):
        s = sum(shape[:-1]) ** -0.5
        return keras.random.uniform(shape, -s, s, dtype=dtype, seed=self.seed)

    def get_config(self):
        return {"seed": super().get_config()["seed"]}
