"""Looking rows up in several tables at once."""

from keras import ops


def sum_of_rows(tables, rows):
    """The sum of one row of each table.

    Args:
        tables: list of k tables `[n_k, width]`.
        rows: list of k integer tensors `[...]`. A row beyond its table means its last row:
            what other modalities have in the same columns is masked by the caller.

    Returns:
        `[..., width]`.
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


def dense_gradient(table):
    """A table to look rows up in, whose gradient comes in one piece.

    TensorFlow's gradient of a look-up is a list of rows, which it would split between joined
    tables and sum up again for each use: 16 of 100 ms a training step of configs/digits.toml.
    A product's gradient is a plain tensor.
    """
    return table * ops.ones((), table.dtype)


def digit_rows(number, base, digits):
    """Row numbers of the digits of `number` in one table of `digits * base` rows.

    Args:
        number: integer tensor `[...]`, at least 0.
        base: int, the number of values of a digit.
        digits: int, how many digits, the lowest first. Numbers from `base ** digits` on
            wrap around.

    Returns:
        Integer tensor `[..., digits]`.
    """
    # Digits that a 32-bit number cannot have are 0, and their base's power is no such number.
    rows = [
        (number // base**d) % base + d * base
        if base**d < 2**31
        else ops.full_like(number, d * base)
        for d in range(digits)
    ]
    return ops.stack(rows, axis=-1)
