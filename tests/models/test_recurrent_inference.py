"""Thinking for any number of steps: the same as the network refed so often, whoever is beside."""

import numpy as np
import pytest
from backends import to_numpy
from networks import randomize
from puzzle_networks import load_free, load_sudoku

import mdnn
from mdnn.config.training_tables import Length
from mdnn.datasets.puzzles.puzzle_splits import open_puzzles
from mdnn.errors import MdnnError
from mdnn.models.thinking.grid_resizing import at_grid_size
from mdnn.models.thinking.halting import CERTAIN
from mdnn.models.thinking.recurrent_inference import (
    RecurrentInference,
    check_step_counts,
    steps_by_length,
)
from mdnn.tasks.puzzle_evaluator import PuzzleEvaluator
from mdnn.tokens.symbols import PuzzleName, to_tokens


def cases(count=10):
    splits = open_puzzles("sudoku-4x4", seed=1)
    return splits.task, *splits.validation.different(count)


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("refeed.inner_steps=2", "refeed.initial_state=learned"),
        ("tokens.candidates=0", "refeed.feedback=both", "refeed.damping=0.2"),
    ],
    ids=["plain", "inner steps", "answers"],
)
def test_any_number_of_steps(tmp_path, settings):
    config = load_sudoku(tmp_path, *settings)
    model = randomize(mdnn.build(config))
    task, puzzles, _ = cases(5)
    tokens = to_tokens(puzzles, task.shape)
    solver = RecurrentInference(model, config, batch=4)
    found = list(solver.curve(tokens, [1, 3, 9]))
    assert [(own.start, steps) for own, steps, _ in found] == [
        (start, steps) for start in (0, 4) for steps in (1, 3, 9)
    ]
    for steps in (1, 3, 9):
        scores = np.concatenate([f["scores"] for _, n, f in found if n == steps])
        network = model.with_options(False, steps)
        if config.refeed.feedback != "state":
            network.get_layer("refeed").answer_feedback = model.get_layer("refeed").answer_feedback
        expected = to_numpy(network({"tokens": tokens, "targets": None}))
        np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-4)
    assert found[0][2]["change"] == pytest.approx(1, abs=1e-5) or settings


def test_every_puzzle_has_its_own_steps(tmp_path):
    config = load_sudoku(tmp_path)
    model = randomize(mdnn.build(config))
    task, puzzles, _ = cases(9)
    tokens = to_tokens(puzzles, task.shape)
    wanted = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5])
    done = []
    solver = RecurrentInference(model, config, batch=3)
    found = {n: (s, v) for n, s, v in solver.finished(tokens, wanted, progress=done.append)}
    assert {number: steps for number, (steps, _) in found.items()} == dict(enumerate(wanted))
    for number, (steps, scores) in found.items():
        expected = to_numpy(
            model.with_options(False, int(steps))({"tokens": tokens, "targets": None})
        )
        np.testing.assert_allclose(scores, expected[number], rtol=1e-3, atol=1e-4)
    assert done == sorted(done)
    assert done[-1] == 1


def test_what_halts_is_done(tmp_path):
    config = load_sudoku(tmp_path, "refeed.supervision_steps=4", "refeed.step_schedule=halt")
    model = randomize(mdnn.build(config))
    task, puzzles, _ = cases(9)
    tokens = to_tokens(puzzles, task.shape)
    solver = RecurrentInference(model, config, batch=3)
    wanted = np.full(9, 8)
    # A bias by which some stop at once and others later, or never.
    scores = [found["stop"] for _, _, found in solver.curve(tokens, [2])]
    head = model.get_layer("halt")
    head.bias.assign(to_numpy(head.bias) - np.median(np.concatenate(scores)) + CERTAIN)
    stops = {}
    for own, steps, found in solver.curve(tokens, [2, 4, 6]):
        for row, score in zip(range(own.start, own.stop), found["stop"], strict=True):
            if score > CERTAIN:
                stops.setdefault(row, steps)
    assert len(set(stops.values())) > 1
    found = {n: s for n, s, _ in solver.finished(tokens, wanted, halts=True)}
    assert found == {row: stops.get(row, 8) for row in range(9)}


def test_random_starts_are_each_puzzles_own(tmp_path):
    config = load_sudoku(tmp_path, "refeed.initial_state=random")
    solver = RecurrentInference(mdnn.build(config), config, batch=4)
    (state,) = solver.begin([3, 5], seed=1)
    (again,) = solver.begin([5], seed=1)
    np.testing.assert_array_equal(state[1], again[0])
    assert (solver.begin([5], seed=2)[0] != again).all()


def test_the_stillest_of_several_starts_answers(tmp_path):
    config = load_sudoku(tmp_path, "refeed.initial_state=random")
    model = randomize(mdnn.build(config))
    task, puzzles, solutions = cases(6)
    evaluator = PuzzleEvaluator({"parallel": model}, config)
    (several,) = evaluator.curve((task, puzzles, solutions), [2], num_starts=3)
    singles = []
    for seed in range(3):
        for _, _, found in evaluator.solver(task).curve(to_tokens(puzzles, task.shape), [2], seed):
            singles.append(found["change"])
    assert several["change"] == pytest.approx(np.min(singles, axis=0).mean(), rel=1e-4)
    (one,) = evaluator.curve((task, puzzles, solutions), [2])
    assert several["change"] < one["change"]


def test_another_size_with_the_same_weights(tmp_path):
    config = load_free(tmp_path, "maze-5x5", [5, 5])
    model = randomize(mdnn.build(config))
    other, larger = at_grid_size(model, config, PuzzleName.of("maze-7x9"))
    assert larger.context.grid == (7, 9)
    for a, b in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))
    # Far from the edges a small maze inside of walls is answered as it is alone, except for them.
    task = open_puzzles("maze-7x9", seed=1).task
    tokens = to_tokens(np.ones((1, 63), dtype="uint8"), task.shape)
    small = to_tokens(np.ones((1, 25), dtype="uint8"), (5, 5))
    one, two = (
        to_numpy(network.with_options(False, 1)({"tokens": t, "targets": None}))
        for network, t in ((model, small), (other, tokens))
    )
    np.testing.assert_allclose(one[0, 12], two[0, 31], rtol=1e-4, atol=1e-5)
    places = load_free(tmp_path, "maze-5x5", [5, 5], "tokens.coordinates=true")
    with pytest.raises(MdnnError, match=r"tokens.coordinates = true has weights per position"):
        at_grid_size(mdnn.build(places), places, PuzzleName.of("maze-7x7"))


def test_steps_by_length():
    asked = np.array([[True, False, False, False], [True, True, True, True]])
    spec = Length(per_given=1.0, per_unknown=2.5, least=3, most=8)
    assert steps_by_length(spec, asked).tolist() == [6, 8]
    assert steps_by_length(Length(per_unknown=0.1, least=3), asked).tolist() == [3, 3]


@pytest.mark.parametrize("steps", [0, -1, 1.5, True, [1, 0], [], ["2"]])
def test_numbers_of_steps(steps):
    with pytest.raises(MdnnError, match="steps: expected"):
        check_step_counts(steps if isinstance(steps, list) else [steps])
