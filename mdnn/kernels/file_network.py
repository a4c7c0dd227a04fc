"""Networks whose weights stay in their file: what the native library packs is read once, as stored."""

import keras
import numpy as np
from keras import ops

from mdnn.kernels.matrices import Codes
from mdnn.layers.weight_rules import each_weight
from mdnn.models.builder import build
from mdnn.runs.quantization import check_stored, expanded, read_stored
from mdnn.runs.safetensors_io import read_arrays, spec_of


class FileVariable(keras.Variable):
    """A variable without a value of its own: it is expanded from a file at each use.

    Attributes:
        file: `WeightsFile`; `None` while the network is built, when it is zeros.
    """

    file = None

    @property
    def value(self):
        if self.file is None:
            return self._maybe_autocast(ops.zeros(self.shape, self.dtype))
        return self._maybe_autocast(self.file.value(self.path))


class WeightsFile:
    """The arrays of a weights file.

    Args:
        path: the file.

    Raises:
        MdnnError: the file is damaged.
    """

    def __init__(self, path):
        self.path = path
        self.arrays, about = read_arrays(path)
        self.stored = read_stored(self.arrays, about, path)

    def check(self, variables):
        """Refuses other weights than those of a network; see `check_stored`."""
        expected = spec_of({variable.path: variable for variable in variables})
        check_stored(self.arrays, self.stored, expected, self.path)

    def value(self, name):
        """Returns a weight as a float32 tensor."""
        if name not in self.stored:
            return ops.convert_to_tensor(self.arrays[name])
        own = self.stored[name]
        return expanded(own, *(self.arrays[each] for each in own.names(name)))

    def weight(self, variable):
        """Returns a weight of two axes as `mdnn.kernels.matrices.Arrays.matrix` takes it."""
        name = variable.path
        if name not in self.stored:
            return self.arrays[name]
        own = self.stored[name]
        small = codes_of(own, *(self.arrays[each] for each in own.names(name)))
        return ops.convert_to_numpy(self.value(name)) if small is None else small


def file_network(config, words, path):
    """Builds a network of the weights in a file, without making Keras' float32 weights.

    Args:
        config, words: see `mdnn.build`.
        path: the weights file.

    Returns:
        Tuple of the `Network`, which is to be lowered and not to be trained, and the `WeightsFile`.

    Raises:
        MdnnError: the file is damaged, or holds other weights than those of the config.
    """
    file = WeightsFile(path)

    def without_value(path, shape, initializer):
        return _scalar

    def take_class(variable):
        variable.__class__ = FileVariable

    with each_weight(without_value, take_class):
        network = build(config, words)
    file.check(network.weights)
    for variable in network.weights:
        if isinstance(variable, FileVariable):
            variable.file = file
        else:
            variable.assign(file.value(variable.path))
    return network, file


def _scalar(shape, dtype=None):
    return ops.zeros((), dtype)


def codes_of(stored, codes, scales=None, offsets=None):
    """Returns a stored weight for `Arrays.matrix`.

    Args:
        stored: `mdnn.runs.quantization.Stored` of an array of two axes.
        codes, scales, offsets: its arrays in the file, in the order of `Stored.names`.

    Returns:
        float16 array, or `Codes`; `None` where a group holds weights of several lines.
    """
    if stored.dtype == "float16":
        return codes
    outer, inner = stored.shape[::-1] if stored.turned else stored.shape
    four = stored.dtype == "int4"
    group = codes.shape[1] * (2 if four else 1)
    if inner % group:
        return None
    if four:
        codes = np.concatenate([codes & 15, codes >> 4], axis=1)
    groups = outer, inner // group
    return Codes(
        codes.reshape(outer, inner),
        scales.reshape(groups),
        4 if four else 8,
        # Codes of 4 bits are centred unless their groups have offsets.
        8.0 if four and offsets is None else 0.0,
        None if offsets is None else offsets.reshape(groups),
        stored.turned,
    )
