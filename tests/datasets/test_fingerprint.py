"""Length and hash of a source: what changes them, and what a run says."""

import json

import numpy as np
import pytest

from mdnn.datasets import fingerprint as module
from mdnn.datasets import open_dataset
from mdnn.datasets.fingerprint import Fingerprint, fingerprint, source_change, write_source
from mdnn.datasets.puzzles.puzzle_splits import open_puzzles
from mdnn.datasets.text.text_splits import open_text
from mdnn.errors import MdnnError


def test_contents_of_all_kinds(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    same = [
        fingerprint([value]) for value in ("abc", b"abc", np.frombuffer(b"abc", np.uint8), path)
    ]
    assert len(set(same)) == 1
    assert same[0].length == 3
    assert fingerprint([]).length == 0
    assert fingerprint(["ab", "c"]) != fingerprint(["a", "bc"]) != same[0]
    assert fingerprint(["\ud800"]).length == 3
    with pytest.raises(MdnnError, match=r"cannot read '.*none': No such file"):
        fingerprint([tmp_path / "none"])


def test_large_contents_are_sampled(monkeypatch):
    monkeypatch.setattr(module, "WHOLE", 1000)
    monkeypatch.setattr(module, "BLOCK", 10)
    data = np.arange(4000).astype(np.uint8)
    first = fingerprint([data])
    for place, told in ((0, True), (3999, True), (5, True), (30, False)):
        other = data.copy()
        other[place] ^= 1
        assert (fingerprint([other]) != first) == told
    assert fingerprint([data[:-1]]) != first


def test_large_files_are_hashed_at_their_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FILE_END", 10)
    path = tmp_path / "a"
    path.write_bytes(bytes(100))
    first = fingerprint([path])
    for place, told in ((3, True), (97, True), (50, False)):
        data = bytearray(100)
        data[place] = 1
        path.write_bytes(data)
        assert (fingerprint([path]) != first) == told


def test_sources_of_all_kinds(tmp_path):
    def text():
        return fingerprint(open_text(tmp_path / "a.txt").contents())

    def items():
        return fingerprint(open_dataset(tmp_path / "m.jsonl", 0.5).contents())

    def puzzles():
        return fingerprint(open_puzzles(str(tmp_path / "p.csv"), validation=0.0).contents())

    (tmp_path / "a.txt").write_text("hello, world " * 9)
    line = {"items": [{"text": "a"}, {"text_file": "a.txt"}]}
    (tmp_path / "m.jsonl").write_text(f"{json.dumps(line)}\n" * 2)
    (tmp_path / "p.csv").write_text("1.3..41..1.3..2.\n")
    before = [one() for one in (text, items, puzzles)]
    assert before == [one() for one in (text, items, puzzles)]
    assert [one.length for one in before] == [4 * 117, 2 * 118, 2 * 32]
    (tmp_path / "a.txt").write_text("hello, worle " * 9)
    (tmp_path / "p.csv").write_text("1.3..41..143..2.\n")
    assert all(a != b for a, b in zip(before, [text(), items(), puzzles()], strict=True))
    assert fingerprint(open_puzzles("sudoku-4x4").contents()).length == 0


def test_a_run_says_what_changed(tmp_path):
    first, other = fingerprint(["a text"]), fingerprint(["a longer text"])
    assert source_change(tmp_path, first) is None
    write_source(tmp_path, "a.txt", first)
    assert source_change(tmp_path, first) is None
    line = source_change(tmp_path, other)
    assert line == (
        "the source 'a.txt' changed since this run began (6 bytes then, 13 now): training goes on "
        "with what is there now"
    )
    assert "(6 bytes as then, others)" in source_change(tmp_path, fingerprint(["a test"]))


@pytest.mark.parametrize(
    "table",
    [
        [],
        {},
        {"source": 1, "length": 1, "hash": "0" * 32},
        {"source": "a", "length": "1", "hash": "0" * 32},
        {"source": "a", "length": True, "hash": "0" * 32},
        {"source": "a", "length": 1, "hash": "x"},
        {"source": "a", "length": 1, "hash": "0" * 32, "more": 1},
    ],
)
def test_files_that_say_no_fingerprint(tmp_path, table):
    (tmp_path / module.SOURCE).write_text(json.dumps(table))
    with pytest.raises(MdnnError, match=r"source\.json: expected source, length and hash"):
        source_change(tmp_path, Fingerprint(1, "0" * 32))
