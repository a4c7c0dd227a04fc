"""Chooses the codes and scales of quantized arrays by their squared error."""

import operator

import numpy as np

BITS = {"int8": 8, "int4": 4}

GROUP = {"int8": 64, "int4": 32}
"""Number of weights that share a scale: 8.25 and 4.5 bits per weight including scales."""

SMALLEST = 4096
"""Arrays of fewer weights become float16: quantizing them saves little, and position tables and
kernels by distance are used at every position."""

LEAST_CODES = 1 << 18
"""Fewest weights, 1 MB of float32, of a matrix that stays quantized in memory: smaller ones are
computed faster from floats."""

# Candidate scales of a group, relative to the scale that gives its largest weight the lowest code.
_RATIOS = {8: (128 / 127,), 4: tuple(np.linspace(0.7, 1.2, 26))}
# Arrays whose largest weight is outside this range stay float32: as float16, weights or scales
# would overflow or lose precision.
_LEAST, _MOST = 2.0**-10, 65504.0
# Number of groups processed together, which limits temporary memory.
_ROWS = 1 << 15


def storage_format(name, array, dtype):
    """Returns the storage format of an array; `None` to leave it unchanged.

    Args:
        name: str, the path of the weight.
        array: the weight.
        dtype: `"int8"`, `"int4"` or `"float16"`, the wanted format.

    Returns:
        `dtype`, or `"float16"` for fewer than `SMALLEST` weights; `None` for biases, vectors, other
        dtypes than float32 and values out of the range of float16 scales.
    """
    last = name.rpartition("/")[2]
    if array.dtype != np.float32 or array.ndim < 2 or last == "bias" or last.endswith("_bias"):
        return None
    peak = np.abs(array).max(initial=0)
    if peak > _MOST or 0 < peak < _LEAST:
        return None
    return "float16" if array.size < SMALLEST else dtype


def turns(name, array):
    """Returns which values of `turned` a matrix may be stored with.

    Large matrices are cut along the axis that products sum over, so that they can be multiplied
    from the codes (`mdnn.runs.packed_words`): the inputs of a kernel, the channels of a table.
    """
    if array.ndim != 2 or array.size < LEAST_CODES:
        return (False, True)
    is_table = name.startswith("embedding/") or name.endswith("ngram_table")
    return (False,) if is_table else (True,)


def best_codes(array, dtype, tried=(False, True)):
    """Returns codes, scales and `turned` with the smaller squared error among `tried`.

    Args:
        array: float32 array of two or more axes.
        dtype: `"int8"` or `"int4"`.
        tried: values of `turned` to try: whether the last two axes are exchanged before grouping.

    Returns:
        `(codes, scales, turned)`: int8 `[groups, group]` or, of 4 bits, uint8 `[groups, group /
        2]`; float16 `[groups]`; bool.
    """
    candidates = []
    for turned in tried:
        rows = _grouped(array.swapaxes(-1, -2) if turned else array, GROUP[dtype])
        codes, scales, error = _quantized(rows, BITS[dtype])
        candidates.append((error, turned, codes, scales))
    _, turned, codes, scales = min(candidates, key=operator.itemgetter(0))
    return (_halves_joined(codes) if BITS[dtype] == 4 else codes), scales, turned


def _grouped(array, group):
    """Returns an array as groups `[groups, group]`, padded with zeros."""
    flat = array.reshape(-1)
    return np.pad(flat, (0, -len(flat) % group)).reshape(-1, group)


def _quantized(rows, bits):
    """Returns codes int8 `[n, group]`, scales float16 `[n]` and the squared error."""
    codes, scales = np.zeros(rows.shape, "int8"), np.zeros(len(rows), "float16")
    error = 0.0
    for start in range(0, len(rows), _ROWS):
        some = slice(start, start + _ROWS)
        codes[some], scales[some], squared = _searched(rows[some], bits)
        error += float(squared)
    return codes, scales, error


def _searched(rows, bits):
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    peaks = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)
    best = None
    for ratio in _RATIOS[bits]:
        # Round the scale first, so that codes compensate its rounding. A scale may be negative.
        scales = (peaks * (ratio / low)).astype("float16")
        wide = scales.astype("float32")
        quotients = np.divide(rows, wide, out=np.zeros_like(rows), where=wide != 0)
        codes = np.clip(np.round(quotients), low, high)
        errors = np.square(codes * wide - rows).sum(axis=1, keepdims=True)
        if best is None:
            best = codes, scales, errors
        else:
            better = errors < best[2]
            both = zip((codes, scales, errors), best, strict=True)
            best = tuple(np.where(better, new, old) for new, old in both)
    codes, scales, errors = best
    return codes.astype("int8"), scales[:, 0], errors.sum(dtype="float64")


def _halves_joined(codes):
    """Packs 4-bit codes into bytes: int8 `[n, group]` to uint8 `[n, group / 2]`."""
    low, high = np.split((codes + 8).astype("uint8"), 2, axis=1)
    return low | high << 4
