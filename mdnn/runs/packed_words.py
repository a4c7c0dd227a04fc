"""Packs codes of 8 or 4 bits into 32-bit words and multiplies by them.

A matrix `[inputs, outputs]` whose inputs are cut into groups is held as words
`[words of a group, groups, outputs]`: bits `b k` to `b (k + 1) - 1` of word `w` are the code of
input `k W + w` of its group, with W words in a group. Sums over a group then run along outputs that
lie side by side, which XLA turns into one loop that unpacks, casts and adds: on one core 3.3
billion weights of 4 bits and 2.1 of 8 bits a second, where products of float32 take 1.6 (matrices
of 576 by 3,072, one row).
"""

import numpy as np
from keras import ops

BITS = {"int8": 8, "int4": 4}


def packed_words(stored, parts):
    """Lays out the arrays of a weights file.

    Args:
        stored: `mdnn.runs.quantization.Stored` of a matrix with groups of inputs.
        parts: its arrays, in the order of `Stored.names`.

    Returns:
        List of arrays: words uint32 `[words, groups, outputs]`, scales and offsets, if there are
        any, `[groups, outputs]`.
    """
    outputs = stored.shape[1] if stored.turned else stored.shape[0]
    codes, *factors = parts
    if stored.dtype == "int4":
        codes = np.concatenate([codes & 15, codes >> 4], axis=1)
    else:
        codes = codes.view("uint8") ^ 128
    bits = BITS[stored.dtype]
    # [outputs, groups, codes of a word, words]
    codes = codes.reshape(outputs, -1, 32 // bits, codes.shape[1] * bits // 32)
    words = np.zeros((codes.shape[3], codes.shape[1], outputs), "uint32")
    for k in range(codes.shape[2]):
        words |= codes[:, :, k].transpose(2, 1, 0).astype("uint32") << np.uint32(bits * k)
    return [words, *(np.ascontiguousarray(f.reshape(outputs, -1).T) for f in factors)]


def _in_loops(words, x):
    """Returns words in a form that depends on the inputs `x` of a product.

    XLA computes before a loop what does not change in it. Without this it would expand every weight
    to float32 there, and keep all of them.
    """
    overflows = ops.cast(ops.any(ops.greater(x, 3.0e38)), "uint32")
    return ops.bitwise_xor(words, overflows)


def _codes(stored, words):
    """Returns the codes from 0 on, a list of float32 `[words, groups, outputs]` per place."""
    bits = BITS[stored.dtype]
    mask = np.uint32(2**bits - 1)
    shifted = (
        ops.bitwise_right_shift(words, np.uint32(bits * k)) if k else words
        for k in range(32 // bits)
    )
    return [ops.cast(ops.bitwise_and(word, mask), "float32") for word in shifted]


def _factors(stored, tensors):
    """Returns scales and offsets of codes from 0 on, float32."""
    scales, *offsets = (ops.cast(part, "float32") for part in tensors[1:])
    middle = 2.0 ** (BITS[stored.dtype] - 1)
    return scales, offsets[0] if offsets else scales * -middle


def row_product(stored, tensors, x):
    """Returns the product of one row `[inputs]` with the matrix, float32 `[outputs]`.

    Args:
        stored: `Stored` of the matrix `[inputs, outputs]`.
        tensors: its arrays as tensors, see `packed_words`.
        x: float tensor with `inputs` values, of any shape.
    """
    words, groups = tensors[0].shape[:2]
    x = ops.transpose(ops.cast(ops.reshape(x, (groups, -1)), "float32"))
    codes = _codes(stored, _in_loops(tensors[0], x))
    terms = (code * x[k * words : (k + 1) * words, :, None] for k, code in enumerate(codes))
    sums = ops.sum(sum(terms), axis=0)
    scales, offsets = _factors(stored, tensors)
    return ops.sum(sums * scales + offsets * ops.sum(x, axis=0)[:, None], axis=0)


def rows_product(stored, tensors, x):
    """Returns the product of `x` `[..., inputs]` with the matrix, which is expanded for it.

    Args:
        stored, tensors: see `row_product`.
        x: float tensor `[..., inputs]`.

    Returns:
        Tensor `[..., outputs]` of x's dtype.
    """
    values = _values(stored, [_in_loops(tensors[0], x), *tensors[1:]])
    group, groups = values.shape[:2]
    shape = ops.shape(x)[:-1]
    x = ops.swapaxes(ops.reshape(x, (*shape, groups, group)), -1, -2)
    x = ops.reshape(x, (*shape, group * groups))
    matrix = ops.reshape(values, (group * groups, values.shape[2]))
    return ops.matmul(x, ops.cast(matrix, x.dtype))


def expanded_columns(stored, tensors, index):
    """Returns columns of the matrix, float32 `[..., inputs]`, for integers `[...]`.

    Args:
        stored, tensors: see `row_product`.
        index: int tensor `[...]`, the numbers of the columns.
    """
    flat = ops.reshape(index, (-1,))
    values = _values(stored, [ops.take(part, flat, axis=-1) for part in tensors])
    values = ops.transpose(values, (2, 1, 0))
    inputs = values.shape[1] * values.shape[2]
    return ops.reshape(values, (*ops.shape(index), inputs))


def expanded_matrix(stored, tensors):
    """Returns the matrix, float32 `[inputs, outputs]`."""
    values = ops.swapaxes(_values(stored, tensors), 0, 1)
    return ops.reshape(values, (-1, values.shape[2]))


def _values(stored, tensors):
    """Returns weights, float32 `[group, groups, outputs]`."""
    codes = ops.concatenate(_codes(stored, tensors[0]), axis=0)
    scales, offsets = _factors(stored, tensors)
    return codes * scales + offsets
