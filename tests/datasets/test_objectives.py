"""Which objective a step has, and which positions are blank for it."""

import numpy as np
import pytest

from mdnn.config.training_tables import Objectives
from mdnn.datasets.batches.objectives import mask_tokens, masked_positions, normalised, objective_at
from mdnn.errors import MdnnError
from mdnn.tokens.item_tokenizer import ItemTokenizer


def bits(*shape, key=1):
    return np.random.Philox(key=key).random_raw(int(np.prod(shape))).reshape(shape)


@pytest.mark.parametrize(
    "weights",
    [
        {"autoregressive": 1.0},
        {"autoregressive": 0.0, "parallel": 3.0},
        {"autoregressive": 0.0, "masked_diffusion": 0.1},
    ],
)
def test_a_single_objective_is_every_steps(weights):
    name = max(weights, key=weights.get)
    assert {objective_at(1, step, Objectives(**weights)) for step in range(50)} == {name}


def test_a_mix_comes_as_often_as_it_says():
    mix = Objectives(autoregressive=1.0, parallel=2.0, masked_diffusion=5.0)
    steps = [objective_at(7, step, mix) for step in range(4000)]
    for name, share in (
        ("autoregressive", 1 / 8),
        ("parallel", 2 / 8),
        ("masked_diffusion", 5 / 8),
    ):
        assert steps.count(name) / 4000 == pytest.approx(share, abs=0.03)
    # pure in seed and step, and frozen: a change makes every seed mean something else
    assert steps[2001] == objective_at(7, 2001, mix)
    assert steps[:50] != [objective_at(8, step, mix) for step in range(50)]
    assert [name[0] for name in steps[:12]] == list("mmammmmmmmmm")


@pytest.mark.parametrize(
    "weights",
    [
        {"autoregressive": 0.0},
        {"autoregressive": -1.0, "parallel": 2.0},
        {"autoregressive": float("nan")},
    ],
)
def test_weights_that_are_refused(weights):
    with pytest.raises(
        MdnnError,
        match=r"weights from 0 on, one above 0; received autoregressive = .*masked_diffusion",
    ):
        objective_at(0, 0, Objectives(**weights))


def test_once_leaves_the_whole_answer_blank():
    blank, weights = masked_positions("parallel", [2, 0, 3], [5, 6, 3], 6, bits(3))
    assert blank.astype(int).tolist() == [[0, 0, 1, 1, 1, 0], [1] * 6, [0] * 6]
    assert weights.tolist() == [1, 1, 1]


def test_unmask_draws_a_uniform_number_of_blanks_anywhere_in_the_answer():
    number = 6000
    first, stop = np.full(number, 2), np.full(number, 6)
    blank, weights = masked_positions(
        "masked_diffusion", first, stop, 9, bits(number), bits(number, 9, key=2)
    )
    assert not blank[:, [0, 1, 6, 7, 8]].any()
    counts = blank.sum(axis=1)
    for count in range(1, 5):
        where = counts == count
        assert where.mean() == pytest.approx(1 / 4, abs=0.03)
        np.testing.assert_allclose(blank[where].mean(axis=0)[2:6], count / 4, atol=0.05)
    # the inverse of the share that is blank: the weights of an answer's blanks sum to its positions
    np.testing.assert_allclose(weights, 4 / counts)
    np.testing.assert_allclose((blank * weights[:, None]).sum(axis=1), 4)


def test_unmask_of_nothing_and_of_one_position():
    blank, weights = masked_positions("masked_diffusion", [2, 3], [2, 4], 4, bits(2), bits(2, 4))
    assert blank.astype(int).tolist() == [[0, 0, 0, 0], [0, 0, 0, 1]]
    assert weights.tolist() == [1, 1]


def test_blank_rows_are_those_of_the_codec():
    tokenizer = ItemTokenizer()
    rows = tokenizer.tokens(np.full((2, 3), 200, np.uint8), number=4)
    before = rows.copy()
    np.testing.assert_array_equal(mask_tokens(rows, 4), tokenizer.masks("grey", (2, 3), 4))
    np.testing.assert_array_equal(rows, before)


def test_weights_have_mean_one_over_what_counts():
    targets = np.zeros((2, 3, 8), np.int32)
    targets[0, :2, 0] = targets[1, 1, 0] = 1
    weights = normalised(np.array([[1.0], [4.0]]), targets)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, [[0.5, 0.5, 0], [0, 2, 0]])
    assert not normalised(np.ones((2, 3)), targets * 0).any()
    assert not normalised(np.zeros((2, 3)), targets).any()
