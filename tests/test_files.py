"""A file is replaced whole or not at all."""

import os
import stat

import pytest

from mdnn.errors import MdnnError, did_you_mean
from mdnn.files import making, read_bytes, replacing, write_text


def test_replaces(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
        assert part.parent == tmp_path
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("old", ["old", None])
def test_an_error_leaves_what_was(tmp_path, old, error):
    path = tmp_path / "a.txt"
    if old is not None:
        path.write_text(old)

    def write():
        with replacing(path) as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert os.listdir(tmp_path) == ([] if old is None else ["a.txt"])
    assert old is None or path.read_text() == old


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_text(tmp_path / "a.txt", "new")
    assert os.listdir(tmp_path) == ["a.txt"]


def test_as_readable_as_other_files(tmp_path):
    (tmp_path / "other").write_text("")
    write_text(tmp_path / "a.txt", "ä\n")
    modes = [stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in ("a.txt", "other")]
    assert modes[0] == modes[1]
    assert (tmp_path / "a.txt").read_bytes() == "ä\n".encode()


def test_makes_a_folder(tmp_path):
    with making(tmp_path / "a" / "b") as part:
        (part / "c").write_text("new")
        assert part.parent == tmp_path / "a"
        assert not (tmp_path / "a" / "b").exists()
    assert os.listdir(tmp_path / "a") == ["b"]
    assert (tmp_path / "a" / "b" / "c").read_text() == "new"
    (tmp_path / "other").mkdir()
    modes = [stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in ("a/b", "other")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_makes_no_folder(tmp_path, error):
    (tmp_path / "old").mkdir()

    def make(path):
        with making(path) as part:
            (part / "c").write_text("half")
            raise error

    for path in ("a/b/c", "old/b"):
        with pytest.raises(error):
            make(tmp_path / path)
    assert os.listdir(tmp_path) == ["old"]
    assert os.listdir(tmp_path / "old") == []


def test_reads_a_regular_file_of_limited_size(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"\xff" * 5)
    assert read_bytes(path, 5) == b"\xff" * 5
    refusals = {
        path: "cannot be read: expected at most 4 bytes, received 5",
        tmp_path: "cannot be read: expected a file",
        tmp_path / "none": "cannot be read: No such file or directory",
    }
    for place, message in refusals.items():
        with pytest.raises(MdnnError) as error:
            read_bytes(place, 4)
        assert str(error.value) == f"{place} {message}"
    with pytest.raises(MdnnError, match=r"^item 2 cannot be read: expected at most 4 bytes"):
        read_bytes(path, 4, "item 2")


def test_names_the_nearest_word():
    assert did_you_mean("temprature", ["length", "temperature"]) == " (did you mean 'temperature'?)"
    assert did_you_mean("qqq", ["length", "temperature"]) == ""
    assert did_you_mean(3, ["length"]) == ""
