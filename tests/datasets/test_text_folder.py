"""Folders of texts: links, and the line that says what is left out."""

import os

import pytest

from mdnn.datasets.text.text_sources import read_text
from mdnn.errors import MdnnError


def write(folder, names):
    for name, content in names.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def left_out(folder, capsys):
    """The text of a folder, and the line that says what is left out of it."""
    text = read_text(folder)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") <= 1
    return text, err.removeprefix(f"{folder}: left out: ").removesuffix("\n")


def test_nothing_is_said_where_nothing_is_left_out(tmp_path, capsys):
    write(tmp_path, {"a.txt": "a", "b/c.md": "c", "b/no suffix": "d"})
    assert left_out(tmp_path, capsys) == ("a\n\nc\n\nd", "")


def test_links_within_the_folder_are_followed(tmp_path, capsys):
    write(tmp_path, {"b/one.txt": "one", "b/c/two.txt": "two"})
    (tmp_path / "a").symlink_to("b/c")
    (tmp_path / "d.txt").symlink_to("b/one.txt")
    assert left_out(tmp_path, capsys) == ("two\n\ntwo\n\none\n\none", "")


def test_circles_of_links_end(tmp_path, capsys):
    write(tmp_path, {"a/one.txt": "one", "b/two.txt": "two"})
    (tmp_path / "a" / "up").symlink_to("..")
    (tmp_path / "a" / "self").symlink_to(".")
    (tmp_path / "b" / "other").symlink_to("../a")
    text, line = left_out(tmp_path, capsys)
    assert text == "one\n\none\n\ntwo"
    assert line == ("4 links to a folder around them (a/self, a/up, b/other/self, ...)")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_links_that_lead_out_are_refused(tmp_path, kind):
    write(tmp_path, {"texts/a.txt": "a", "other/b.txt": "b"})
    target = tmp_path / "other" / ("b.txt" if kind == "file" else "")
    (tmp_path / "texts" / "more").symlink_to(target)
    with pytest.raises(MdnnError, match=r"texts/more' is a link that leads out of the folder"):
        read_text(tmp_path / "texts")
    # the folder itself may be reached by one
    (tmp_path / "way").symlink_to(tmp_path / "other")
    assert read_text(tmp_path / "way") == "b"


def test_what_is_left_out_is_said(tmp_path, capsys):
    write(
        tmp_path,
        {
            "a.txt": "a",
            ".hidden": "no",
            ".git/config": "no",
            "b/.DS_Store": b"\0\1",
            "b/.keep": "",
            "empty.txt": "",
            "b/program": b"\x7fELF" + bytes(100),
            "archive.zip": b"PK\3\4\x14\0\0\0\x08\0" * 9,
            # Compressed bytes have control characters and all others alike.
            "book.docx": b"PK\3\4" + bytes(range(32, 256)) * 3 + bytes(range(1, 32)) * 2,
        },
    )
    (tmp_path / "gone").symlink_to("nothing")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    text, line = left_out(tmp_path, capsys)
    assert text == "a"
    assert line == (
        "4 hidden (.git, .hidden, b/.DS_Store, ...); 2 broken links (gone, loop); "
        "1 pipes and devices (pipe); 3 no text (archive.zip, b/program, book.docx); "
        "1 empty (empty.txt)"
    )


def test_links_and_folders_that_cannot_be_followed(tmp_path, monkeypatch):
    write(tmp_path, {"a.txt": "a"})
    (tmp_path / "b").symlink_to("a.txt")

    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    with monkeypatch.context() as patch:
        patch.setattr("mdnn.datasets.text.text_folder._within", lambda *paths: refuse(paths[0]))
        with pytest.raises(MdnnError, match=r"^cannot read '.*b': Permission denied$"):
            read_text(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("mdnn.datasets.text.text_folder._within", _recurse)
        with pytest.raises(MdnnError, match=r": its folders are nested too deeply$"):
            read_text(tmp_path)


def _recurse(*paths):
    return _recurse(*paths)


def test_names_that_a_terminal_would_obey(tmp_path, capsys):
    write(tmp_path, {"a.txt": "a", ".\x1b[2Jx\n": "no"})
    assert left_out(tmp_path, capsys)[1] == "1 hidden (.\\x1b[2Jx\\n)"


def test_texts_in_another_encoding_are_refused_not_left_out(tmp_path):
    for encoding, named in (("cp1252", "cp1252"), ("utf-16-le", "utf-16-le")):
        write(tmp_path, {"a.txt": "a", "b.txt": ("Grüße\n" * 9).encode(encoding)})
        with pytest.raises(MdnnError, match=rf"b\.txt' is not UTF-8 .* seems to be {named}: data"):
            read_text(tmp_path)


def test_folders_without_a_text_say_what_they_have(tmp_path):
    write(tmp_path, {".a": "", "b": bytes(9), "c.txt": ""})
    with pytest.raises(
        MdnnError, match=r"no text in the folder .*1 hidden \(\.a\); 1 no text \(b\)"
    ):
        read_text(tmp_path)


@pytest.mark.parametrize("name", ["a.png", "b.wav", "c.GIF", "d.flac", "e.webp"])
def test_pictures_and_sounds_want_a_manifest(tmp_path, name):
    write(tmp_path, {"a.txt": "a", name: b"\x89PNG"})
    with pytest.raises(
        MdnnError, match=r"is not text: a folder of pictures and sounds needs a man"
    ):
        read_text(tmp_path)
