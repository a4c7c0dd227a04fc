"""The data of the benchmark of digits, and answers that are kept when it is interrupted."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    """The benchmarks' folder on the path, and none of its modules left behind."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    for name in ("digits_data", "judges", "resumed"):
        sys.modules.pop(name, None)


def recordings():
    rng = np.random.default_rng(1)
    sounds, digits, speakers = [], [], []
    for number in range(40):
        wave = 9000 * np.sin(np.arange(1600) * (0.1 + 0.02 * (number % 10)))
        quiet = np.zeros(300 + 10 * number)
        sounds.append(np.concatenate([quiet, wave, quiet]).astype("int16"))
        digits.append(number % 10)
        speakers.append("ab"[int(rng.integers(2))])
    return sounds, np.array(digits), np.array(speakers)


def test_silence_at_the_ends_is_cut():
    from judges import sound_judge, spectrogram, trimmed

    tone = (20_000 * np.sin(np.arange(1, 401))).astype("int16")
    quiet = np.full(90, 300, "int16")
    found = trimmed(np.concatenate([quiet, tone, quiet]))
    np.testing.assert_array_equal(found, trimmed(tone))
    assert not trimmed(np.zeros(5, "int16")).any()
    # What surrounds a sound does not change what the judge hears.
    other = (20_000 * np.sin(0.3 * np.arange(1, 401))).astype("int16")
    judge = sound_judge([tone, other] * 3, [1, 2] * 3, 2000)
    assert judge([np.concatenate([quiet, quiet, other]), tone]).tolist() == [2, 1]
    assert spectrogram(tone, 2000).shape == (24, 24)


def test_the_manifest_has_all_directions(tmp_path, monkeypatch):
    import digits_data
    from digits_data import LINES, RATE, Digits

    from mdnn.datasets.items.item_splits import open_dataset

    # A tenth of the pictures: each is a file.
    few = [values[:180] for values in digits_data.pictures()]
    monkeypatch.setattr(digits_data, "pictures", lambda: few)
    data = Digits(recordings())
    folder = data.write(tmp_path / "data")
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    train = [line for line in lines if line["split"] == "train"]
    for pair, count in LINES.items():
        name = f"seven, {' to '.join(pair)}"
        assert [list(item) for line in train if line["name"] == name for item in line["items"]] == [
            [key] for key in pair
        ] * count
    splits = open_dataset(folder, rate=RATE, kinds=("text", "grey", "spectrum"))
    assert len(splits.train) == 10 * sum(LINES.values())
    assert {kind for line in splits.train for kind in line.kinds} == {"text", "image", "audio"}
    # Real test items are in no line that trains.
    files = {n for line in train for item in line["items"] for v in item.values() for n in v}
    tests = {f"seven-{n:04}.wav" for n in np.flatnonzero(data.sound_test)}
    assert tests
    assert not tests & files


def test_answers_are_kept(tmp_path):
    from resumed import Answered

    calls = []

    def compute():
        calls.append(1)
        return ["seven", np.arange(3, dtype="int16"), ""]

    for about, count in (([1, 0.5], 1), ([1, 0.5], 1), ([2, 0.5], 2)):
        values, seconds = Answered(tmp_path / "answers").once("a to b", about, compute)
        assert [str(values[0]), str(values[2])] == ["seven", ""]
        assert values[1].dtype == np.int16
        assert values[1].tolist() == [0, 1, 2]
        assert seconds >= 0
        assert len(calls) == count
