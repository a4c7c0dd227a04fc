"""How a model's `predict` is compiled."""

import keras


def without_xla(model):
    """Keeps XLA out of a model's `predict` on TensorFlow, where it is slower on a CPU.

    On JAX a model that is not compiled by XLA is not compiled at all.
    """
    if keras.backend.backend() == "tensorflow":
        model.jit_compile = False
