"""Looks up rows of several tables at once."""

import numpy as np
from keras import ops

from mdnn.tokens.modalities import MAX_MODALITIES, modality


def sum_of_rows(tables, rows):
    """Sums one row of each table.

    Args:
        tables: list of k tables `[n_k, width]`.
        rows: list of k integer tensors `[...]`, row indices. Larger indices select the last row:
            values of other modalities in the same columns are masked by the caller.

    Returns:
        Tensor `[..., width]`.
    """
    starts = [sum(table.shape[0] for table in tables[:k]) for k in range(len(tables))]
    rows = [
        ops.minimum(row, table.shape[0] - 1) + start
        for row, table, start in zip(rows, tables, starts, strict=True)
    ]
    joined = dense_gradient(
        ops.concatenate([ops.convert_to_tensor(table) for table in tables], axis=0)
    )
    return ops.sum(ops.take(joined, ops.stack(rows, axis=-1), axis=0), axis=-2)


def sum_of_letters(points, tables, places, dtype):
    """Sums the rows of the letters of words and of the letters' positions in the word.

    Args:
        points: int tensor `[..., letters]`, code points; negative after a word's last letter.
        tables: list of the tables of a code point's plane, row and cell, `[n_k, width]`.
        places: Table `[letters, width]`, a row per position in the word.
        dtype: the dtype of the sum.

    Returns:
        Tensor `[..., width]`.
    """
    present = ops.cast(points >= 0, dtype)[..., None]
    points = ops.maximum(points, 0)
    letters = sum_of_rows(tables, (points // 65_536, points // 256 % 256, points % 256))
    places = ops.cast(ops.convert_to_tensor(places), letters.dtype)
    return ops.sum((letters + places) * present, axis=-2)


def sum_by_modality(kind, groups, rows_of):
    """Sums one row of a table per group with a single look-up in the concatenated tables.

    The modality of a position selects the table of each group. A look-up per modality would
    multiply the time by the number of modalities.

    Args:
        kind: int tensor `[...]`, the column `modality`.
        groups: list of tuples `(tables, index, clip)`, at least one. `tables` is a dict from names
            of modalities to tables; modalities may share one. `index` is an integer tensor
            `[..., k]`, the k rows that a position adds; positions of other modalities add none.
            `clip`: bool, whether larger indices select the last row of the table.
        rows_of: function `(name, table)` that returns the rows of a table as a tensor `[n, width]`.

    Returns:
        Tensor `[..., width]`.
    """
    indices, starts, tables = [], {}, []
    size = 1  # the first row is zeros
    # Indices outside the table of modalities select the row of zeros.
    valid_kind = ops.where(kind < MAX_MODALITIES, kind, 0)
    for by_name, index, clip in groups:
        begin, most = np.zeros(MAX_MODALITIES, "int32"), np.zeros(MAX_MODALITIES, "int32")
        for name, table in by_name.items():
            if id(table) not in starts:
                starts[id(table)] = size
                tables.append((name, table))
                size += table.shape[0]
            at = modality(name).index
            begin[at], most[at] = starts[id(table)], table.shape[0] - 1
        begin = ops.take(ops.convert_to_tensor(begin), valid_kind)[..., None]
        if clip:
            # Bytes of other modalities in this column may be larger: clip them.
            most = ops.take(ops.convert_to_tensor(most), valid_kind)[..., None]
            index = ops.minimum(index, most)
        indices.append(ops.where(begin > 0, begin + index, 0))
    # Tables are brought to the width before the look-up: they have fewer rows than there are
    # positions.
    rows = [rows_of(name, table) for name, table in tables]
    zeros = ops.zeros((1, rows[0].shape[-1]), rows[0].dtype)
    joined = dense_gradient(ops.concatenate([zeros, *rows], axis=0))
    return ops.sum(ops.take(joined, ops.concatenate(indices, axis=-1), axis=0), axis=-2)


def take_rows(table, index):
    """Returns rows of a table `[n, width]`: `[..., width]` for integers `[...]`.

    A table that is held as codes expands these rows alone (`mdnn.runs.packed_variable`).
    """
    look_up = getattr(table, "rows", None)
    rows = None if look_up is None else look_up(index)
    return ops.take(table, index, axis=0) if rows is None else rows


def dense_gradient(table):
    """Multiplies a table by 1, so that the gradient of look-ups in it is a dense tensor.

    TensorFlow's gradient of a look-up is a sparse list of rows, which it would split between
    concatenated tables and sum again for each use: 16 of 100 ms of a training step of
    configs/digits.toml. The gradient of a product is dense.
    """
    return table * ops.ones((), table.dtype)


def digit_rows(number, base, digits):
    """Returns the row indices of a number's digits in a table of `digits * base` rows.

    Args:
        number: int tensor `[...]`, at least 0.
        base: int, the number of values of a digit.
        digits: int, number of digits, lowest first. Numbers from `base ** digits` on wrap
            around.

    Returns:
        int tensor `[..., digits]`.
    """
    # Digits above 32 bits are 0; base**d would overflow.
    rows = [
        (number // base**d) % base + d * base
        if base**d < 2**31
        else ops.full_like(number, d * base)
        for d in range(digits)
    ]
    return ops.stack(rows, axis=-1)
