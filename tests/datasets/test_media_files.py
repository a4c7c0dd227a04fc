"""Files to items and back."""

import io
import os
import time
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from mdnn.datasets.media import media_files as media
from mdnn.datasets.media import media_writing, picture_files
from mdnn.datasets.media.media_files import (
    item_bytes,
    read_item,
    read_picture,
    read_sound,
    read_video,
    write_item,
)
from mdnn.errors import MdnnError
from mdnn.tokens.items import Item

RANDOM = np.random.default_rng(8)
PICTURE = Item("image", RANDOM.integers(0, 256, (3, 4, 3), dtype=np.uint8))
GREY = Item("grey", RANDOM.integers(0, 256, (3, 4), dtype=np.uint8))
FILM = Item("video", RANDOM.integers(0, 256, (3, 2, 2, 3), dtype=np.uint8))
GREY_FILM = Item("grey_video", RANDOM.integers(0, 256, (2, 2, 2), dtype=np.uint8))
SOUND = Item("audio", RANDOM.integers(-32768, 32768, 100).astype(np.int16), rate=8000)

FILES = {
    "a.txt": Item("text", "line\r\nanother\n\0 猫\U0001f600"),
    "mark.txt": Item("text", "\ufeffa"),
    "empty.txt": Item("text", ""),
    "a.png": PICTURE,
    "A.PNG": GREY,
    "film.png": FILM,
    "grey.png": GREY_FILM,
    "film": FILM,
    "grey": GREY_FILM,
    "a.wav": SOUND,
}


def same(one, other):
    assert (one.kind, one.rate) == (other.kind, other.rate)
    np.testing.assert_array_equal(one.value, other.value)


@pytest.mark.parametrize(("name", "item"), FILES.items(), ids=FILES.keys())
def test_files_make_the_round_trip(tmp_path, name, item):
    path = tmp_path / name
    write_item(item, path)
    back = read_item(path)
    same(back, item)
    assert back.name == str(path)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    if path.is_dir():
        assert os.stat(path).st_mode & 0o777 == 0o777 & ~_mask()
        names = sorted(entry.name for entry in path.iterdir())
        assert names == [f"{number:06}.png" for number in range(len(item.value))]
        same(read_video([path / n for n in names]), item)
    else:
        assert path.read_bytes() == item_bytes(item)[0]


def _mask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_bytes_and_paths_are_read_alike(tmp_path):
    for item, read, name in [(PICTURE, read_picture, "a.png"), (SOUND, read_sound, "a.wav")]:
        data, suffix = item_bytes(item)
        assert name.endswith(suffix)
        (tmp_path / name).write_bytes(data)
        same(read(tmp_path / name), item)
        same(read(memoryview(data), name=name), item)
        assert read(data, name=f"request {name}").name == f"request {name}"
    with io.BytesIO() as file:
        Image.fromarray(GREY.value).save(file, format="JPEG")
        (tmp_path / "a.jpeg").write_bytes(file.getvalue())
        same(read_picture(file.getvalue(), "a.jpg"), read_item(tmp_path / "a.jpeg"))


def test_what_an_answer_is_can_be_written(tmp_path):
    picture = np.arange(6, dtype="uint8").reshape(2, 3)
    for value, name in ((picture, "a.png"), (SOUND.value, "a.wav"), ("seven", "a.txt")):
        write_item(value, tmp_path / name, rate=2000)
        found = read_item(tmp_path / name)
        np.testing.assert_array_equal(found.value, value)
    with pytest.raises(MdnnError, match=r"b.png: expected a string, a picture .* received float"):
        write_item(1.5, tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


def test_sounds_get_the_wanted_rate(tmp_path):
    write_item(Item("audio", SOUND.value), tmp_path / "a.wav", rate=16_000)
    item = read_item(tmp_path / "a.wav", rate=8000)
    assert (item.rate, len(item.value)) == (8000, 50)
    assert read_sound(tmp_path / "a.wav", 4000).rate == 4000


def test_a_folder_of_numbered_pictures(tmp_path):
    frames = RANDOM.integers(0, 256, (12, 1, 1), dtype=np.uint8)
    for number, frame in enumerate(frames):
        write_item(Item("grey", frame), tmp_path / f"{number}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    np.testing.assert_array_equal(read_item(tmp_path).value, frames)


def test_a_file_that_is_there_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.txt"
    write_item(Item("text", "old"), path)
    with pytest.raises(MdnnError, match="its samples per second are not known"):
        write_item(Item("audio", SOUND.value), path)
    with pytest.raises(MdnnError, match="character 1 cannot be written as UTF-8: U\\+D800"):
        write_item(Item("text", "a\ud800"), path)
    assert path.read_text() == "old"
    write_item(Item("text", "new"), path)
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_half_a_film_leaves_nothing(tmp_path, monkeypatch):
    done = []

    def encode(item):
        if done:
            raise OSError(28, "No space left on device")
        done.append(item)
        return b"a frame"

    monkeypatch.setattr(media_writing, "encode_png", encode)
    with pytest.raises(MdnnError, match=r"cannot write .*film: No space left"):
        write_item(FILM, tmp_path / "film")
    assert not list(tmp_path.iterdir())


def _huge(width=100_000):
    data = bytearray(item_bytes(GREY)[0])
    data[16:24] = width.to_bytes(4, "big") * 2
    return bytes(data)


BAD_FILES = {
    "huge.png": (_huge(), "at most 64,000,000 pixels are read, received 100000 x 100000"),
    "cut.png": (item_bytes(PICTURE)[0][:-20], "a truncated PNG"),
    "cut.wav": (item_bytes(SOUND)[0][:-1], "promises 100 samples, received 99"),
    "none.wav": (item_bytes(SOUND)[0][:40] + bytes(4), "a sound without samples"),
    "a.jpg": (item_bytes(PICTURE)[0], "expected a JPEG file, received a PNG file"),
    "a.png": (item_bytes(SOUND)[0], "expected a PNG file, received a RIFF file"),
    "b.png": (b"", "received an empty file"),
    "a.txt": (b"ab\xff", "is not UTF-8 text: byte 0xff at offset 2 of 3; it seems to be cp1252"),
    "a.gif": (b"GIF89a", "a truncated GIF: it ends at byte 6"),
    "a.tif": (b"II*\0", r"expected a file \.txt, \.png, \.jpg, .*\.caf or a folder of pictures"),
}


@pytest.mark.parametrize(("name", "bad"), BAD_FILES.items(), ids=BAD_FILES.keys())
def test_bad_files_name_themselves(tmp_path, name, bad):
    data, message = bad
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(MdnnError, match=message) as error:
        read_item(path, rate=8000)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_a_file_of_ten_gigapixels_costs_nothing(tmp_path):
    path = tmp_path / "huge.png"
    path.write_bytes(_huge())
    tracemalloc.start()
    try:
        start = time.process_time()
        with pytest.raises(MdnnError, match=r"huge\.png: at most"):
            read_item(path)
        assert time.process_time() - start < 0.1
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "a.wav"
    with open(path, "wb") as file:
        file.truncate(media.MAX_BYTES + 1)  # sparse: no disk is used
    with pytest.raises(MdnnError, match="at most 536,870,912 bytes, received 536,870,913"):
        read_item(path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(MdnnError, match=r"cannot read .*none\.png: No such file"):
        read_item(tmp_path / "none.png")
    with pytest.raises(MdnnError, match=r"none: expected a file \.txt"):
        read_item(tmp_path / "none")
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(MdnnError, match=r"folder\.wav: expected a file"):
        read_item(tmp_path / "folder.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(MdnnError, match=r"pipe\.wav: expected a file"):
        read_sound(tmp_path / "pipe.wav")


def test_films_that_are_none(tmp_path, monkeypatch):
    for name, item in [("a.png", PICTURE), ("b.png", GREY), ("c.png", FILM), ("d.wav", SOUND)]:
        write_item(item, tmp_path / name)
    write_item(Item("image", PICTURE.value[1:]), tmp_path / "e.png")
    paths = {path.stem: path for path in tmp_path.iterdir()}
    same(read_video([paths["c"]]), FILM)
    same(read_video(str(paths["c"])), FILM)
    (tmp_path / "empty").mkdir()
    for wrong, message in [
        ([], "a film: expected pictures, received none"),
        (tmp_path / "empty", "empty: expected pictures, received none"),
        ([paths["a"], paths["b"]], r"b\.png: expected image \[3, 4, 3\] .* received grey \[3, 4\]"),
        ([paths["a"], paths["e"]], r"e\.png: .* as in .*a\.png, received image \[2, 4, 3\]"),
        ([paths["a"], paths["c"]], r"c\.png: expected a picture of a film, received video"),
        ([paths["d"]], r"d\.wav: expected a picture of a film, received audio"),
        ([paths["a"], tmp_path / "f.png"], r"cannot read .*f\.png"),
    ]:
        with pytest.raises(MdnnError, match=message):
            read_video(wrong)
    # told after the first picture, none of the others is decoded
    monkeypatch.setattr(picture_files, "MAX_PIXELS", 20)
    with pytest.raises(MdnnError, match="at most 20 pixels are read, received 2 frames of 4 x 3"):
        read_video([paths["a"], tmp_path / "f.png"])


@pytest.mark.parametrize(
    ("item", "name", "message"),
    [
        (PICTURE, "a.jpg", r"a\.jpg: expected a file \.png for an item of kind image"),
        (PICTURE, "a", r"expected a file \.png"),
        (FILM, "a.mp4", r"expected a file \.png for an item of kind video"),
        (SOUND, "a.txt", r"expected a file \.wav"),
        (PICTURE, "none/a.png", r"cannot write .*a\.png: No such file"),
        (FILM, "none/film", r"cannot write .*film: No such file"),
        (FILM, "full", "full already exists"),
    ],
)
def test_what_is_not_written(tmp_path, item, name, message):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("kept")
    with pytest.raises(MdnnError, match=message):
        write_item(item, tmp_path / name)
    assert [entry.name for entry in tmp_path.iterdir()] == ["full"]
