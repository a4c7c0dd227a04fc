"""Manifests: what their lines mean, and one clear line for each that is wrong."""

import json
import os
import time
import wave

import numpy as np
import pytest
from PIL import Image

from mdnn.datasets import open_dataset, read_text
from mdnn.datasets.items.example import FileItem, load_item
from mdnn.datasets.items.manifest import read_manifest
from mdnn.errors import MdnnError
from mdnn.tokens.items import Item

GREY = np.arange(6, dtype=np.uint8).reshape(2, 3)
COLOUR = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
SOUND = np.arange(-4, 4, dtype=np.int16)


def write_wav(path, samples, rate=8000):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())


@pytest.fixture
def folder(tmp_path):
    """A folder of files, with a folder of others beside it."""
    here = tmp_path / "set"
    (here / "sub").mkdir(parents=True)
    Image.fromarray(GREY).save(here / "a.png")
    Image.fromarray(255 - GREY).save(here / "sub" / "b.PNG")
    Image.fromarray(COLOUR).save(here / "c.png")
    Image.fromarray(COLOUR).save(here / "d.jpg")
    write_wav(here / "a.wav", SOUND)
    (here / "a.txt").write_text("from a file")
    (tmp_path / "other").mkdir()
    Image.fromarray(GREY).save(tmp_path / "other" / "x.png")
    return here


def write(folder, *lines):
    """Writes a manifest of objects or texts; returns its path."""
    path = folder / "manifest.jsonl"
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("\n".join(texts))
    return path


def items(*parts):
    return {"items": list(parts)}


def error_line(call, *args, **kwargs):
    with pytest.raises(MdnnError) as error:
        call(*args, **kwargs)
    message = str(error.value)
    assert "\n" not in message
    return message


def refused(folder, *lines):
    """Returns the error of a manifest's last line, without its place."""
    path = write(folder, *lines)
    message = error_line(read_manifest, path)
    place = f"{path}:{len(lines)}: "
    assert message.startswith(place)
    return message.removeprefix(place)


def only(folder, part):
    """Returns the items of a manifest's only part."""
    (line,) = read_manifest(write(folder, items(part)))
    return [load_item(entry) for entry in line.parts[0].entries]


def test_every_kind_of_part(folder):
    assert [item.value for item in only(folder, {"text": "seven"})] == ["seven"]
    assert [item.value for item in only(folder, {"text": ["a", "tfds:b"]})] == ["a", "tfds:b"]
    assert [item.value for item in only(folder, {"text_file": "a.txt"})] == ["from a file"]
    one, two = only(folder, {"image": ["a.png", "c.png"]})
    assert (one.kind, two.kind) == ("grey", "image")
    np.testing.assert_array_equal(one.value, GREY)
    np.testing.assert_array_equal(two.value, COLOUR)
    assert [item.kind for item in only(folder, {"image": "d.jpg"})] == ["image"]
    (sound,) = only(folder, {"audio": "a.wav"})
    np.testing.assert_array_equal(sound.value, SOUND)
    assert sound.rate == 8000


def test_films(folder):
    frames = ["a.png", "sub/b.PNG"]
    (film,) = only(folder, {"video": frames})
    assert film.kind == "grey_video"
    np.testing.assert_array_equal(film.value, np.stack([GREY, 255 - GREY]))
    films = only(folder, {"video": [frames, frames[::-1], ["a.png"]]})
    assert [len(film.value) for film in films] == [2, 2, 1]
    np.testing.assert_array_equal(films[1].value, film.value[::-1])
    pictures = [Image.fromarray(value) for value in (COLOUR, 255 - COLOUR)]
    pictures[0].save(folder / "film.png", save_all=True, append_images=pictures[1:])
    assert [film.value.shape for film in only(folder, {"video": "film.png"})] == [(2, 2, 3, 3)]


def test_a_line_may_have_an_order_of_its_own(folder):
    parts = items({"audio": "a.wav"}, {"text": ["w", "x"]})
    write(folder, {"order": "given", **parts}, {"order": "any", "split": "train", **parts}, parts)
    splits = open_dataset(folder, validation=0.5)
    orders = [[line.order for line in side] for side in (splits.train, splits.validation)]
    assert orders == [["given", "any", None], ["given", None]]


def test_lines_are_opened_split_and_drawn(folder):
    write(
        folder,
        "\ufeff" + json.dumps({"name": "one", **items({"text": "\u2028"}, {"image": "a.png"})}),
        " \t\r",
        {"split": "validation", **items({"text": "b"}, {"image": "c.png"}, {"audio": "a.wav"})},
        items({"text": "w"}, {"image": "a.png", "split": "train"},
              {"image": "c.png", "split": "validation"}),
        items({"text": "x"}, {"audio": "a.wav"}),
        "",
    )  # fmt: skip
    for source in (folder, folder / "manifest.jsonl", os.fspath(folder)):
        splits = open_dataset(source, validation=0.5, seed=1)
        names = [
            sorted(line.name.removeprefix(f"{folder / 'manifest.jsonl'}:") for line in side)
            for side in (splits.train, splits.validation)
        ]
        assert sorted(names[0] + names[1]) == ["1 one", "3", "4", "4", "5"]
        assert "3" in names[1]
        assert [("4" in side, "1 one" in side or "5" in side) for side in names] == [
            (True,) * 2
        ] * 2
    line = next(line for line in splits.validation if line.name.endswith(":4"))
    drawn, answer = line.draw([0] * line.draws)
    assert [item.value if item.kind == "text" else item.kind for item in drawn] == ["w", "image"]
    assert answer == 1


def test_files_are_read_when_first_needed_and_kept(folder):
    (line,) = read_manifest(write(folder, items({"image": "a.png"})))
    (entry,) = line.parts[0].entries
    (folder / "a.png").write_bytes(b"no picture")
    assert str(folder / "a.png") in error_line(entry.read)
    Image.fromarray(GREY).save(folder / "a.png")
    item = entry.read()
    (folder / "a.png").unlink()
    assert entry.read() is load_item(entry) is item


def test_sounds_are_resampled(folder):
    write_wav(folder / "a.wav", np.zeros(800), rate=16000)
    (line,) = read_manifest(write(folder, items({"audio": "a.wav"})), rate=8000)
    item = line.parts[0].entries[0].read()
    assert (item.rate, len(item.value)) == (8000, 400)


def test_thousands_of_files_are_looked_for_soon(folder):
    data = (folder / "a.png").read_bytes()
    names = [f"sub/{number}.png" for number in range(2000)]
    for name in names:
        (folder / name).write_bytes(data)
    path = write(folder, items({"text": "a"}, {"image": names}))
    start = time.monotonic()
    (line,) = read_manifest(path)
    assert time.monotonic() - start < 5
    assert len(line.parts[1].entries) == 2000


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.png", "no file 'none.png' in the folder: No such file or directory"),
        ("../other/x.png", "'../other/x.png' is outside the manifest's folder"),
        ("sub/../a.png", "'sub/../a.png' is outside the manifest's folder"),
        ("{root}/other/x.png", "{name} is outside the manifest's folder"),
        ("{root}/set/a.png", "{name} is outside the manifest's folder"),
        ("link.png", "'link.png' is outside the manifest's folder: it is a link to "),
        ("far/x.png", "'far/x.png' is outside the manifest's folder: it is a link to "),
        ("loop.png", "no file 'loop.png' in the folder: Too many levels of symbolic links"),
        ("broken.png", "no file 'broken.png' in the folder: No such file or directory"),
        ("a.png/b.png", "no file 'a.png/b.png' in the folder: Not a directory"),
        ("folder.png", "'folder.png' is not a file"),
        ("pipe.png", "'pipe.png' is not a file"),
        ("a\0.png", "no file 'a\\x00.png' in the folder: "),
        ("\ud800.png", "expected a string of Unicode characters, received '\\ud800.png'"),
        ("a" * 300 + ".png", "no file 'aaa"),
        ("a.wav", "expected a file .png .jpg .jpeg .gif .webp .bmp, received 'a.wav'"),
        ("", "expected a string that is not empty, received ''"),
        (7, "expected a string that is not empty, received 7"),
    ],
)
def test_files_that_are_refused(folder, name, message):
    root = str(folder.parent)
    (folder / "link.png").symlink_to(folder.parent / "other" / "x.png")
    (folder / "far").symlink_to(folder.parent / "other")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "broken.png").symlink_to("nothing.png")
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    if isinstance(name, str):
        name = name.replace("{root}", root)
        # A long one is cut.
        shown = repr(name) if len(repr(name)) <= 80 else f"{repr(name)[:77]}..."
        message = message.replace("{name}", shown)
    part = {"image": ["a.png", name]}
    received = refused(folder, items({"text": "a"}), items({"text": "b"}, part))
    assert received.startswith(f"item 2: image: {message}")
    # a film's pictures are looked for in the same way
    received = refused(folder, items({"video": ["a.png", name]}))
    assert received.startswith(f"item 1: video: {message}")


def test_links_within_the_folder_are_taken(folder):
    (folder / "link.png").symlink_to(folder / "sub" / "b.PNG")
    (folder.parent / "way").symlink_to(folder)
    path = write(folder, items({"image": "link.png"}))
    for manifest in (path, folder.parent / "way" / path.name):
        (line,) = read_manifest(manifest)
        np.testing.assert_array_equal(line.parts[0].entries[0].read().value, 255 - GREY)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"items": [', "not JSON: Expecting value, at column 12"),
        ('{"items": 1} x', "not JSON: Extra data, at column 14"),
        ("[" * 100_000, "not JSON that can be read: "),
        ('{"items": ' + "9" * 5000 + "}", "not JSON that can be read: "),
        ("[]", 'expected an object such as {"items": [...]}, received []'),
        ('{"items": [{"text": "a"}], "items": []}', "the key 'items' occurs twice in one object"),
        ('{"items": [{"text": "a", "text": "b"}]}', "the key 'text' occurs twice in one object"),
        ("{}", "items: expected a list of parts, received none"),
        ('{"items": []}', "items: expected a list of parts, received []"),
        ('{"items": {"text": "a"}}', "items: expected a list of parts, received {'text': 'a'}"),
        ('{"item": []}', "unknown key 'item' (did you mean 'items'?)"),
        ('{"xyz": []}', "unknown key 'xyz'; known: items, split, name, order"),
        ('{"items": [{"text": "a"}], "name": 1}', "name: expected a string, received 1"),
        (
            '{"items": [{"text": "a"}], "split": "test"}',
            "split: expected train or validation, received 'test'",
        ),
        (
            '{"items": [{"text": "a"}], "order": "pair"}',
            "order: expected given, any, pairs, received 'pair'",
        ),
        ('{"items": [{"text": "a"}], "order": null}', "order: expected given, any, pairs, rec"),
        (
            '{"items": [{"text": "a", "split": null}]}',
            "item 1: text: split: expected train or validation, received None",
        ),
        (
            '{"items": [{"text": "a", "split": "train"}], "split": "validation"}',
            "item 1: split: expected 'validation' as the line has it, received 'train'",
        ),
        ('{"items": ["a"]}', "item 1: expected an object with one of text, text_file, image, "),
        ('{"items": [{}]}', "item 1: expected an object with one of text, "),
        (
            '{"items": [{"text": "a", "image": "a.png"}]}',
            "item 1: expected an object with one of text, text_file, image, video, audio, "
            "received text and image",
        ),
        ('{"items": [{"picture": "a"}]}', "item 1: unknown key 'picture'"),
        ('{"items": [{"imag": "a"}]}', "item 1: unknown key 'imag' (did you mean 'image'?)"),
        ('{"items": [{"text": ""}]}', "item 1: text: expected a string that is not empty"),
        (
            '{"items": [{"text": 7}]}',
            "item 1: text: expected a string that is not empty, received 7",
        ),
        ('{"items": [{"text": []}]}', "item 1: text: expected at least one, received []"),
        (
            '{"items": [{"text": "\\ud800"}]}',
            "item 1: text: expected a string of Unicode characters",
        ),
        ('{"items": [{"text": ["a", "a"]}]}', "item 1: text: 'a' occurs twice"),
        ('{"items": [{"image": ["a.png", "./a.png"]}]}', "item 1: image: './a.png' occurs twice"),
        ('{"items": [{"image": ["a.png", ["c.png"]]}]}', "item 1: image: expected a string"),
        ('{"items": [{"video": []}]}', "item 1: video: expected at least one, received []"),
        ('{"items": [{"video": [[]]}]}', "item 1: video: expected a film's pictures, a list of"),
        ('{"items": [{"video": [["a.png"], 7]}]}', "item 1: video: expected a film's pictures"),
        (
            '{"items": [{"image": "a.png", "label": 7}]}',
            "item 1: image: a label needs tfds:NAME, received 'a.png'",
        ),
    ],
)
def test_lines_that_are_refused(folder, line, message):
    received = refused(folder, items({"text": "a"}), "", line)
    assert received.startswith(message)
    assert len(received) < 250


def test_manifests_that_cannot_be_read(folder):
    path = write(folder, "", " ")
    assert error_line(read_manifest, path).endswith("is empty: expected a JSON object on each line")
    path.write_bytes(b'{}\n{"items": [{"text": "\xff"}]}'.removeprefix(b"{}"))
    message = f"{path}:2: not UTF-8 text: byte 0xff at column 22; it seems to be cp1252"
    assert error_line(read_manifest, path).startswith(message)
    path.unlink()
    assert (
        error_line(read_manifest, path) == f"cannot read {str(path)!r}: No such file or directory"
    )


def test_kinds_that_are_not_taken(folder):
    path = write(folder, items({"text": "a"}, {"image": "c.png"}))
    message = "item 2: image: expected an item of the kinds text, audio, received image"
    assert error_line(open_dataset, folder, 0, kinds=("text", "audio")) == f"{path}:1: {message}"
    # whether a picture is grey shows when it is read
    splits = open_dataset(folder, 0, kinds=("text", "grey"))
    message = f"{folder / 'c.png'}: expected grey, received colors; data.convert = true"
    assert error_line(splits.train[0].draw, [0] * 4).startswith(message)


def test_files_of_another_kind_than_their_part(folder):
    pictures = [Image.fromarray(value) for value in (COLOUR, 255 - COLOUR)]
    pictures[0].save(folder / "film.png", save_all=True, append_images=pictures[1:])
    message = error_line(only, folder, {"image": "film.png"})
    assert message == f"{folder / 'film.png'}: expected image, received video"
    (folder / "a.txt").write_text("")
    assert error_line(only, folder, {"text_file": "a.txt"}) == f"{folder / 'a.txt'}: it is empty"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.png", b""),
        ("a.png", 40),
        ("d.jpg", 60),
        ("a.wav", 47),
        ("a.wav", 44),
        ("a.txt", b"\xff"),
    ],
)
def test_files_that_are_damaged_name_themselves(folder, name, content):
    path = folder / name
    path.write_bytes(path.read_bytes()[:content] if isinstance(content, int) else content)
    key = {".png": "image", ".jpg": "image", ".wav": "audio", ".txt": "text_file"}[path.suffix]
    assert str(path) in error_line(only, folder, {key: name})


def test_folders_are_either_texts_or_items(folder):
    assert "is not text: a folder of pictures and sounds needs a manifest" in error_line(
        read_text, folder
    )
    write(folder, items({"text": "a"}))
    message = error_line(read_text, folder)
    assert message.endswith("it is a source of items (layout = 'items'), expected texts")
    assert error_line(read_text, "digits").startswith("'digits' is a source of items")


def test_a_file_item_is_not_read_by_its_line_alone(folder):
    splits = open_dataset(write(folder, items({"image": "a.png"}, {"audio": "a.wav"})), 0)
    assert splits.train[0].kinds == ("image", "audio")
    assert all(isinstance(part[0], FileItem) for part in splits.train[0].parts)
    assert all(isinstance(item, Item) for item in splits.train[0].draw([0] * 4)[0])
