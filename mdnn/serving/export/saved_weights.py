"""The weights of a network inside a SavedModel."""

import contextlib

import keras
import tensorflow as tf

from mdnn.runs.packed_variable import PackedVariable, bound_codes
from mdnn.runs.quantization import expand, read_stored
from mdnn.runs.run_files import WEIGHTS
from mdnn.runs.safetensors_io import read_arrays


class SavedModelWeights:
    """Stores a network's weights in a SavedModel and binds them in its functions.

    Quantized weights are stored as codes. Large ones are computed from in each use
    (`mdnn.runs.packed_variable`); each call of a function expands small ones to float32 once,
    before its first step.

    Args:
        run: `mdnn.runs.run_folder.Run`.

    Attributes:
        variables: list of `tf.Variable`, what is saved.
    """

    def __init__(self, run):
        weights = run.model.weights
        self._codes = {
            weight.path: [tf.Variable(part, trainable=False) for part in weight.parts]
            for weight in weights
            if isinstance(weight, PackedVariable)
        }
        self._weights = [weight for weight in weights if weight.path not in self._codes]
        self._packed, self._stored = {}, {}
        if run.dtype == "float32":
            self.variables = [variable.value for variable in run.model.variables]
            return
        path = run.path / WEIGHTS
        arrays, about = read_arrays(path)
        stored = read_stored(arrays, about, path)
        self._stored = {name: own for name, own in stored.items() if name not in self._codes}
        large = {part for name in self._codes for part in stored[name].names(name)}
        self._packed = {
            name: tf.Variable(array, trainable=False)
            for name, array in arrays.items()
            if name not in large
        }
        read = {weight.path for weight in weights}
        others = [v.value for v in run.model.variables if v.path not in read]
        codes = [part for parts in self._codes.values() for part in parts]
        self.variables = [*self._packed.values(), *codes, *others]

    @contextlib.contextmanager
    def bound(self):
        """Runs the network with the stored weights inside the context and a function's graph."""
        if self._packed:
            values = expand(self._packed, self._stored)
        else:
            # Read once: a function that XLA compiled would lock its variables while it runs, and
            # groups of texts could not be decoded side by side.
            values = {weight.path: tf.identity(weight.value) for weight in self._weights}
        codes = {name: [tf.identity(part) for part in own] for name, own in self._codes.items()}
        scope = keras.StatelessScope([(weight, values[weight.path]) for weight in self._weights])
        with bound_codes(codes) if codes else contextlib.nullcontext(), scope:
            yield
