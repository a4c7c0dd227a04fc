"""The data of the benchmark of instructions: its rules, its folder, and a network on it."""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
OWN = ("instructions", "instructions_data", "instructions_answers", "instructions_sheet")


def recordings():
    """200 short tones, 20 of each digit."""
    digits = np.arange(200) % 10
    waves = [9000 * np.sin(np.arange(600) * (0.1 + 0.02 * digit)) for digit in digits]
    return [wave.astype("int16") for wave in waves], digits, np.array(["a"] * 200)


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    """The benchmarks' folder on the path, none of its modules left behind, and few pictures."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import digits_data

    pictures, digits = digits_data.pictures()
    monkeypatch.setattr(digits_data, "pictures", lambda: (pictures[:160], digits[:160]))
    yield
    for name in (*OWN, "digits_data", "judges", "resumed", "benchmark_runs"):
        sys.modules.pop(name, None)


def test_the_rules():
    from instructions_data import INSTRUCTIONS, RULES, SPOKEN, changed

    from mdnn.datasets.items.digits import WORDS, grey_levels

    levels = np.random.default_rng(0).integers(0, 17, (8, 8))
    levels[0, :3] = 3, 9, 4
    found = {name: changed(grey_levels(levels), name) for name in RULES}
    assert (found["mirror"][0, -3:] == grey_levels(np.array([4, 9, 3]))).all()
    # Clockwise: the first row becomes the last column.
    assert (found["turn"][:3, -1] == grey_levels(np.array([3, 9, 4]))).all()
    assert (found["invert"] == grey_levels(16 - levels)).all()
    assert (found["bolder"][0, :3] == grey_levels(np.array([3, 9, 9]))).all()
    for name in RULES:
        assert (found[name].dtype, found[name].shape) == ("uint8", (8, 8))
        assert set(np.unique(found[name])) <= set(grey_levels(np.arange(17)))
    assert [WORDS[SPOKEN[name]] for name in INSTRUCTIONS] == ["one", "two", "three", "four", "five"]


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_the_folder_is_a_function_of_the_seed(tmp_path):
    from instructions_data import INSTRUCTIONS, RATE, SPOKEN, Instructions, changed

    from mdnn.datasets.items.item_splits import open_dataset
    from mdnn.datasets.media.media_files import read_item

    data = Instructions(recordings())
    folder = data.write(tmp_path / "one")
    assert hashes(folder) == hashes(Instructions(recordings()).write(tmp_path / "two"))
    assert hashes(folder) != hashes(Instructions(recordings(), seed=1).write(tmp_path / "three"))
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    splits = open_dataset(folder, rate=RATE, kinds=("text", "grey", "spectrum"))
    assert len(splits.train) + len(splits.validation) == len(lines)
    tests = {f"{n:04}" for n in np.flatnonzero(data.picture_test)}
    assert 20 < len(tests) < 50
    asked = [line for line in lines if len(line["items"]) == 3]
    assert len(asked) == 2 * (5 * (160 - len(tests)) + len(tests))
    spoken = {}
    for line in asked:
        picture, said, answer = (next(iter(item.items())) for item in line["items"])
        files = answer[1] if isinstance(answer[1], list) else [answer[1]]
        names = [picture[1], *files]
        # What is tested is in no line that trains.
        assert all((name[:4] in tests) == (line["split"] == "validation") for name in names)
        if said[0] == "audio":
            number = int(said[1][:4])
            assert data.sound_test[number] == (line["split"] == "validation")
            name = files[0][5:-4] or "next"
            spoken.setdefault(name, set()).add(int(data.sound_digits[number]))
        elif said[1] != "next":
            before, after = (read_item(folder / name).value for name in (picture[1], files[0]))
            assert np.array_equal(after, changed(before, said[1]))
    assert spoken == {name: {number} for name, number in SPOKEN.items()}
    assert tuple(SPOKEN) == INSTRUCTIONS


def test_what_is_asked_and_right():
    from instructions_answers import direction_questions, instruction_questions
    from instructions_data import Instructions

    data = Instructions(recordings())
    questions = instruction_questions(data, 4)
    assert [question.name for question in questions[:2]] == ["mirror, written", "invert, written"]
    assert [question.name for question in questions[-2:]] == ["bolder, spoken", "next, spoken"]
    mirror = questions[0]
    right = [picture[:, ::-1] for picture, _ in mirror.prompts]
    assert mirror.figures(right, {}) == {"right": 1.0, "pixels": 1.0}
    almost = [right[0] ^ (np.arange(64).reshape(8, 8) == 9).astype("uint8"), *right[1:]]
    assert mirror.figures(almost, {}) == {"right": 0.75, "pixels": 255 / 256}
    following = questions[-1]
    judges = {"picture": lambda answers: np.array([9 for _ in answers])}
    share = float(np.mean(following.digits == 9))
    assert following.figures([None] * 4, judges) == {"right": share}
    names = [question.name for question in direction_questions(data, 4, 2)]
    assert len(names) == 6
    assert {"picture to word", "sound to picture"} < set(names)


@pytest.mark.long
def test_a_network_from_training_to_the_table(tmp_path, monkeypatch, capsys):
    import instructions

    small = ["train.steps=2", "backbone.layer.1.depth=1", "backbone.layer.1.width=16"]
    small += ["backbone.layer.1.block.1.width=16", "train.batch_size=4", "train.num_evaluations=0"]
    command = ["instructions.py", "--written-only", "--answers", "2", "--ways", "parallel"]
    command += ["--out", str(tmp_path), "--json", str(tmp_path / "found.json")]
    command += [word for change in small for word in ("--set", change)]
    monkeypatch.setattr(sys, "argv", command)
    assert instructions.main() == 0
    shown = capsys.readouterr()
    assert "| mirror, written | " in shown.out
    assert "| word to picture | " in shown.out
    figures = json.loads((tmp_path / "found.json").read_text())["stream"]
    assert 0 <= figures["parallel turn, written"]["pixels"] <= 1
    assert figures["training"]["steps"] == 2
    assert (tmp_path / "instructions.png").is_file()
    # Once more: nothing is trained or answered again.
    monkeypatch.setattr("mdnn.generate", None)
    assert instructions.main() == 0
    assert "is trained" in capsys.readouterr().err
