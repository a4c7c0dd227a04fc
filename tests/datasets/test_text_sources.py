"""Where text comes from, and what bad sources get."""

import os

import numpy as np
import pytest

from mdnn.datasets.text.text_sources import read_text, split
from mdnn.errors import MdnnError
from mdnn.tasks.base import Task


def one_line(error):
    """Returns an error's message, which must be one line."""
    message = str(error.value)
    assert "\n" not in message
    return message


def test_python_docs_are_the_topics_in_their_order():
    from pydoc_data import topics

    text = read_text("python-docs")
    assert text == "\n\n".join(topics.topics.values())
    assert 400_000 < len(text) < 700_000
    assert "assert" in text


@pytest.mark.parametrize("source", ["", " "])
def test_a_source_without_a_name_is_refused(source):
    with pytest.raises(MdnnError, match="expected a source: python-docs, a file"):
        read_text(source)


def test_file_is_read_character_for_character(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("é\r\nb\rc\n😀".encode())
    assert read_text(path) == read_text(str(path)) == "é\r\nb\rc\n😀"


def test_byte_order_mark_is_dropped_once(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfa\xef\xbb\xbfb")
    assert read_text(path) == "a\ufeffb"


def test_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.txt").write_text("home")
    assert read_text("~/a.txt") == "home"


def test_folder_in_the_order_of_paths_without_hidden_names(tmp_path):
    for name, text in {
        "b/2.txt": "two",
        "b/1.md": "one",
        "a.txt": "first",
        "c": "last",
        "b/empty.txt": "",
        ".hidden": "no",
        ".git/config": "no",
        "b/.git/x": "no",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert read_text(tmp_path) == "first\n\none\n\ntwo\n\nlast"


def test_not_utf_8_names_file_and_offset(tmp_path):
    (tmp_path / "bad.txt").write_bytes("é".encode() + b"ab\xffcd")
    for source in (tmp_path / "bad.txt", tmp_path):
        with pytest.raises(MdnnError) as error:
            read_text(source)
        message = one_line(error)
        assert repr(str(tmp_path / "bad.txt")) in message
        assert "not UTF-8 text: byte 0xff at offset 4 of 7" in message


def test_offset_counts_the_byte_order_mark(tmp_path):
    (tmp_path / "bad.txt").write_bytes(b"\xef\xbb\xbfa\xff")
    with pytest.raises(MdnnError, match="offset 4 of 5"):
        read_text(tmp_path / "bad.txt")


def test_empty_sources(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(MdnnError, match=r"no text in the folder .*: it has no files"):
        read_text(tmp_path / "folder")
    (tmp_path / "folder" / "empty.txt").touch()
    with pytest.raises(MdnnError, match=r"no text in the folder .*: 1 empty \(empty.txt\)"):
        read_text(tmp_path / "folder")
    for content in (b"", b"\xef\xbb\xbf"):
        (tmp_path / "folder" / "empty.txt").write_bytes(content)
        with pytest.raises(MdnnError, match=r"no text in '.*empty\.txt': it is empty"):
            read_text(tmp_path / "folder" / "empty.txt")


def test_missing_file_offers_the_nearest_name(tmp_path):
    (tmp_path / "shakespeare.txt").write_text("x")
    with pytest.raises(MdnnError) as error:
        read_text(tmp_path / "shakespear.txt")
    assert one_line(error) == (
        f"no such file or folder: {str(tmp_path / 'shakespear.txt')!r} "
        f"(did you mean {str(tmp_path / 'shakespeare.txt')!r}?)"
    )
    with pytest.raises(MdnnError) as error:
        read_text(tmp_path / "nowhere" / "else")
    message = one_line(error)
    assert message == f"no such file or folder: {str(tmp_path / 'nowhere' / 'else')!r}"
    with pytest.raises(MdnnError, match="did you mean 'python-docs'"):
        read_text("python_docs")


def test_unknown_kind_of_source():
    with pytest.raises(MdnnError) as error:
        read_text("https://example.org/a.txt")
    message = one_line(error)
    assert "unknown kind of source 'https'" in message
    assert "python-docs, tfds:NAME, a text file, a folder" in message


def test_neither_file_nor_folder(tmp_path):
    with pytest.raises(MdnnError, match="neither a text file nor a folder"):
        read_text(os.devnull)
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")
    with pytest.raises(MdnnError, match=r"neither a text file nor a folder \(a broken link\)"):
        read_text(tmp_path / "broken")
    # As a shell's `<(zcat book.gz)` gives it: a link to a pipe, whose target has no path.
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "63").symlink_to(tmp_path / "fifo")
    source = Task.absolute_source(str(tmp_path / "63"))
    assert source == str(tmp_path / "63")
    with pytest.raises(MdnnError, match=r"neither .* \(a pipe, which is read only once: save it"):
        read_text(source)


def test_unreadable_file_and_folder(tmp_path, monkeypatch):
    # permissions do not stop a root user, so the refusal is made
    def refuse(*_):
        raise PermissionError(13, "Permission denied", str(tmp_path / "a.txt"))

    (tmp_path / "a.txt").write_text("x")
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.read_bytes", refuse)
        with pytest.raises(MdnnError, match=r"cannot read '.*a\.txt': Permission denied"):
            read_text(tmp_path / "a.txt")
    with monkeypatch.context() as patch:
        patch.setattr("os.scandir", refuse)
        with pytest.raises(MdnnError, match=r"cannot read '.*': Permission denied"):
            read_text(tmp_path)


def test_python_without_its_documentation(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pydoc_data", None)
    with pytest.raises(MdnnError, match="needs Python's module pydoc_data"):
        read_text("python-docs")


@pytest.mark.parametrize("number", [10, 11, 1003, 1_115_394])
def test_split_is_nanogpts(number):
    units = np.arange(number)
    train, validation = split(units)
    assert len(train) == int(number * 0.9)
    np.testing.assert_array_equal(np.concatenate([train, validation]), units)


def test_split_of_text_and_other_shares():
    assert split("abcdefgh", validation=0.25) == ("abcdef", "gh")
    assert split("abcd", validation=0.5, at_least=2) == ("ab", "cd")


@pytest.mark.parametrize("validation", [0, 1, -0.1, 1.5])
def test_split_needs_a_share(validation):
    with pytest.raises(MdnnError, match="between 0 and 1"):
        split("abc", validation)


def test_split_of_too_short_a_text():
    with pytest.raises(MdnnError) as error:
        split("a" * 20, at_least=3, name="'x.txt'")
    assert one_line(error) == (
        "'x.txt' is too short: 20 split into 18 to train and 2 to validate; each needs at least 3"
    )
