"""Looks up rows of several tables at once."""

from keras import ops


def sum_of_rows(tables, rows):
    """Sums one row of each table.

    Args:
        tables: List of k tables `[n_k, width]`.
        rows: List of k integer tensors `[...]`, row indices. Larger indices select the last row:
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
        number: Integer tensor `[...]`, at least 0.
        base: Integer, the number of values of a digit.
        digits: Integer, number of digits, lowest first. Numbers from `base ** digits` on wrap
            around.

    Returns:
        Integer tensor `[..., digits]`.
    """
    # Digits above 32 bits are 0; base**d would overflow.
    rows = [
        (number // base**d) % base + d * base
        if base**d < 2**31
        else ops.full_like(number, d * base)
        for d in range(digits)
    ]
    return ops.stack(rows, axis=-1)
