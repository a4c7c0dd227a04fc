"""Pictures, films, sounds and texts of TFDS sets, prepared here; no network."""

import errno
import json
import os
import pathlib
import tempfile

import numpy as np
import pytest

from mdnn.datasets import open_dataset
from mdnn.datasets.items.manifest import read_manifest
from mdnn.datasets.tfds import tfds_items, tfds_sets
from mdnn.datasets.tfds.tfds_items import read_items
from mdnn.errors import MdnnError

MANIFEST = pathlib.Path(__file__).parents[2] / "configs" / "mnist-spoken.jsonl"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def digit(number):
    """A picture as MNIST's, and its label."""
    return {"image": np.full((28, 28, 1), number, np.uint8), "label": number % 10}


def spoken(number):
    """A sound as spoken_digit's."""
    samples = np.array([number, -32768, 32767, *[0] * number], np.int64)
    return {"audio": samples, "label": number % 10, "audio/filename": f"{number}.wav"}


def make_sets(tfds):
    """Returns the examples of each set by split, and its features."""
    f = tfds.features
    label = f.ClassLabel(num_classes=10)
    mnist = {"image": f.Image(shape=(28, 28, 1)), "label": label}
    sounds = {
        "audio": f.Audio(file_format="wav", sample_rate=8000),
        "label": label,
        "audio/filename": f.Text(),
    }
    colour = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    film = {"video": np.stack([colour, colour + 1]), "other": np.zeros((1, 1, 1), np.uint8)}
    review = {"text": "good", "label": 1}
    rate = {"sound": f.Audio(sample_rate=16000), "free": f.Audio()}
    return {
        "mdnn_mnist": ({"train": map(digit, range(30)), "test": map(digit, range(30, 40))}, mnist),
        "mdnn_spoken": ({"train": map(spoken, range(40))}, sounds),
        "mdnn_film": (
            {"train": [film | {"depth": np.zeros((1, 1, 1), np.uint16)}]},
            {
                "video": f.Video(shape=(None, 2, 2, 3)),
                "other": f.Image(shape=(None, None, 1)),
                "depth": f.Image(shape=(None, None, 1), dtype=np.uint16),
            },
        ),
        "mdnn_review": (
            {
                "train": [review, review | {"text": ""}],
                "test": [review | {"text": "bad", "label": 0}],
                "validation": [review | {"text": "fair"}, review | {"label": -1}],
                "unsupervised": [review | {"text": "no", "label": -1}],
            },
            {"text": f.Text(), "label": f.ClassLabel(names=["neg", "pos"]), "id": f.Text()},
        ),
        "mdnn_rate": ({"train": [{"sound": [0] * 1600, "free": [5, 6]}]}, rate),
        "mdnn_loud": ({"train": [{"sound": [40_000], "free": [1]}]}, rate),
        "mdnn_silent": ({"train": [{"sound": [], "free": [1]}]}, rate),
        "mdnn_caption": (
            {"train": [{"picture": colour, "caption": "a cap"}] * 2},
            {"picture": f.Image(), "caption": f.Text(), "name": f.Text()},
        ),
        "mdnn_useless": (
            {"train": []},
            {"a": f.Image(shape=(1, 1, 4)), "b": f.Audio(shape=(None, 2)), "c": f.Scalar(np.int32)},
        ),
        "mdnn_numbers": ({"train": []}, {"number": f.Scalar(np.int32)}),
    }


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Prepares the sets; returns their folder."""
    tfds = pytest.importorskip("tensorflow_datasets")
    folder = tmp_path_factory.mktemp("tfds")
    defaults = {"id": "7", "name": "x"}

    class Base(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = folder

        def _info(self):
            features = tfds.features.FeaturesDict(made[self.name][1])
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, manager):
            return {split: self._generate_examples(rows) for split, rows in self.rows().items()}

        def _generate_examples(self, rows):
            for number, row in enumerate(rows):
                keys = made[self.name][1]
                yield number, {key: row.get(key, defaults.get(key)) for key in keys}

        def rows(self):
            return made[self.name][0]

    made = make_sets(tfds)
    for name, (splits, _) in made.items():
        builder = type(name.title().replace("_", ""), (Base,), {})
        if any(rows != [] for rows in splits.values()):
            builder(data_dir=folder).download_and_prepare()
    return folder


@pytest.fixture(autouse=True)
def data_dir(sets, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(sets))
    monkeypatch.setattr(tfds_sets, "_prepare", lambda *_: pytest.fail("is prepared"))
    return sets


def error_line(call, *args, **kwargs):
    with pytest.raises(MdnnError) as error:
        call(*args, **kwargs)
    message = str(error.value)
    assert "\n" not in message
    return message


def parts(lines):
    """Returns the lines' only alternatives: texts, or kinds."""
    assert all(len(part) == 1 for line in lines for part in line.parts)
    return sorted(
        [part[0].value if part[0].kind == "text" else part[0].kind for part in line.parts]
        for line in lines
    )


def test_pictures_become_lines_and_the_sets_own_splits_stay():
    splits = open_dataset("tfds:mdnn_mnist", validation=0.5)
    assert parts(splits.train) == sorted([[str(n % 10), "grey"] for n in range(30)])
    assert parts(splits.validation) == sorted([[str(n % 10), "grey"] for n in range(10)])
    for line in splits.train + splits.validation:
        (words, picture), _ = line.draw([0] * 4)
        np.testing.assert_array_equal(picture.value, digit(picture.value[0, 0])["image"][..., 0])
        assert int(words.value) == picture.value[0, 0] % 10
        assert line.name.startswith("tfds:mdnn_mnist ")


def test_sounds_become_lines_that_the_seed_splits():
    splits = open_dataset("tfds:mdnn_spoken", validation=0.25, seed=3)
    assert (len(splits.train), len(splits.validation)) == (30, 10)
    numbers = set()
    for line in splits.train + splits.validation:
        (words, sound), _ = line.draw([0] * 4)
        numbers.add(number := int(sound.value[0]))
        np.testing.assert_array_equal(sound.value, spoken(number)["audio"])
        assert (words.value, sound.rate) == (str(number % 10), 8000)
    assert numbers == set(range(40))


def test_the_worked_manifest(tmp_path):
    text = MANIFEST.read_text()
    assert [json.loads(line)["name"] for line in text.splitlines()] == list(WORDS)
    for name, prepared in (("mnist", "mdnn_mnist"), ("spoken_digit", "mdnn_spoken")):
        assert text.count(f'"tfds:{name}"') == 10
        text = text.replace(f'"tfds:{name}"', f'"tfds:{prepared}"')
    (tmp_path / "manifest.jsonl").write_text(text)
    splits = open_dataset(tmp_path, validation=0.25, seed=1)
    for side, pictures, sounds in ((splits.train, 3, 3), (splits.validation, 1, 1)):
        for number, (line, word) in enumerate(zip(side, WORDS, strict=True)):
            assert line.kinds == ("text", "image", "audio")
            assert [len(part) for part in line.parts] == [1, pictures, sounds]
            assert line.parts[0][0].value == word
            # MNIST's own split: its test validates
            assert all((p.value[0, 0] >= 30) == (side is not splits.train) for p in line.parts[1])
            assert {p.value[0, 0] % 10 for p in line.parts[1]} == {number}
            assert {s.value[0] % 10 for s in line.parts[2]} == {number}


def test_a_set_is_read_once_for_a_manifest(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        tfds_items, "read_items", lambda *args: calls.append(args) or read_items(*args)
    )
    rows = [{"items": [{"image": "tfds:mdnn_mnist", "label": label}]} for label in ("3", 3, 4)]
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    lines = read_manifest(path, rate=8000)
    assert calls == [("mdnn_mnist", 8000)]
    assert [len(line.parts[0].entries) for line in lines] == [4, 4, 4]
    assert lines[0].parts[0].entries == lines[1].parts[0].entries


def test_films_and_pictures_that_cannot_be_units_are_left_out():
    (example,) = read_items("mdnn_film").examples
    assert [item.kind for item in example.items] == ["video", "grey"]
    np.testing.assert_array_equal(example.items[0].value.ravel()[[0, 12]], [0, 1])
    assert (example.label, example.side) == (None, None)


def test_texts_and_their_labels():
    splits = open_dataset("tfds:mdnn_review")
    # an example without a text, one without a label, the splits that are left out
    assert parts(splits.train) == [["pos", "good"]]
    assert parts(splits.validation) == [["good"], ["pos", "fair"]]
    assert len(read_items("mdnn_review").of("text", "pos")[0]) == 2


def test_captions_come_before_pictures():
    splits = open_dataset("tfds:mdnn_caption", validation=0.5)
    assert parts(splits.train) == parts(splits.validation) == [["a cap", "image"]]


def test_sounds_are_resampled_from_their_own_rate():
    (example,) = read_items("mdnn_rate", rate=8000).examples
    assert [(item.rate, len(item.value)) for item in example.items] == [(8000, 800), (8000, 2)]
    (example,) = read_items("mdnn_rate").examples
    assert [(item.rate, len(item.value)) for item in example.items] == [(16000, 1600), (None, 2)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "mdnn_loud",
            "tfds:mdnn_loud train 0 sound: expected 16-bit samples, received 40000 to 400",
        ),
        (
            "mdnn_silent",
            "tfds:mdnn_silent train 0 sound: expected at least one value, received [0]",
        ),
        (
            "mdnn_useless",
            "tfds:mdnn_useless: expected pictures or films (uint8, 1 or 3 channels), ",
        ),
        ("mdnn_numbers", "tfds:mdnn_numbers: expected pictures or films"),
        ("mdnn_none", "TFDS has no set 'mdnn_none'"),
        ("../x", "expected tfds:NAME"),
    ],
)
def test_sets_that_are_refused(tmp_path, name, message):
    assert error_line(open_dataset, f"tfds:{name}").startswith(message)
    path = tmp_path / "manifest.jsonl"
    path.write_text(json.dumps({"items": [{"audio": f"tfds:{name}"}]}))
    assert error_line(open_dataset, path).startswith(f"{path}:1: item 1: audio: {message}")


def test_useless_features_are_named():
    message = error_line(read_items, "mdnn_useless")
    assert message.endswith("received a: uint8 [1, 1, 4]; b: int64 [None, 2]")
    assert error_line(read_items, "mdnn_numbers").endswith("received features number")


class FullDisk:
    """In place of a temporary file on a disk without space."""

    def write(self, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_sets_too_large_for_the_disk(monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: FullDisk())
    message = error_line(read_items, "mdnn_mnist")
    assert message.startswith("tfds:mdnn_mnist cannot be written into a memory map in ")
    assert message.endswith("No space left on device")


def test_values_are_read_from_a_file():
    found = read_items("mdnn_mnist")
    items, sides = found.of("image", 3)
    for item, side in zip(items, sides, strict=True):
        number = int(item.value[0, 0])
        np.testing.assert_array_equal(item.value, digit(number)["image"][..., 0])
        assert (item.kind, number % 10) == ("grey", 3)
        assert side == ("train" if number < 30 else "validation")
        assert item.name.startswith(f"tfds:mdnn_mnist {'train' if number < 30 else 'test'} ")
    with pytest.raises(ValueError, match="read-only"):
        items[1].value[0] = 0
    assert items[1] == found.of("image", "3")[0][1] != items[0]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"label": 10}, "expected a label's name or a number from 0 to 9, received 10"),
        ({"label": -1}, "expected a label's name or a number from 0 to 9, received -1"),
        ({"label": True}, "expected a label's name or a number from 0 to 9, received True"),
        ({"label": "77"}, "from 0 to 9, received '77' (did you mean '7'?)"),
        ({"label": [7]}, "from 0 to 9, received [7]"),
        ({"image": "tfds:mdnn_spoken", "label": 3}, "has no item of the kind image with the label"),
        ({"image": "tfds:mdnn_film", "label": 3}, "tfds:mdnn_film has no labels; received 3"),
    ],
)
def test_parts_that_are_refused(tmp_path, part, message):
    path = tmp_path / "manifest.jsonl"
    path.write_text(json.dumps({"items": [{"image": "tfds:mdnn_mnist"} | part]}))
    received = error_line(read_manifest, path)
    assert received.startswith(f"{path}:1: item 1: image: tfds:")
    assert message in received
