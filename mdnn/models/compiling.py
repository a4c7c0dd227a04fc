"""Compilation settings of a model's `predict`."""

import keras
from keras.src.trainers.trainer import model_supports_jit


def without_xla(model):
    """Disables XLA for a model's `predict` on TensorFlow, where XLA is slower on a CPU.

    Leaves it enabled on JAX, where a model without XLA is not compiled at all.
    """
    compile_with_xla(model, False)


def compile_with_xla(model, xla=True):
    """Lets XLA compile a model's `predict`, or not.

    On JAX XLA always does. On PyTorch nothing is compiled: `torch.compile` unrolls loops whose
    number of turns depends on data, and needs a C++ compiler. Nor on TensorFlow while its
    operations have to be deterministic, of which Keras would warn.

    Args:
        model: a `keras.Model`.
        xla: boolean, what is done on TensorFlow.
    """
    wanted = {"jax": True, "torch": False}.get(keras.backend.backend(), xla)
    model.jit_compile = wanted and model_supports_jit(model)
