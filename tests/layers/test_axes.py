"""Axes as Keras counts them."""

import json

import numpy as np
import pytest

from mdnn.layers.arguments import normalize_axes, normalize_axis


@pytest.mark.parametrize(("axis", "number"), [(1, 1), (3, 3), (-1, 3), (-3, 1), (np.int64(2), 2)])
def test_one_axis(axis, number):
    assert normalize_axis(axis, 4) == number
    json.dumps(normalize_axis(axis, 4))


@pytest.mark.parametrize(
    ("axes", "numbers"),
    [(None, (1, 2, 3)), (-1, (3,)), ((3, 1), (3, 1)), ([-1, -2], (3, 2)), ((), ())],
)
def test_several_axes_keep_their_order(axes, numbers):
    assert normalize_axes(axes, 4) == numbers


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        (0, "Expected `over` to be other than the batch axis of an input of 4 axes"),
        (-4, "Expected `over` to be other than the batch axis"),
        (4, r"Expected `over` in -3 \.\. 3 for an input of 4 axes \(batch included\)"),
        (-5, r"Expected `over` in -3 \.\. 3"),
        (1.0, "Expected `over` to be an integer"),
        (True, "Expected `over` to be an integer"),
        ("1", "Expected `over` to be an integer"),
        (None, "Expected `over` to be an integer"),
    ],
)
def test_other_axes_are_refused(axis, message):
    with pytest.raises(ValueError, match=message):
        normalize_axis(axis, 4, "over")
    with pytest.raises(ValueError, match=message):
        normalize_axes([2, axis], 4, "over")


def test_each_axis_once():
    with pytest.raises(ValueError, match="Expected `axes` to name each axis"):
        normalize_axes((1, 2, -3), 4)
