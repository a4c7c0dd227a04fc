"""Words for wirings, masks and kernels of distances."""

import itertools

import keras
import numpy as np
import pytest

from mdnn.layers.wiring import fan_in, kernel_masks, parse_wiring, toeplitz


@pytest.mark.parametrize(
    ("wiring", "spelling"),
    [
        ("full", "full"),
        (("full",), "full"),
        ("causal", "causal"),
        ("shift+causal", "causal+shift"),
        ("shift + causal", "causal+shift"),
        (["shift", "local"], "local+shift"),
        (("random", "local", "shift", "causal"), "causal+local+random+shift"),
    ],
)
def test_a_wiring_has_one_spelling(wiring, spelling):
    assert parse_wiring(wiring) == spelling


@pytest.mark.parametrize(
    "wiring", ["", "causul", "full+causal", "causal+causal", [], ["local", 3], None, 7]
)
def test_other_wirings_are_refused(wiring):
    with pytest.raises(ValueError, match="Expected `wiring` to be"):
        parse_wiring(wiring)


def test_masks_of_a_matrix():
    past, whole = kernel_masks(3, part="lower")
    # Inputs are rows: input i reaches output j >= i.
    np.testing.assert_array_equal(past, [[1, 1, 1], [0, 1, 1], [0, 0, 1]])
    assert whole.all()
    past, whole = kernel_masks(3, part="strict", diagonal=False)
    np.testing.assert_array_equal(past, [[0, 1, 1], [0, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(whole, [[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    past, whole = kernel_masks(4, window=1)
    np.testing.assert_array_equal(past, [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]])
    np.testing.assert_array_equal(whole, past)


def test_masks_of_distances():
    past, whole = kernel_masks(3, part="strict", shift=True, window=1)
    np.testing.assert_array_equal(past, [0, 0, 0, 1, 0])
    np.testing.assert_array_equal(whole, [0, 1, 1, 1, 0])


@pytest.mark.parametrize("density", [0, 0.1, 0.37, 0.5, 1.0])
@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("over", [(), (2, 3)])
@pytest.mark.parametrize("part", ["all", "lower", "strict"])
def test_random_wiring_has_exactly_its_density(part, over, shift, density):
    options = {"part": part, "diagonal": part != "strict", "shift": shift, "window": 3}
    allowed_past, allowed = kernel_masks(5, **options)
    past, whole = kernel_masks(5, **options, density=density, seed=1, over=over)
    positions = int(np.prod(over))
    n_past = int(allowed_past.sum()) * positions
    n_future = int((allowed & ~allowed_past).sum()) * positions
    assert past.sum() == round(density * n_past)
    assert whole.sum() == round(density * n_past) + round(density * n_future)
    assert not (whole & ~allowed).any()
    np.testing.assert_array_equal(past, whole & allowed_past)


def test_random_wiring_depends_on_the_seed_alone():
    first, _ = kernel_masks(6, density=0.5, seed=(3, 0))
    np.testing.assert_array_equal(kernel_masks(6, density=0.5, seed=(3, 0))[0], first)
    assert (kernel_masks(6, density=0.5, seed=(3, 1))[0] != first).any()
    assert (kernel_masks(6, density=0.5, seed=(4, 0))[0] != first).any()
    # This very draw, on every machine and with every numpy.
    drawn, _ = kernel_masks(3, density=0.5, seed=0)
    np.testing.assert_array_equal(drawn, [[0, 1, 1], [0, 0, 0], [1, 1, 0]])


def test_a_smaller_density_keeps_a_part_of_a_larger_one():
    for part in ("all", "lower"):
        masks = [kernel_masks(6, part, density=d, seed=2)[1] for d in (0.2, 0.5, 0.9)]
        for small, large in itertools.pairwise(masks):
            assert not (small & ~large).any()
            assert small.sum() < large.sum()


def test_fan_in():
    assert fan_in(5, None) == 5
    for options in ({}, {"part": "lower"}, {"part": "strict"}, {"window": 1, "diagonal": False}):
        matrix = kernel_masks(5, **options)[0]
        mean = matrix.sum() / 5
        assert fan_in(5, matrix) == pytest.approx(mean)
        assert fan_in(5, kernel_masks(5, shift=True, **options)[0], shift=True) == pytest.approx(
            mean
        )
    # No kernel starts larger than with one input, live or not.
    assert fan_in(1, np.zeros((1, 1), bool)) == 1
    assert fan_in(1, np.zeros(1, bool), shift=True) == 1


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_toeplitz(n, lead):
    values = np.random.default_rng(0).normal(size=(*lead, 2 * n - 1)).astype("float32")
    matrix = keras.ops.convert_to_numpy(toeplitz(keras.ops.convert_to_tensor(values)))
    assert matrix.shape == (*lead, n, n)
    for i in range(n):
        for j in range(n):
            np.testing.assert_array_equal(matrix[..., i, j], values[..., j - i + n - 1])
