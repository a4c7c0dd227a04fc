"""Sums over earlier rows: equal to NumPy's for any number of rows, and for large early rows."""

import numpy as np
import pytest
from keras import ops

from mdnn.layers.mixing.forgetting import LEAST, kept_sums_before, left_of_rows
from mdnn.layers.mixing.row_sums import BLOCK_ROWS, MATRIX_ROWS, sums_before


@pytest.mark.parametrize(
    "rows",
    [1, 2, MATRIX_ROWS, MATRIX_ROWS + 1, 144, 5 * BLOCK_ROWS, MATRIX_ROWS * BLOCK_ROWS + 3],
)
def test_they_are_those_of_numpy(rows):
    values = np.random.default_rng(rows).normal(size=(2, rows, 3, 2)).astype("float32")
    sums = ops.convert_to_numpy(sums_before(ops.convert_to_tensor(values)))
    expected = np.cumsum(values.astype("float64"), axis=1) - values
    np.testing.assert_allclose(sums, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rows", [MATRIX_ROWS, MATRIX_ROWS + BLOCK_ROWS])
def test_small_early_rows_keep_their_digits(rows):
    values = np.full((1, rows, 1), 1e8, dtype="float32")
    values[0, :2] = 1e-3
    sums = ops.convert_to_numpy(sums_before(ops.convert_to_tensor(values)))
    # As the difference of the sum up to each row and the row these would be zeros.
    np.testing.assert_allclose(sums[0, :3, 0], [0, 1e-3, 2e-3], rtol=1e-6)


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("rows", [1, MATRIX_ROWS, 7 * BLOCK_ROWS, MATRIX_ROWS * BLOCK_ROWS + 3])
def test_what_rows_keep_of_earlier_ones(rows, begun):
    rng = np.random.default_rng(rows)
    values = rng.normal(size=(2, rows, 3, 1, 2)).astype("float32")
    kept = np.log(rng.uniform(0.5, 1.0, size=(2, rows, 3))).astype("float32")
    kept[:, rows // 2] = LEAST
    before = rng.normal(size=(2, 3, 1, 2)).astype("float32") if begun else None
    found = ops.convert_to_numpy(kept_sums_before(values, kept, before))
    expected, sums = np.zeros(values.shape), np.zeros(values[:, 0].shape)
    sums += before if begun else 0.0
    for row in range(rows):
        expected[:, row] = sums
        sums = sums * np.exp(kept[:, row])[..., None, None] + values[:, row]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_late_rows_keep_their_digits_after_many():
    rng = np.random.default_rng(3)
    kept = np.log(rng.uniform(0.2, 1.0, size=(1, 4096, 2))).astype("float32")
    kept[:, ::8] = LEAST
    found = ops.convert_to_numpy(left_of_rows(ops.convert_to_tensor(kept)))[0, -30:]
    from_end = np.cumsum(kept[0, ::-1].astype("float64"), axis=0)[::-1] - kept[0]
    np.testing.assert_allclose(found, np.exp(from_end[-30:]), rtol=1e-4, atol=1e-30)
