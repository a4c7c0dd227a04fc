"""Which puzzles a step learns from: refilled batches, drawn steps, runs that go on."""

import dataclasses

import numpy as np
import pytest
from puzzle_networks import load_free, load_sudoku
from safetensors.numpy import load_file

import mdnn
from mdnn import cli
from mdnn.models.thinking.deep_supervision import CORRECT, FINITE, HALT_LOGIT
from mdnn.tasks import task_for
from mdnn.tasks.puzzle_feed import CarriedPuzzles
from mdnn.training import trainer as loop


class Told:
    """Stands in for a step: its verdict is what a test says."""

    def __init__(self, size):
        self.verdict = np.zeros((3, size), dtype="float32")
        self.verdict[FINITE] = 1
        self.loss_models = {None: self}
        self.carried = []

    def read(self, verdict):
        return verdict


def carried(folder, *settings):
    config = load_sudoku(folder, "train.batch_size=4", "refeed.supervision_steps=3", *settings)
    thinking, told = task_for(config).feed(), Told(4)
    thinking.follow(told)
    return thinking, told


def test_what_has_stopped_makes_room(tmp_path):
    thinking, told = carried(
        tmp_path, "refeed.step_schedule=halt", "refeed.halt_exploration_prob=0.0"
    )
    first = thinking.batch(0)
    assert first["reset"].all()
    told.verdict[HALT_LOGIT] = [-1, 2, -1, -1]
    told.verdict[CORRECT] = [0, 1, 0, 0]
    thinking.update()
    assert thinking.number.tolist() == [0, 4, 2, 3]
    second = thinking.batch(1)
    assert second["reset"].tolist() == [False, True, False, False]
    np.testing.assert_array_equal(second["tokens"][[0, 2, 3]], first["tokens"][[0, 2, 3]])
    assert (second["tokens"][1] != first["tokens"][1]).any()
    told.verdict[HALT_LOGIT] = -1
    thinking.update()
    thinking.batch(2)
    # After three supervision steps a puzzle is done, whatever the head says.
    thinking.update()
    assert thinking.number.tolist() == [5, 4, 6, 7]
    assert thinking.age.tolist() == [0, 2, 0, 0]
    # A state that is not a number begins anew, with another puzzle.
    told.verdict[FINITE] = [1, 0, 1, 1]
    thinking.batch(3)
    thinking.update()
    assert thinking.number.tolist() == [5, 8, 6, 7]


def test_without_a_head_nothing_stops_early(tmp_path):
    thinking, told = carried(tmp_path)
    told.verdict[HALT_LOGIT] = 9
    for step, number in enumerate((0, 0, 4)):
        thinking.batch(step)
        thinking.update()
        assert thinking.number[0] == number


def test_exploring_puzzles_have_to_go_on(tmp_path):
    thinking, told = carried(
        tmp_path, "refeed.step_schedule=halt", "refeed.halt_exploration_prob=1.0"
    )
    assert set(thinking.least) <= {2, 3}
    told.verdict[HALT_LOGIT] = 9
    thinking.batch(0)
    thinking.update()
    assert thinking.number.tolist() == [0, 1, 2, 3]


def test_steps_by_length(tmp_path):
    settings = (
        "refeed.step_schedule=length",
        "refeed.steps_by_length={ per_unknown = 0.5, least = 2, most = 5 }",
        "refeed.steps=1",
    )
    thinking, _ = carried(tmp_path, *settings, "data.givens=[6, 8]")
    batch = thinking.batch(0)
    wanted = np.clip(np.ceil(0.5 * batch["unknown_mask"].sum(1)), 2, 5)
    assert wanted.max() > 3
    thinking.update()
    assert (thinking.age == np.where(wanted <= 1, 0, 1)).all()
    drawn = load_sudoku(tmp_path, *settings, "data.givens=[6, 8]")
    batch = task_for(drawn).feed().batch(0)
    longest = np.clip(np.ceil(0.5 * batch["unknown_mask"].sum(1)), 2, 5).max()
    assert batch["no_grad_steps"].tolist() == [longest - 1]


def test_sampled_steps(tmp_path):
    config = load_free(tmp_path, "prefix-sums-12", [12])
    thinking = task_for(config).feed()
    free = [int(thinking.batch(step)["no_grad_steps"][0]) for step in range(60)]
    assert set(free) == set(range(5))
    assert free == [int(thinking.batch(step)["no_grad_steps"][0]) for step in range(60)]


def test_a_run_that_goes_on_is_the_run_that_was_not_stopped(tmp_path, monkeypatch):
    """States, ages and the numbers of puzzles are in the checkpoint; so are random starts."""
    words = (
        "refeed.supervision_steps=3",
        "refeed.step_schedule=halt",
        "refeed.initial_state=random",
        "refeed.inner_steps=1",
    )
    config = load_sudoku(tmp_path, "train.steps=8", "train.num_evaluations=0", *words)
    mdnn.train(config, tmp_path / "whole", show=False)

    class Killed(BaseException):
        pass

    real = loop.Training._show
    monkeypatch.setattr(loop.Training, "_row_is_due", lambda *_: True)

    def show(self, *given):
        real(self, *given)
        if self.progress.step == 5:
            self._settle()
            self.save()
            raise Killed

    monkeypatch.setattr(loop.Training, "_show", show)
    with pytest.raises(Killed):
        mdnn.train(config, tmp_path / "halves", show=False)
    monkeypatch.undo()
    mdnn.train(config, tmp_path / "halves", resume=True, show=False)
    whole, halves = (
        load_file(tmp_path / name / "model.safetensors") for name in ("whole", "halves")
    )
    assert whole.keys() == halves.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(halves[name], array, err_msg=name)


def test_a_state_that_is_no_number_ends_training(tmp_path, monkeypatch, capsys):
    config = load_sudoku(tmp_path, "refeed.supervision_steps=3")
    real = CarriedPuzzles.batch

    def batch(self, step):
        if step == 4:
            self.loss_model.carried[0].assign(np.full(self.loss_model.carried[0].shape, np.inf))
            self.age[:] = 1
        return real(self, step)

    monkeypatch.setattr(CarriedPuzzles, "batch", batch)
    run = tmp_path / "run"
    with pytest.raises(mdnn.MdnnError, match=r"the loss is nan at step 5 .* has no checkpoint"):
        mdnn.train(config, run, show=False)
    skipping = dataclasses.replace(config.train, not_finite="skip")
    result = mdnn.train(dataclasses.replace(config, train=skipping), tmp_path / "skips", show=False)
    assert result["skipped"] == 1
    assert np.isfinite(result["loss"])


def test_refeeds_of_a_run(tmp_path, capsys):
    config = load_sudoku(tmp_path, "refeed.supervision_steps=3", "refeed.step_schedule=halt")
    run = str(mdnn.train(config, tmp_path / "run", show=False)["run"])
    assert cli.main(["evaluate", run, "--steps", "8,1,2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["steps", "1", "2", "8"]
    assert cli.main(["evaluate", run, "--adaptive"]) == 0
    assert "of 24 puzzles exact after" in capsys.readouterr().out
    refused = {
        ("--steps", "0"): "steps: expected whole numbers from 1 to 1,000,000, received 0",
        ("--steps", "-2"): "received -2",
        ("--steps", "1,x"): "--steps: expected numbers as 1,2,4; received '1,x'",
        ("--steps", "4", "--adaptive"): "adaptive: cannot be combined with steps; received both",
        ("--steps", "4", "--num-starts", "3"): "trained with refeed.initial_state = 'random'",
        (
            "--num-starts",
            "3",
        ): "num_starts: expected steps, too, received num_starts = 3",
        ("--data", "sudoku-6x6"): "expected a sudoku-4x4, the puzzle that the network was built "
        "for: backbone.layer.0.mixer.0.kind = 'dense' has weights per position; received a "
        "sudoku-6x6 of 36 positions",
        ("--data", "maze-5x5"): "expected a sudoku-4x4, the puzzle",
    }
    for words, message in refused.items():
        assert cli.main(["evaluate", run, *words]) == 2, words
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    plain = load_sudoku(tmp_path)
    run = str(mdnn.train(plain, tmp_path / "plain", show=False)["run"])
    assert cli.main(["evaluate", run, "--adaptive"]) == 2
    assert "it has no halting head" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ("refeed.step_schedule=halt",),
            "refeed.supervision_steps: expected at least 2 with step_schedule = 'halt'",
        ),
        (("refeed.step_schedule=sampled",), "refeed.bptt_steps: step_schedule = 'sampled' draws"),
        (
            ("refeed.step_schedule=length",),
            "refeed.steps_by_length: expected per_given or per_unknown above 0 if and only if",
        ),
        (
            ("refeed.steps_by_length.per_unknown=1.0",),
            "refeed.steps_by_length: expected per_given or per_unknown above 0",
        ),
        (
            ("refeed.progressive=0.5",),
            "refeed.progressive: expected 1 without step_schedule = 'sampled'",
        ),
        (("refeed.feedback=both",), "refeed.feedback: expected 'state' with tokens.candidates"),
        (
            ("tokens.candidates=5",),
            "tokens.candidates: expected the 4 digits of a sudoku-4x4, received 5",
        ),
        (
            ("context.layout=stream", "tokens.modalities=['text']", "tokens.candidates=0"),
            "refeed|data|source",
        ),
    ],
)
def test_words_that_do_not_go_together(tmp_path, settings, message):
    with pytest.raises(mdnn.MdnnError, match=message):
        load_sudoku(tmp_path, *settings)
