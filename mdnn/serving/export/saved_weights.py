"""The weights of a network inside a SavedModel."""

import contextlib

import keras
import tensorflow as tf

from mdnn.runs.quantization import expand, read_stored
from mdnn.runs.run_files import WEIGHTS
from mdnn.runs.safetensors_io import read_arrays


class SavedModelWeights:
    """The weights that a SavedModel stores, and how its functions use them.

    Quantized weights are stored as in the run folder; each call of a function expands them to
    float32 once, before its first step.

    Args:
        run: `mdnn.runs.run_folder.Run`.

    Attributes:
        variables: list of `tf.Variable`, what is saved.
    """

    def __init__(self, run):
        self._weights, self._packed, self._stored = run.model.weights, {}, {}
        if run.dtype == "float32":
            self.variables = [variable.value for variable in run.model.variables]
            return
        path = run.path / WEIGHTS
        arrays, about = read_arrays(path)
        self._stored = read_stored(arrays, about, path)
        self._packed = {name: tf.Variable(array, trainable=False) for name, array in arrays.items()}
        read = {weight.path for weight in self._weights}
        others = [v.value for v in run.model.variables if v.path not in read]
        self.variables = [*self._packed.values(), *others]

    @contextlib.contextmanager
    def bound(self):
        """Runs the network with the stored weights inside the context and a function's graph."""
        if self._packed:
            values = expand(self._packed, self._stored)
        else:
            # Read once: a function that XLA compiled would lock its variables while it runs, and
            # groups of texts could not be decoded side by side.
            values = {weight.path: tf.identity(weight.value) for weight in self._weights}
        with keras.StatelessScope([(weight, values[weight.path]) for weight in self._weights]):
            yield
