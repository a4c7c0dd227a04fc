"""Puzzles answered from Python and from the command line."""

import keras
import pytest
from networks import randomize
from puzzle_networks import load_free, load_sudoku

import mdnn
from mdnn import cli
from mdnn.errors import MdnnError
from mdnn.runs.run_folder import Run

PUZZLE = "1.3.34..2..3.32."


@pytest.fixture(scope="module")
def sudoku_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sudoku")
    config = load_sudoku(
        folder, "refeed.supervision_steps=2", "refeed.step_schedule=halt", "train.steps=2"
    )
    return mdnn.train(config, folder / "run", show=False)["run"]


@pytest.fixture(scope="module")
def maze_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maze")
    config = load_free(folder, "maze-5x5", [5, 5], "train.steps=2", "refeed.initial_state=random")
    return mdnn.train(config, folder / "run", show=False)["run"]


def test_what_is_given_stays(sudoku_run):
    answer = mdnn.generate(sudoku_run, PUZZLE)
    assert len(answer) == 16
    assert set(answer) <= set("1234")
    assert all(a == b for a, b in zip(answer, PUZZLE, strict=True) if b != ".")
    lines = "\n".join(PUZZLE[start : start + 4] for start in range(0, 16, 4))
    assert mdnn.generate(sudoku_run, lines).replace("\n", "") == answer
    assert mdnn.generate(sudoku_run, [PUZZLE, PUZZLE]) == [answer, answer]


def test_each_step_is_shown(sudoku_run):
    shown = []
    answer = mdnn.generate(
        sudoku_run, PUZZLE, steps=3, stream=lambda steps, text: shown.append((steps, text))
    )
    assert [steps for steps, _ in shown] == [1, 2, 3]
    assert shown[-1][1] == answer == mdnn.generate(sudoku_run, PUZZLE, steps=3)


def test_a_maze_of_another_size(maze_run):
    maze = "S      \n###### \n       \n ######\n       \n###### \nG      "
    answer = mdnn.generate(maze_run, maze, steps=4, num_starts=2)
    lines = answer.split("\n")
    assert [len(line) for line in lines] == [7] * 7
    assert (lines[0][0], lines[6][0], lines[1][:6]) == ("S", "G", "######")


@pytest.mark.parametrize(
    ("puzzle", "message"),
    [
        ("1.3.", "expected 16 symbols of a sudoku-4x4; received 4"),
        ("1.5.34..2..3.32.", "expected symbols out of '.1234'; received '5' at symbol 3"),
        ("11..............", "this sudoku-4x4 cannot be solved: "),
        ("", "prompt: expected a puzzle's symbols, received ''"),
        ("1.\n34.", "prompt: expected lines of one length"),
        (["x"], "expected 16 symbols"),
        ([], "expected at least one puzzle, received none"),
        ("\n".join(["." * 6] * 6), "received sudoku-6x6|this sudoku-6x6 cannot be solved"),
    ],
)
def test_bad_puzzles(sudoku_run, puzzle, message):
    with pytest.raises(MdnnError, match=message):
        mdnn.generate(sudoku_run, puzzle)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps: expected a whole number from 1"),
        ({"steps": -3}, "received -3"),
        (
            {"num_starts": 2},
            "num_starts: expected a network that was trained with refeed.initial_state",
        ),
        ({"steps": 2, "adaptive": True}, "adaptive: cannot be combined with steps"),
        ({"output": "text"}, "output has no effect on puzzle models; remove it"),
    ],
)
def test_bad_settings(sudoku_run, settings, message):
    with pytest.raises(MdnnError, match=message):
        mdnn.generate(sudoku_run, PUZZLE, **settings)


def test_halting_without_a_head(maze_run):
    with pytest.raises(MdnnError, match="it has no halting head"):
        mdnn.generate(maze_run, "S   #" + " " * 19 + "G", adaptive=True)


def test_no_way(maze_run):
    with pytest.raises(MdnnError, match="cannot be solved: no path from the start to the goal"):
        mdnn.generate(maze_run, "S####" + "#" * 15 + "####G")


def test_command(sudoku_run, tmp_path, capsys):
    assert cli.main(["generate", sudoku_run, "--prompt", PUZZLE, "--steps", "2"]) == 0
    answer = capsys.readouterr().out
    assert answer == mdnn.generate(sudoku_run, PUZZLE, steps=2) + "\n"
    file = tmp_path / "puzzles.txt"
    file.write_text(f"{PUZZLE}\n{PUZZLE}\n", encoding="utf-8")
    out = tmp_path / "answers.txt"
    words = ["generate", sudoku_run, "--item", str(file), "--steps", "2", "--out", str(out)]
    assert cli.main(words) == 0
    assert out.read_text(encoding="utf-8") == (answer * 2).rstrip("\n")
    assert cli.main(["generate", sudoku_run, "--prompt", "12", "--adaptive"]) == 2
    assert "expected 16 symbols" in capsys.readouterr().err


def test_other_commands(sudoku_run, tmp_path, capsys):
    """Small weights solve puzzles, too; nothing serves them."""
    assert cli.main(["quantize", sudoku_run, "--to", "int8", "--out", str(tmp_path / "q")]) == 0
    assert "nats/position" in capsys.readouterr().out
    assert len(mdnn.generate(tmp_path / "q", PUZZLE)) == 16
    assert cli.main(["export", sudoku_run, str(tmp_path / "served")]) == 2
    message = "has no signatures to export"
    if keras.backend.backend() != "tensorflow":
        message = "export needs the TensorFlow backend"
    assert message in capsys.readouterr().err
    assert not (tmp_path / "served").exists()


def test_another_seed_begins_elsewhere(tmp_path):
    config = load_sudoku(tmp_path, "refeed.initial_state=random")
    run = Run(tmp_path, config).holding(randomize(mdnn.build(config)))
    puzzle = "......4..3.41..2"
    answers = {seed: mdnn.generate(run, puzzle, seed=seed) for seed in (-1, 0, 1, 2)}
    assert len(set(answers.values())) > 1
    assert mdnn.generate(run, puzzle, seed=-1) == answers[-1]


@pytest.mark.parametrize(
    "setting",
    [
        {"temperature": 0.5},
        {"length": 5},
        {"preset": "factual"},
        {"top_k": 1},
        {"decoding": "masked_diffusion"},
    ],
)
def test_settings_of_writing_are_refused(sudoku_run, setting):
    (name,) = setting
    with pytest.raises(MdnnError, match=rf"^{name} has no effect on puzzle models; remove it"):
        mdnn.generate(sudoku_run, "......4..3.41..2", **setting)
