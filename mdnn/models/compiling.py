"""How a model's `predict` is compiled."""

import keras


def without_xla(model):
    """Keeps XLA out of a model's `predict` on TensorFlow, where it is slower on a CPU.

    On JAX a model that is not compiled by XLA is not compiled at all.
    """
    model.jit_compile = jit_compile(xla=False)


def jit_compile(xla):
    """Returns what Keras' `jit_compile` is to be for a model of mdnn.

    Args:
        xla: boolean, whether XLA pays on TensorFlow.

    Returns:
        Boolean. On JAX always True. On PyTorch always False: `torch.compile` unrolls loops whose
        number of turns depends on data, and needs a C++ compiler.
    """
    return {"jax": True, "torch": False}.get(keras.backend.backend(), xla)
