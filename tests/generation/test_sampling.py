"""Choosing a class: greedy, temperature, top-k, top-p, and the numbers it is chosen by."""

import numpy as np
import pytest
from keras import ops

from mdnn.generation.sampling import sample, uniform

MASK = 0xFFFFFFFF


def hashed(*numbers):
    """`uniform` in whole numbers of Python."""
    state = 0x9E3779B9
    for number in numbers:
        x = (number + state * 0x01000193) & MASK
        x = (x ^ x >> 16) * 0x85EBCA6B & MASK
        x = (x ^ x >> 13) * 0xC2B2AE35 & MASK
        state = x ^ x >> 16
    return (state >> 8) / 2**24


def chosen(scores, places, temperature=1.0, top_k=0, top_p=1.0):
    """Classes that rows of the same scores choose at many places, numpy int32 `[places]`."""
    rows = len(places)
    result = sample(
        ops.convert_to_tensor(np.broadcast_to(np.float32(scores), (rows, len(scores)))),
        ops.convert_to_tensor(np.float32(places)),
        ops.full((rows,), temperature, "float32"),
        ops.full((rows,), top_k, "int32"),
        ops.full((rows,), top_p, "float32"),
    )
    result = ops.convert_to_numpy(result)
    assert result.dtype == np.int32
    return result


def softmax(scores):
    odds = np.exp(scores - np.max(scores))
    return odds / odds.sum()


SCORES = np.random.default_rng(5).normal(size=40) * 2
GRID = (np.arange(20_000) + 0.5) / 20_000


def test_numbers_are_the_same_everywhere():
    seeds = np.array([0, 1, -1, 2**31 - 1, -(2**31)], "int32")
    found = ops.convert_to_numpy(uniform(ops.convert_to_tensor(seeds), 7, 2))
    assert found.dtype == np.float32
    assert found.tolist() == [hashed(int(seed), 7, 2) for seed in seeds]
    # Written down: a change would change every seed's text.
    assert found[:3].tolist() == [0.15970450639724731, 0.6839329600334167, 0.24947506189346313]


def test_numbers_are_flat_and_do_not_hang_together():
    seeds = np.arange(200, dtype="int32")[:, None]
    places = np.arange(200, dtype="int32")[None]
    numbers = ops.convert_to_numpy(uniform(seeds, places, 1))
    assert numbers.shape == (200, 200)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    flat = numbers.ravel()
    assert abs(flat.mean() - 0.5) < 4 / np.sqrt(12 * flat.size)
    counts, _ = np.histogram(flat, bins=100, range=(0, 1))
    # Chi-square of 99 degrees of freedom: above 160 with probability 1e-4.
    assert ((counts - 400) ** 2 / 400).sum() < 160
    for a, b in ((numbers[1:], numbers[:-1]), (numbers[:, 1:], numbers[:, :-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4 / np.sqrt(a.size)
    other = ops.convert_to_numpy(uniform(seeds, places, 2))
    assert abs(np.corrcoef(other.ravel(), flat)[0, 1]) < 4 / np.sqrt(flat.size)


def test_greedy_takes_the_likeliest():
    assert set(chosen(SCORES, GRID[::100], temperature=0)) == {SCORES.argmax()}
    # Of equally likely ones the first.
    assert set(chosen([1, 3, 2, 3], GRID[::100], temperature=0)) == {1}


@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
def test_classes_come_as_often_as_their_probability(temperature):
    # Places on an even grid: the counts are exact but for the two ends of each class.
    counts = np.bincount(chosen(SCORES, GRID, temperature), minlength=40)
    np.testing.assert_allclose(counts / 20_000, softmax(SCORES / temperature), atol=1.01 / 20_000)


def test_random_places_give_the_same_frequencies():
    places = ops.convert_to_numpy(uniform(3, np.arange(20_000, dtype="int32"), 0))
    counts = np.bincount(chosen(SCORES, places), minlength=40)
    expected = softmax(SCORES) * 20_000
    # Chi-square of at most 39 degrees of freedom: above 80 with probability 1e-4.
    assert ((counts - expected) ** 2 / expected).sum() < 80


@pytest.mark.parametrize("top_k", [1, 2, 7, 39, 40, 1000, 0])
def test_top_k(top_k):
    kept = np.argsort(-SCORES)[: top_k or 40]
    odds = np.zeros(40)
    odds[kept] = softmax(SCORES[kept])
    counts = np.bincount(chosen(SCORES, GRID, top_k=top_k), minlength=40)
    np.testing.assert_allclose(counts / 20_000, odds, atol=1.01 / 20_000)


@pytest.mark.parametrize("top_p", [1e-6, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("top_k", [0, 5])
def test_top_p_after_top_k_after_temperature(top_p, temperature, top_k):
    odds = softmax(SCORES / temperature)
    order = np.argsort(-odds)
    if top_k:
        odds[order[top_k:]] = 0
        odds /= odds.sum()
    # The fewest classes that have top_p together.
    kept = order[: int((np.cumsum(odds[order]) < top_p).sum()) + 1]
    expected = np.zeros(40)
    expected[kept] = odds[kept] / odds[kept].sum()
    counts = np.bincount(chosen(SCORES, GRID, temperature, top_k, top_p), minlength=40)
    np.testing.assert_allclose(counts / 20_000, expected, atol=1.01 / 20_000)


def test_rows_have_settings_of_their_own():
    scores = np.float32(np.broadcast_to(np.log([0.5, 0.3, 0.2]), (5, 3)))
    found = sample(
        ops.convert_to_tensor(scores),
        ops.convert_to_tensor(np.float32([0.99, 0.99, 0.99, 0.99, 0.0])),
        ops.convert_to_tensor(np.float32([1, 0, 1, 1, 1])),
        ops.convert_to_tensor(np.int32([0, 0, 2, 0, 0])),
        ops.convert_to_tensor(np.float32([1, 1, 1, 0.4, 1])),
    )
    assert ops.convert_to_numpy(found).tolist() == [2, 0, 1, 0, 0]


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 2e-38, 1e-45])
def test_next_to_no_temperature_is_greedy(temperature):
    assert set(chosen(SCORES * 10, GRID[::100], temperature)) == {SCORES.argmax()}


def test_far_scores():
    # Impossible classes are not chosen, whatever the place; the largest float is a score, too.
    scores = np.float32([-3e38, 0, -1e4, 0, -3e38])
    assert set(chosen(scores, [0.0, 0.25, 0.5, 0.75, np.nextafter(np.float32(1), 0)])) == {1, 3}
    assert set(chosen([3e38, -3e38, 3e38], [0.0, 0.4, 0.6, 0.99])) == {0, 2}
