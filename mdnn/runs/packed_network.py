"""Opens a network whose weights stay codes of 8 or 4 bits in memory."""

import math

import keras

from mdnn.layers.weight_rules import each_weight
from mdnn.models.builder import build, outline
from mdnn.runs import quantization_search
from mdnn.runs.packed_variable import PackedVariable
from mdnn.runs.quantization import Stored, expanded, read_stored
from mdnn.runs.safetensors_io import check_arrays, read_arrays, spec_of


def can_pack(dtype):
    """Returns whether weights of a storage format stay codes on this backend.

    Keras passes the values of all variables to compiled functions of JAX, so that they would be
    expanded there at once.
    """
    return dtype in ("int8", "int4") and can_map()


def can_map():
    """Returns whether weights can stay in their file on this backend; see `can_pack`."""
    return keras.backend.backend() == "tensorflow"


def packed_network(config, words, path, most, mapped=None):
    """Builds a network from a file of quantized weights, without expanding them.

    Args:
        config, words: see `mdnn.build`.
        path: the weights file.
        most: int, see `mdnn.build`.
        mapped: `mdnn.runs.mapped_arrays.MappedArrays` of the file, for a single network that is
            read and not run: all weights stay in the file. `None`: quantized ones are read.

    Returns:
        `mdnn.Network`, whose large quantized weights are `PackedVariable`s and cannot be trained;
        with `mapped` a `mdnn.models.network_outline.NetworkOutline`, whose weights all are.

    Raises:
        MdnnError: see `mdnn.runs.run_files.read_weights`.
    """
    arrays, about = read_arrays(path) if mapped is None else (mapped.arrays, mapped.about)
    stored = read_stored(arrays, about, path)
    codes = {name: own for name, own in stored.items() if mapped or own.dtype != "float16"}
    if mapped is not None:
        used = {part for name, own in stored.items() for part in own.names(name)}
        codes |= {n: Stored("float32", a.shape) for n, a in arrays.items() if n not in used}
    least = 0 if mapped is not None else quantization_search.LEAST_CODES
    codes = {n: s for n, s in codes.items() if math.prod(s.shape) >= least}

    def placeholder(weight_path, shape, initializer):
        # A variable of this path gets codes and never a value of its own.
        return _scalar if weight_path in codes else initializer

    def take_codes(variable):
        own = codes.get(variable.path)
        if own is not None and tuple(variable.shape) == own.shape:
            variable.__class__ = PackedVariable
            variable.take_codes(own, [arrays[n] for n in own.names(variable.path)], mapped is None)

    with each_weight(placeholder, take_codes):
        model = (build if mapped is None else outline)(config, words, max_parameters=most)
    expected = spec_of({variable.path: variable for variable in model.weights})
    found = {name: ("float32", own.shape) for name, own in stored.items()}
    used = {part for name, own in stored.items() for part in own.names(name)}
    found |= {n: (str(a.dtype), tuple(a.shape)) for n, a in arrays.items() if n not in used}
    check_arrays(found, expected, path)
    for variable in model.weights:
        name = variable.path
        if isinstance(variable, PackedVariable):
            continue
        if name in stored:
            variable.assign(expanded(stored[name], *(arrays[n] for n in stored[name].names(name))))
        else:
            variable.assign(arrays[name])
    return model


def _scalar(shape, dtype=None):
    return keras.ops.zeros((), dtype)
