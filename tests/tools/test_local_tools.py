"""Calculator, clock, calendar, folder search, and the toolbox that runs them."""

import contextlib
import datetime
import fractions
import subprocess
import sys
import threading
import time
import types

import pytest

from mdnn.chat.messages import ToolCall
from mdnn.errors import MdnnError
from mdnn.tools.calculator import Calculator, calculate
from mdnn.tools.calendar_tools import Calendar, Clock
from mdnn.tools.folder_search import FolderIndex, ReadFile, SearchFiles
from mdnn.tools.tool import LocalTool, ToolError
from mdnn.tools.tool_options import toolbox_of
from mdnn.tools.toolbox import Toolbox


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1+2*3", "7"),
        ("(1 + 2) * 3", "9"),
        ("0.1 + 0.2", "0.3"),
        ("1/3", "1/3 (about 0.333333333333)"),
        ("-2 ** 2", "-4"),
        ("2 ** 3 ** 2", "512"),
        ("2 ^ -2", "0.25"),
        ("7 // 2 + 7 % 4", "6"),
        ("-7 // 2", "-4"),
        ("15% * 80", "12"),
        ("80 * 15%", "12"),
        ("100 - 20%", "99.8"),
        ("10 % 3", "1"),
        ("1,234,567 + 1", "1234568"),
        ("min(3, 1.5) + max(1, 2)", "3.5"),
        ("sqrt(9/16)", "0.75"),
        ("round(sqrt(2), 4)", "1.4142"),
        ("floor(7/2) + ceil(7/2) + abs(-1)", "8"),
        ("round(2.567, 1)", "2.6"),
        ("6 \u00d7 7 \u00f7 2 \u2212 1", "20"),
        ("1e3 + .5", "1000.5"),
        ("2**200", str(2**200)),
        ("0 ** 0", "1"),
        ("1 ** 999999999999", "1"),
        ("(-1) ** 999999999999", "-1"),
    ],
)
def test_calculator(expression, value):
    assert Calculator().run(expression) == value


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "is incomplete"),
        ("1 +", "is incomplete"),
        ("1 2", "expected an operator"),
        ("(1", "expected '\\)'"),
        ("1 / 0", "division by zero"),
        ("0 ** -1", "division by zero"),
        ("9 ** 9 ** 9", "too large"),
        ("1e999999999", "too large"),
        ("2 ** 0.3", "whole exponent"),
        ("sqrt(-1)", "from 0 on"),
        ("exit()", "unknown function 'exit'"),
        ("__import__('os')", "expected a number, received '_'"),
        ("a.b", "unknown function 'a'"),
        ("(" * 60 + "1" + ")" * 60, "nested too deeply"),
        ("-" * 60 + "1", "nested too deeply"),
        ("1" * 1001, "at most 1000 characters"),
        ("abs(1, 2)", "at most 1 numbers"),
        ("round(1, 0.5)", "whole number of digits"),
    ],
)
def test_what_is_not_calculated(expression, said):
    with pytest.raises(ToolError, match=said):
        calculate(expression)


def test_what_is_calculated_takes_no_time():
    begun = time.monotonic()
    for expression in ("9**4000", "1/9**4000", "+".join(["9**999"] * 100), "99999999 ** 800"):
        with pytest.raises(ToolError) if "800" in expression else contextlib.nullcontext():
            assert isinstance(calculate(expression), fractions.Fraction)
    assert time.monotonic() - begun < 2


def test_clock_and_calendar():
    now = datetime.datetime(2026, 11, 29, 1, 2, 3, tzinfo=datetime.UTC)
    assert Clock(lambda zone: now).run() == "2026-11-29 Sunday 01:02:03 +0000"
    assert Clock().run("UTC").endswith("+0000")
    for zone in ("Nowhere/None", "../../etc/passwd", "/etc/passwd"):
        with pytest.raises(ToolError, match="unknown time zone"):
            Clock().run(zone)
    run = Calendar().run
    assert run("2026-11-29") == "2026-11-29 Sunday"
    assert run("2024-01-31", months=1) == "2024-02-29 Thursday"
    assert run("2026-01-01", days=-1, months=-1) == "2025-11-30 Sunday"
    assert run("2026-11-29", until="2026-12-24") == "2026-11-29 Sunday; 25 days until 2026-12-24"
    for wrong in (
        {"date": "tomorrow"},
        {"date": "9999-12-31", "days": 1},
        {"date": "0001-01-01", "months": -1},
    ):
        with pytest.raises(ToolError, match="expected a date"):
            run(**wrong)


@pytest.fixture
def index(tmp_path):
    folder = tmp_path / "notes"
    (folder / "deep").mkdir(parents=True)
    (folder / "garden.md").write_text("# Garden\n" + "weeds\n" * 30 + "The roses need water.\n")
    (folder / "deep" / "code.py").write_text("def water(roses):\n    return roses\n")
    (folder / ".secret").write_text("roses")
    (folder / "picture.png").write_bytes(b"\x89PNG\0roses")
    (folder / "latin.txt").write_bytes(b"roses \xff")
    (tmp_path / "outside.txt").write_text("roses outside")
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    index = FolderIndex(folder)
    yield index
    index.database.close()


def test_folder_search(index):
    assert index.names == ["deep/code.py", "garden.md"]
    assert index.left_out == 3
    search, read = SearchFiles(index), ReadFile(index)
    found = search.run("roses water")
    assert found.index("garden.md, line 21:") >= 0
    assert "deep/code.py, line 1:" in found
    assert search.run("Rosen") == "Nothing in 2 files."
    # Nothing of a query is an operator.
    for query in ('"', "roses AND", "NEAR(", "text: *", "); DROP TABLE chunks", "", "-roses"):
        assert isinstance(search.run(query), str)
    assert "garden.md" in search.run("ROSES")
    assert read.run("garden.md", 31, 2) == "31: weeds\n32: The roses need water."
    assert read.run("garden.md", 99) == "garden.md has 33 lines."
    for name in ("../outside.txt", "link.txt", "/etc/passwd", ".secret", "picture.png"):
        with pytest.raises(ToolError, match="no file"):
            read.run(name)


def test_folders_that_cannot_be_searched(tmp_path, monkeypatch):
    # No database is opened for them, which nobody would close.
    monkeypatch.setattr("mdnn.tools.folder_search._database", None)
    for folder, said in ((tmp_path / "none", "there is none"), (tmp_path, "no texts to search")):
        with pytest.raises(MdnnError, match=said):
            FolderIndex(folder)


class Odd(LocalTool):
    """Fails, hangs or answers megabytes."""

    name, description = "odd", ""
    parameters = {"how": {"enum": ["fail", "hang", "large"]}, "n": {"type": "integer"}}  # noqa: RUF012
    required = ("how",)
    untrusted = True
    free = threading.Event()

    def run(self, how, n=0):
        if how == "fail":
            raise RuntimeError("no luck " * 100)
        if how == "hang":
            self.free.wait(20)
        return "x" * 3_000_000


def test_tools_that_fail_hang_or_answer_megabytes():
    box = Toolbox([Odd()], seconds=0.2, most=100)
    results = {}
    for how in ("fail", "hang", "large"):
        results[how] = box.run(ToolCall("odd", {"how": how}))
    Odd.free.set()
    assert results["fail"].startswith("Error: RuntimeError: no luck")
    assert len(results["fail"]) < 300
    assert results["hang"] == "Error: no result within 0.2 seconds"
    assert results["large"] == "x" * 100 + "\n[2,999,900 more characters are left out]"


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("od", {}, "Error: there is no tool 'od'; tools: odd"),
        ("odd", {}, "odd: the argument 'how' is missing"),
        ("odd", {"how": "dance"}, "odd: how: expected one of"),
        ("odd", {"how": "fail", "n": "1"}, "odd: n: expected a value of type integer"),
        ("odd", {"how": "fail", "n": True}, "odd: n: expected a value of type integer"),
        ("odd", {"how": "fail", "m": 1}, "odd: unknown argument 'm'; known: how, n"),
    ],
)
def test_bad_calls(name, arguments, said):
    assert said in Toolbox([Odd()]).run(ToolCall(name, arguments))


def test_pages_do_not_call_tools():
    """After another's text only harmless tools run without the person's word."""
    box = Toolbox([Odd(), Calculator()], allowed=["*"])
    add, odd = ToolCall("calculator", {"expression": "1+1"}), ToolCall("odd", {"how": "large"})
    assert box.allows(odd)
    assert box.allows(add)
    box.run(add)
    assert box.allows(odd)
    box.run(odd)
    assert box.allows(add)
    assert not box.allows(odd)
    box.begin_turn()
    assert box.allows(odd)
    assert not Toolbox([Odd(), Calculator()], allowed=["odd"]).allows(add)


def options(**changes):
    values = {
        "tool": [],
        "folder": None,
        "web": [],
        "web_search": None,
        "mcp": [],
        "allow_tool": [],
    }
    return types.SimpleNamespace(**(values | changes))


def test_options(tmp_path):
    assert toolbox_of(options()) is None
    (tmp_path / "a.txt").write_text("a")
    box = toolbox_of(
        options(
            tool=["calculator", "clock"],
            folder=str(tmp_path),
            web=["docs.python.org", ".example.org"],
            web_search="http://localhost:8888/search",
            allow_tool=["calculator"],
        )
    )
    names = "calculator clock open_page follow_link web_search search_files read_file"
    assert [spec.name for spec in box.specs()] == names.split()
    box.close()
    for changes, said in (
        ({"tool": ["calculater"]}, "did you mean 'calculator'"),
        ({"tool": ["clock", "clock"]}, "received 'clock' twice"),
        ({"tool": ["clock"], "allow_tool": ["calculator"]}, "--allow-tool: no tool 'calculator'"),
        ({"web": ["http://a.org"]}, "--web: expected a host's name"),
        ({"web": ["127.0.0.1"]}, "--web: expected a host's name"),
        ({"web": ["*"]}, "--web: expected a host's name"),
        ({"web": ["localhost"]}, "--web: expected a host's name"),
        ({"web_search": "localhost"}, "--web-search: expected an address"),
        ({"mcp": ["no-such-program --x"]}, "there is no program 'no-such-program'"),
        ({"mcp": ["'"]}, "--mcp: No closing quotation"),
    ):
        with pytest.raises(MdnnError, match=said):
            toolbox_of(options(**changes))


@pytest.mark.long
def test_a_folder_is_searched_behind_tensorflow(tmp_path):
    (tmp_path / "a.txt").write_text("The cat sat on the mat.", encoding="utf-8")
    code = (
        "import sys, tensorflow\n"
        "from mdnn.tools.folder_search import FolderIndex\n"
        "print(FolderIndex(sys.argv[1]).names)"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout == "['a.txt']\n", done.stderr
