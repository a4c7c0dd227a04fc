"""The native products along axes and their gradients against numpy."""

import ctypes

import axis_reference as reference
import numpy as np
import pytest

from mdnn.native.axis_plan import plan_numbers

GRIDS = [(5,), (3, 2), (16, 16), (20, 17), (5, 7, 3), (4, 4, 4, 4), (8, 8, 12), (3, 18, 33)]
# Tiles hold 16, 32 or 64 examples.
BATCHES = (1, 5, 16, 23, 64, 100)


def nearly(a, b):
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())


def transposed(kernels):
    return [np.ascontiguousarray(np.swapaxes(k, -1, -2)) for k in kernels]


def check(library, passes, sizes, batch):
    x, dy, kernels = reference.arrays(sizes, passes, batch)
    turned = transposed(kernels)
    nearly(
        reference.native_products(library, x, kernels, passes),
        reference.products(x, kernels, passes),
    )
    nearly(
        reference.native_products(library, x, turned, passes, 1),
        reference.products(x, kernels, passes),
    )
    dx, of_kernels = reference.gradients(x, dy, kernels, passes)
    found_dx, found = reference.native_gradients(library, x, dy, kernels, passes)
    nearly(found_dx, dx)
    _, alone = reference.native_gradients(library, x, dy, kernels, passes, of_x=False)
    turned_dx, of_turned = reference.native_gradients(library, x, dy, turned, passes, 1)
    nearly(turned_dx, dx)
    for a, b, c, right in zip(found, alone, transposed(of_turned), of_kernels, strict=True):
        nearly(a, right)
        np.testing.assert_array_equal(a, b)
        nearly(c, right)


@pytest.mark.parametrize("number", range(len(GRIDS)))
def test_separate_kernels(axes, number):
    """Each grid with two of the batches and instruction sets, in rotation."""
    sizes = GRIDS[number]
    some = sizes if len(sizes) < 3 else sizes[:2]
    sets = (b"avx512", b"avx2", b"plain")
    for turn in range(2):
        batch = BATCHES[(number + 3 * turn) % len(BATCHES)]
        if not axes.mdnn_axis_use_set(sets[(number + turn) % 3]):
            axes.mdnn_axis_use_set(b"plain")
        check(axes, reference.separate(sizes), sizes, batch)
        check(axes, reference.separate(sizes, [len(some) - 1]), sizes, batch)


@pytest.mark.parametrize("way", ["shared", "tied", "grouped"])
def test_kernels_that_positions_share(axes, way):
    for sizes, batch in (((6, 6, 6), 20), ((17, 17), 5)):
        check(axes, getattr(reference, way)(sizes), sizes, batch)


def test_the_number_of_threads_changes_no_bit(axes):
    """Of separate kernels, and of one for all positions, whose gradient is a sum over threads."""
    for passes, sizes in (
        (reference.separate((16, 16, 8)), (16, 16, 8)),
        (reference.shared((16, 16, 16)), (16, 16, 16)),
    ):
        x, dy, kernels = reference.arrays(sizes, passes, 40)
        results = []
        for threads in (1, 3, 8, 1):
            axes.mdnn_axis_threads(threads)
            y = reference.native_products(axes, x, kernels, passes)
            dx, of_kernels = reference.native_gradients(axes, x, dy, kernels, passes)
            results.append([y, dx, *of_kernels])
        for other in results[1:]:
            for a, b in zip(results[0], other, strict=True):
                np.testing.assert_array_equal(a, b)
    axes.mdnn_axis_threads(1)


def test_an_empty_batch(axes):
    passes = reference.separate((4, 3))
    x, dy, kernels = reference.arrays((4, 3), passes, 0)
    assert reference.native_products(axes, x, kernels, passes).shape == (0, 4, 3)
    _, of_kernels = reference.native_gradients(axes, x, dy, kernels, passes)
    assert all((g == 0).all() for g in of_kernels)


def test_plans_that_leave_their_arrays_are_refused(axes):
    """Every number of a plan, changed: the library refuses or stays inside its arrays."""
    sizes, passes, batch = (4, 3, 5), reference.separate((4, 3, 5)), 3
    x, _, kernels = reference.arrays(sizes, passes, batch)
    plan = plan_numbers(sizes, passes, batch)
    floats = ctypes.POINTER(ctypes.c_float)

    def run(numbers):
        # Memory after the arrays, whose numbers must not change.
        room = np.full(x.size + 4096, 7.0, "float32")
        array = np.array(numbers, "int64")
        done = axes.mdnn_axis_products(
            array.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_int64(len(array)),
            ctypes.c_int64(batch),
            0,
            x.ctypes.data_as(floats),
            (floats * 3)(*(k.ctypes.data_as(floats) for k in kernels)),
            room.ctypes.data_as(floats),
        )
        assert (room[x.size :] == 7).all()
        return done

    assert run(plan) == 1
    assert run(plan[:-1]) == run((*plan, 1)) == run(()) == 0
    # The sizes of the arrays themselves, which callers compare with what they pass, come first.
    start = 2 + len(kernels)
    refused = [
        run((*plan[:k], value, *plan[k + 1 :]))
        for k in range(start, len(plan))
        for value in (-1, plan[k] + 1, 1 << 40)
    ]
    assert refused.count(0) > len(refused) // 2
