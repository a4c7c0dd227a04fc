"""Compiles and calls a model's `predict`."""

import logging
import threading
import weakref

import keras
from keras.src.trainers.trainer import model_supports_jit

from mdnn.runtime import quiet_logger
from mdnn.tensorflow_graphs import forget_with


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
        xla: bool, whether to use XLA on TensorFlow.
    """
    wanted = {"jax": True, "torch": False}.get(keras.backend.backend(), xla)
    model.jit_compile = wanted and model_supports_jit(model)


def predicted(model, inputs):
    """Returns `model.predict_on_batch(inputs)`, without TensorFlow's warnings about retracing.

    TensorFlow counts the tracings of all Keras models as those of one function, so that it warns of
    the fifth model in a row (as when several densities are evaluated), though each is traced
    once.

    After some shapes TensorFlow traces a function for any size of the axes that differ. A model
    that needs to know such a size has a method `traced_for(inputs)`: its value, if not `None`,
    chooses a function of its own.

    Args:
        model: a `keras.Model`.
        inputs: the inputs of its `predict_on_batch`.
    """
    key = model.traced_for(inputs) if hasattr(model, "traced_for") else None
    with quiet_logger("tensorflow", logging.ERROR):
        if key is None or keras.backend.backend() != "tensorflow":
            found = model.predict_on_batch(inputs)
            _note_traces(model, getattr(model, "predict_function", None))
            return found
        function = _function_for(model, key)
        found = function([(inputs,)])
        _note_traces(model, function)
    return keras.tree.map_structure(keras.ops.convert_to_numpy, found)


def _note_traces(model, function):
    """Lets TensorFlow forget the graphs of a function with it, if it was traced since."""
    count = getattr(function, "experimental_get_tracing_count", int)()
    known = vars(model).setdefault("traces_noted", weakref.WeakKeyDictionary())
    if count and known.get(function) != count:
        known[function] = count
        forget_with(function)


_MAKING = threading.Lock()


def _function_for(model, key):
    """Returns what Keras would call in `predict_on_batch`, made once for each key."""
    functions = vars(model).setdefault("functions_by_key", {})
    with _MAKING:
        if key not in functions:
            # Another thread may call the usual one meanwhile: there is always one.
            model.make_predict_function()
            usual = model.predict_function
            model.make_predict_function(force=True)
            functions[key], model.predict_function = model.predict_function, usual
    return functions[key]
