"""Compilation settings of a model's `predict`."""

import keras


def without_xla(model):
    """Disables XLA for a model's `predict` on TensorFlow, where XLA is slower on a CPU.

    Leaves it enabled on JAX, where a model without XLA is not compiled at all.
    """
    if keras.backend.backend() == "tensorflow":
        model.jit_compile = False
