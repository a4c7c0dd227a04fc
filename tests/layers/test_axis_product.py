"""Every layout of a product along an axis against einsum."""

import keras
import numpy as np
import pytest
from backends import to_numpy, values

from mdnn.layers import MultidimDense
from mdnn.layers.axis_product import (
    LEAST_BEHIND,
    DividedAxis,
    axis_product,
    batch_goes_last,
    by_device,
    dividing,
    from_devices,
)

LETTERS = "bijkl"


def normal(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize(
    ("shape", "axis", "over"),
    [
        # one kernel: the last axis, few values after it, many, nothing before it
        ((2, 3, 4, 5), 3, ()),
        ((2, 3, 4, 5), 2, ()),
        ((2, 3, 4, LEAST_BEHIND), 2, ()),
        ((4, 3, 4, LEAST_BEHIND), 0, ()),
        # a kernel per position on some axes: before it, after it, around it, on all but one
        ((2, 3, 4, 5), 3, (1,)),
        ((2, 3, 4, 5), 1, (3,)),
        ((2, 3, 4, 5), 2, (1, 3)),
        ((3, 4, 5, 2), 0, (1, 2)),
    ],
)
def test_product(shape, axis, over):
    sizes = tuple(shape[a] for a in over)
    x, kernel = normal(*shape), normal(*sizes, shape[axis], 6, seed=2)
    own = LETTERS[: len(shape)]
    kernel_letters = "".join(own[a] for a in over) + own[axis] + "z"
    expected = np.einsum(f"{own},{kernel_letters}->{own.replace(own[axis], 'z')}", x, kernel)
    actual = to_numpy(axis_product(keras.ops.convert_to_tensor(x), kernel, axis, over))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("execution", ["parallel", "sequential"])
@pytest.mark.parametrize("wiring", ["full", "causal"])
def test_a_long_batch_goes_last_and_changes_nothing(wiring, execution):
    layer = MultidimDense(wiring=wiring, execution=execution, use_bias=True, activation="melu")
    layer.build((None, 2, 3, 4))
    layer.bias.assign(normal(2, 3, 4, seed=3))
    assert batch_goes_last((16, 2, 3, 4), layer._plan)
    assert not batch_goes_last((15, 2, 3, 4), layer._plan)
    assert not batch_goes_last((None, 2, 3, 4), layer._plan)
    x = normal(16, 2, 3, 4)
    parts = [to_numpy(layer(x[:8])), to_numpy(layer(x[8:]))]
    np.testing.assert_allclose(to_numpy(layer(x)), np.concatenate(parts), rtol=1e-5, atol=1e-5)


def test_a_batch_that_shares_its_kernels_with_an_axis_stays_in_front():
    layer = MultidimDense(axes=(1,), sharing=(2,))
    layer.build((None, 2, 3, 4))
    assert not batch_goes_last((64, 2, 3, 4), layer._plan)


@pytest.mark.parametrize("over", [(), (3,), (2, 3)])
@pytest.mark.parametrize("axis", [1, 2, 4])
def test_products_of_divided_axes(axis, over):
    """They are the same; each array is divided along an axis that is not mixed."""
    over = tuple(a for a in over if a != axis)
    shape, placed = (3, 4, 6, 2, 5), []

    def place(x, at):
        placed.append(at)
        assert x.shape[at] % 2 == 0
        return x

    x = normal(*shape)
    kernel = normal(*(shape[a] for a in over), shape[axis], shape[axis], seed=1)
    with dividing(DividedAxis(1, 2, 1, place)):
        y = values(lambda x: axis_product(x, kernel, axis, over), x)
    other = {(): 2, (3,): 3, (2, 3): 2}[over]
    assert placed == ([other, other, 1] if axis == 1 else [1, 1])
    np.testing.assert_allclose(
        y, values(lambda x: axis_product(x, kernel, axis, over), x), atol=2e-5
    )


def test_positions_of_divided_axes_are_laid_out_by_device():
    x = np.arange(4 * 6).reshape(4, 6, 1).astype("float32")
    with dividing(DividedAxis(1, 3, 2, None)):
        flat = values(by_device, x)
        back = values(lambda x: from_devices(x[..., 0], 6), flat)
    # The first device has two positions of each of two contexts.
    assert flat.shape == (6, 4, 1)
    assert flat[0, :, 0].tolist() == [0, 1, 6, 7]
    np.testing.assert_array_equal(back, x[..., 0])
    np.testing.assert_array_equal(values(lambda x: by_device(x), x), x)
