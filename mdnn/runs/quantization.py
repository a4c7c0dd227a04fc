"""Quantization: stores float32 arrays in 16, 8 or 4 bits and expands them again.

An array of two or more axes is cut into groups of neighboring weights. The file holds an integer
code of 8 or 4 bits per weight and one float16 scale per group; a weight is its code times the
scale of its group. Groups run along the last axis or the one before it (the outputs of one input,
or the inputs of one output), whichever has the smaller squared error. Scales of 4-bit groups are
searched, because clipping the largest weight of a group often reduces the squared error.

Vectors (scales of norms, biases) stay float32, and small arrays become float16. Embedding tables
and heads are quantized like all other arrays: with 8 bits for them and 4 bits for the rest, the
loss of a text network was 0.1 to 0.3% lower and the file 17% larger.
"""

import dataclasses
import json
import math

import numpy as np
from keras import ops

from mdnn.config.schema import option, parse
from mdnn.errors import MdnnError, did_you_mean
from mdnn.runs.quantization_search import best_codes, storage_format, turns
from mdnn.runs.safetensors_io import check_arrays

DTYPES = ("int8", "int4", "float16")
"""Names of the storage formats of weights."""

_DTYPE, _STORED = "dtype", "stored"


@dataclasses.dataclass(frozen=True)
class Stored:
    """Storage format of one array, kept as JSON in the metadata of the file.

    Args:
        dtype: `"float16"`: the array itself; in memory alone also `"float32"`. `"int8"`: codes int8
            `[groups, group]`. `"int4"`: codes plus 8, two per byte, uint8 `[groups, group / 2]`:
            the first half of a group in the low four bits, the second half in the high four bits.
            The scales of codes are a separate array `<name>:scales`, float16 `[groups]`.
        shape: tuple of ints, the shape of the array.
        turned: bool, whether the last two axes are exchanged before grouping.
        offsets: bool, whether 4-bit codes from 0 to 15 are not centred: a weight is its code
            times the scale plus the offset of its group, an array `<name>:offsets` as the scales.
            Imported weights have them.
        wide: bool, whether scales and offsets are float32, as those of imported weights may be.
    """

    dtype: str = option(choices=DTYPES)
    shape: tuple[int, ...] = option(least=0)
    turned: bool = False
    offsets: bool = False
    wide: bool = False

    def to_dict(self):
        """Returns the entry in the metadata."""
        table = dataclasses.asdict(self)
        # Only imported weights have these keys.
        rare = {name: table.pop(name) for name in ("offsets", "wide")}
        return table | {name: value for name, value in rare.items() if value}

    def names(self, name):
        """Returns the names of the arrays that store the array `name`."""
        found = [name]
        if self.dtype in ("int8", "int4"):
            found.append(f"{name}:scales")
        return [*found, f"{name}:offsets"] if self.offsets else found


def check_dtype(dtype):
    """Refuses an unknown storage format.

    Raises:
        MdnnError: the format is not in `DTYPES`; suggests the nearest one.
    """
    if dtype not in DTYPES:
        known = f"{did_you_mean(dtype, DTYPES)}; known: {', '.join(DTYPES)}"
        raise MdnnError(f"to: unknown {dtype!r}{known}")


def pack_weights(arrays, dtype):
    """Quantizes the arrays of a weights file.

    Args:
        arrays: dict from names to arrays.
        dtype: one of `DTYPES`.

    Returns:
        Tuple of the dict of stored arrays and a dict of strings for the metadata of the file.

    Raises:
        MdnnError: the dtype is unknown, or a weight is not finite.
    """
    check_dtype(dtype)
    packed, stored = {}, {}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise MdnnError(f"weight {name!r} holds values that are not finite")
        own = storage_format(name, array, dtype)
        if own is None:
            packed[name] = array
            continue
        turned = False
        if own == "float16":
            packed[name] = array.astype("float16")
        else:
            packed[name], packed[f"{name}:scales"], turned = best_codes(
                array, own, turns(name, array)
            )
        stored[name] = Stored(own, tuple(array.shape), turned).to_dict()
    return packed, {_DTYPE: dtype, _STORED: json.dumps(stored)}


def stored_about(stored):
    """Returns the metadata of a weights file with arrays stored in several formats.

    Args:
        stored: dict from names to the entries of `Stored.to_dict`.

    Returns:
        Dict of strings; empty if all arrays are float32. The format of the file is the smallest one
        in it.
    """
    if not stored:
        return {}
    used = {entry["dtype"] for entry in stored.values()}
    dtype = next(dtype for dtype in ("int4", "int8", "float16") if dtype in used)
    return {_DTYPE: dtype, _STORED: json.dumps(stored)}


def packed_dtype(about):
    """Returns the storage format of weights by a file's metadata, `"float32"` by default."""
    return about.get(_DTYPE, "float32")


def unpack_weights(arrays, about, where, expected=None):
    """Expands the arrays stored by `pack` to float32; other arrays are returned unchanged.

    Args:
        arrays, about, where: see `read_stored`.
        expected: dict from names to `(dtype, shape)` of the expanded arrays, checked before any
            array is expanded; `None` for no check.

    Raises:
        MdnnError: see `read_stored`; or the arrays differ from the expected ones.
    """
    stored = read_stored(arrays, about, where)
    if expected is not None:
        scales = {more for name, own in stored.items() for more in own.names(name)[1:]}
        found = {name: (str(a.dtype), tuple(a.shape)) for name, a in arrays.items()}
        found |= {name: ("float32", own.shape) for name, own in stored.items()}
        found = {name: spec for name, spec in found.items() if name not in scales}
        check_arrays(found, expected, where)
    values = expand(arrays, stored)
    return values | {name: ops.convert_to_numpy(values[name]) for name in stored}


def read_stored(arrays, about, where):
    """Reads and checks the storage formats of the arrays of a weights file.

    Args:
        arrays: dict from names to arrays of the file.
        about: dict of strings, the metadata of the file.
        where: the file, for errors.

    Returns:
        A dict from names to `Stored`; arrays without an entry are not quantized.

    Raises:
        MdnnError: the metadata are invalid, or do not fit the arrays.
    """
    if _DTYPE not in about:
        return {}
    found = _read_about(about, where)
    for name, stored in found.items():
        for own in stored.names(name):
            if own not in arrays:
                raise MdnnError(f"{where} lacks weight {own!r}")
        codes, *scales = (arrays[own] for own in stored.names(name))
        if not _fits(stored, codes, *scales):
            with_scales = "".join(f" with scales {own.dtype} {own.shape}" for own in scales)
            raise MdnnError(
                f"{where}: expected {name!r} {stored.shape} in {stored.dtype}, found "
                f"{codes.dtype} {codes.shape}{with_scales}"
            )
    return found


def expand(arrays, stored):
    """Expands quantized arrays to float32 tensors; also works on tensors inside a graph.

    Args:
        arrays: dict from names to arrays or tensors.
        stored: result of `read_stored` for them.

    Returns:
        A dict from names to tensors; arrays without an entry in `stored` are unchanged.
    """
    left, found = dict(arrays), {}
    for name, own in stored.items():
        found[name] = expanded(own, *(left.pop(part) for part in own.names(name)))
    return left | found


def _halves_apart(codes):
    """Unpacks bytes into codes from 0 to 15, float32 `[n, group]`."""
    low = ops.bitwise_and(codes, np.uint8(15))
    high = ops.bitwise_right_shift(codes, np.uint8(4))
    return ops.cast(ops.concatenate([low, high], axis=1), "float32")


def _fits(stored, codes, scales=None, offsets=None):
    """Returns whether arrays have the dtypes and shapes described by `stored`."""
    if stored.offsets and stored.dtype != "int4":
        return False
    if stored.dtype == "float16":
        return codes.dtype == np.float16 and codes.shape == stored.shape
    four = stored.dtype == "int4"
    if codes.dtype != (np.uint8 if four else np.int8) or codes.ndim != 2:
        return False
    groups, group = codes.shape[0], codes.shape[1] * (2 if four else 1)
    size = math.prod(stored.shape)
    turns = not stored.turned or len(stored.shape) > 1
    whole = (groups - 1) * group < size <= groups * group
    factors = [scales, *([offsets] if stored.offsets else [])]
    dtype = np.float32 if stored.wide else np.float16
    return (
        turns
        and whole
        and all(part.dtype == dtype for part in factors)
        and all(part.shape == (groups,) for part in factors)
    )


def expanded(stored, codes, scales=None, offsets=None):
    """Returns the float32 tensor of a stored array.

    Args:
        stored: `Stored`.
        codes, scales, offsets: its arrays or tensors, in the order of `Stored.names`.
    """
    if stored.dtype in ("float16", "float32"):
        return ops.cast(codes, "float32")
    if stored.dtype == "int4":
        codes = _halves_apart(codes)
        codes = codes if stored.offsets else codes - 8
    else:
        codes = ops.cast(codes, "float32")
    flat = codes * ops.cast(scales, "float32")[:, None]
    if stored.offsets:
        flat = flat + ops.cast(offsets, "float32")[:, None]
    flat = ops.reshape(flat, (-1,))
    if flat.shape[0] != math.prod(stored.shape):
        flat = flat[: math.prod(stored.shape)]
    if not stored.turned:
        return ops.reshape(flat, stored.shape)
    *rest, rows, columns = stored.shape
    return ops.swapaxes(ops.reshape(flat, (*rest, columns, rows)), -1, -2)


def _read_about(about, where):
    """Parses the metadata of a file into a dict from names to `Stored`."""
    if about[_DTYPE] not in DTYPES:
        raise MdnnError(
            f"{where}: weights stored as {about[_DTYPE]!r}, expected one of {', '.join(DTYPES)}"
        )
    try:
        table = json.loads(about.get(_STORED, ""))
    except ValueError:
        table = None
    if not isinstance(table, dict):
        raise MdnnError(f"{where} does not say how its weights are stored")
    try:
        return {name: parse(Stored, own, name) for name, own in table.items()}
    except MdnnError as error:
        raise MdnnError(f"{where}: {error}") from None
