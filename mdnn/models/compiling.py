"""Compiles and calls a model's `predict`."""

import logging

import keras
from keras.src.trainers.trainer import model_supports_jit

from mdnn.runtime import quiet_logger


def without_xla(model):
    """Disables XLA for a model's `predict` on TensorFlow, where XLA is slower on a CPU.

    JAX keeps XLA; PyTorch compiles nothing (see `compile_with_xla`).
    """
    compile_with_xla(model, False)


def compile_with_xla(model, xla=True):
    """Sets whether XLA compiles a model's `predict`.

    JAX always uses XLA. PyTorch compiles nothing: `torch.compile` unrolls loops whose number of
    iterations depends on data, and needs a C++ compiler. TensorFlow does not use XLA while
    deterministic operations are enabled, because Keras would warn.

    Args:
        model: a `keras.Model`.
        xla: boolean, whether to use XLA on TensorFlow.
    """
    wanted = {"jax": True, "torch": False}.get(keras.backend.backend(), xla)
    model.jit_compile = wanted and model_supports_jit(model)


def predicted(model, inputs):
    """Returns `model.predict_on_batch(inputs)`, without TensorFlow's warnings about retracing.

    TensorFlow counts the tracings of all Keras models as those of one function, so that it warns of
    the fifth model in a row (as when several densities are evaluated), though each is traced once.

    Args:
        model: a `keras.Model`.
        inputs: the inputs of its `predict_on_batch`.
    """
    with quiet_logger("tensorflow", logging.ERROR):
        return model.predict_on_batch(inputs)
