"""Batches of puzzles: in place, a function of the step; a network that learns from them."""

import dataclasses

import keras
import numpy as np
import pytest
from backends import JIT

import mdnn
from mdnn import cli
from mdnn.datasets.batches.puzzle_batches import PuzzleBatches, exact
from mdnn.datasets.puzzles.puzzle_splits import open_puzzles
from mdnn.errors import MdnnError
from mdnn.models.loss import loss_for
from mdnn.tasks import task_for
from mdnn.tokens.features import MODALITY
from mdnn.tokens.modalities import modality
from mdnn.tokens.symbols import to_symbols
from mdnn.training.preparation import anchored

CONFIG = """
data.source = "sudoku-4x4"
tokens = { modalities = ["symbol"], coordinates = true, base = 4, digits = 1 }
context = { layout = "puzzle", grid = [4, 4] }
loss.prompt = 0.0
[backbone]
width = 16
depth = 1
[[backbone.layer]]
kind = "mix"
gate = "silu"
[[backbone.layer.mixer]]
wiring = "full"
[train]
steps = 10
batch_size = 32
sample = 0
objectives = { autoregressive = 0.0, parallel = 1.0 }
"""


def load(folder, *settings):
    path = folder / "puzzle.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return mdnn.load_config(path, settings)


def test_slots_answer_their_own_symbols():
    splits = open_puzzles("sudoku-6x6", seed=1)
    batches = PuzzleBatches(splits.train, 16, given_weight=0.0)
    puzzles, solutions = splits.train.at(9, 16)
    batch = batches.at(9)
    assert {name: rows.dtype for name, rows in batch.items()} == {
        "tokens": np.int32,
        "targets": np.int32,
        "weights": np.float32,
    }
    np.testing.assert_array_equal(to_symbols(batch["tokens"]), puzzles)
    asked = puzzles == 0
    targets = batch["targets"]
    np.testing.assert_array_equal(targets[..., MODALITY] > 0, asked)
    np.testing.assert_array_equal(targets[..., 1][asked], solutions[asked])
    places = np.stack(np.divmod(np.arange(36), 6), axis=1)
    np.testing.assert_array_equal(batch["tokens"][3, :, 4:6], places)
    assert batch["weights"][asked].mean() == pytest.approx(1)
    assert not batch["weights"][~asked].any()
    whole = PuzzleBatches(splits.train, 16, given_weight=0.5).at(9)
    np.testing.assert_array_equal(to_symbols(whole["targets"]), solutions)
    assert whole["weights"].mean() == pytest.approx(1)
    assert whole["weights"][asked][0] == pytest.approx(2 * whole["weights"][~asked][0])
    with pytest.raises(MdnnError, match="batch_size must be at least 1; received 0"):
        PuzzleBatches(splits.train, 0)
    with pytest.raises(MdnnError, match="given_weight must be at least 0; received -1"):
        PuzzleBatches(splits.train, 4, -1)


def test_an_answer_is_exact_where_all_that_is_asked_is_right():
    splits = open_puzzles("prefix-sums-10")
    puzzles, solutions = splits.validation.different(10)
    with pytest.raises(MdnnError, match="tokens of the modality symbol; received modality 0"):
        to_symbols(np.zeros((1, 10, 8), dtype="int32"))
    wrong = solutions.copy()
    wrong[[1, 4], 0] ^= 1
    right = exact(splits.task, puzzles, solutions, wrong)
    assert np.flatnonzero(~right).tolist() == [1, 4]


def test_a_network_learns_from_them(tmp_path):
    config = load(tmp_path)
    splits = open_puzzles("sudoku-4x4", seed=config.seed)
    model = mdnn.build(config)
    index = modality("symbol").index
    assert model.get_layer("embedding").modalities == ["symbol"]
    batches = PuzzleBatches(splits.train, 64, config.loss.prompt, steps=40)
    assert (batches.at(0)["tokens"][..., 0] == index).all()
    model.compile(keras.optimizers.Adam(1e-2), loss=loss_for(config), jit_compile=JIT)
    fitted = model.fit(batches, epochs=2, shuffle=False, verbose=0)
    first, last = fitted.history["loss"]
    assert last < first
    # Without a look at the puzzle all four digits are as likely.
    assert last < np.log(4) - 0.01


def test_training_and_evaluation(tmp_path, capsys, monkeypatch):
    config = load(
        tmp_path, "data.validation_size=40", "data.givens=[8, 12]", "train.num_evaluations=1"
    )
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, sample=1))
    run = tmp_path / "run"
    trained = mdnn.train(config, run, show=False)
    assert trained["puzzles"] == 40
    assert 0 < trained["right"] < 1
    assert trained["loss"] < 2
    assert "puzzle" in (run / "samples" / "step-0000010.txt").read_text(encoding="utf-8")
    again = mdnn.evaluate(run)
    assert {key: trained[key] for key in again} == pytest.approx(again)
    splits = open_puzzles("sudoku-4x4", seed=0, givens=(8, 12))
    own = task_for(config)
    cases = splits.validation.different(40)
    evaluator = own.evaluator(own.networks(mdnn.load(run)))
    answers, nats, _ = evaluator.answers((splits.task, *cases))
    asked = cases[0] == 0
    assert (answers[~asked] == cases[0][~asked]).all()
    assert nats[asked].mean() == pytest.approx(again["loss"])
    assert (answers == cases[1])[asked].mean() == pytest.approx(again["right"])
    # A file, and one of another size.
    task = splits.task
    path = tmp_path / "four.csv"
    path.write_text(
        "puzzle,solution\n"
        + "".join(f"{task.text(p)},{task.text(s)}\n" for p, s in zip(*cases, strict=True))
    )
    assert cli.main(["evaluate", str(run), "--data", str(path)]) == 0
    assert f"{100 * again['right']:.2f}% of positions right" in capsys.readouterr().out
    named = dataclasses.replace(config.data, source=f"sudoku-4x4:{path.name}", givens=())
    monkeypatch.chdir(tmp_path)
    found = anchored(dataclasses.replace(config, data=named)).data.source
    assert found == f"sudoku-4x4:{path.resolve()}"
    path.write_text(f"puzzle\n{'.' * 36}\n", encoding="utf-8")
    assert cli.main(["evaluate", str(run), "--data", str(path)]) == 2
    error = capsys.readouterr().err
    assert "line 2: expected a puzzle of 16 symbols, a sudoku-4x4; received 36 symbols" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("data.source=sudoku-6x6", "context.grid: expected the 36 positions of a sudoku-6x6, as"),
        ("data.source=python-docs", "data.source: expected a source of puzzles"),
        ("data.source=sudoku-5x5", "sizes of sudoku: expected 4x4, 6x6, 9x9; received 5x5"),
        ("data.source=maze:file.csv", "expected a puzzle with its size, as sudoku-9x9"),
        (
            "tokens.modalities=['text']",
            "tokens.modalities: expected symbol .* received 'text'",
        ),
        (
            "train.objectives.autoregressive=1",
            "train.objectives.autoregressive: expected 0.0 of a puzzle",
        ),
        ("context.padding=random", "context.padding: expected 'none' of a puzzle"),
        (
            "tokens.base=3",
            "tokens.digits: 1 digits of base 3 tell 3 coordinates apart, expected at least 4",
        ),
        ("tokens.table=bits", "tokens.table: expected 'bytes' of a puzzle"),
        ("data.loops=0.1", "data.loops: only for a maze that is drawn, received 'sudoku-4x4'"),
        ("data.validation=0.0", "data.validation: expected a share of the puzzles above 0"),
        ("context.layout=stream", "'symbol', which belongs to context.layout = 'puzzle'"),
    ],
)
def test_configs_that_do_not_go_together(tmp_path, setting, words):
    with pytest.raises(MdnnError, match=words):
        load(tmp_path, setting)


def test_keys_of_puzzles_elsewhere(tmp_path):
    assert load(tmp_path, "data.givens=[5, 7]").data.givens == (5, 7)
    text = ("context.layout=stream", "tokens.modalities=['text']", "loss.prompt=1.0")
    with pytest.raises(MdnnError, match=r"data.givens: .* belongs to context.layout = 'puzzle'"):
        load(tmp_path, *text, "data.givens=[5, 7]")
    with pytest.raises(MdnnError, match=r"'sudoku-4x4' belongs to context.layout = 'puzzle'"):
        load(tmp_path, *text)
