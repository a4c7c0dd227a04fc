"""Tables of puzzles in the forms that people publish, and how much memory they take."""

import tracemalloc

import numpy as np
import pytest

from mdnn.datasets.puzzles.puzzle_splits import make_task, open_puzzles
from mdnn.datasets.puzzles.sudoku import Sudoku
from mdnn.errors import MdnnError

P = "003020600900305001001806400008102900700000008006708200002609500800203009005010300"
S = "483921657967345821251876493548132976729564138136798245372689514814253769695417382"
DOTS = P.replace("0", ".")
SQUARE = [P[at : at + 9] for at in range(0, 81, 9)]

FORMS = {
    "Kaggle, 1 million": f"quizzes,solutions\n{P},{S}\n",
    "Kaggle, 9 million": f"puzzle,solution\n{P},{S}\n",
    "Kaggle, 3 million": f"id,puzzle,solution,clues,difficulty\n1,{DOTS},{S},32,2.2\n",
    "Sudoku-Extreme": f"source,question,answer,rating\nforum,{DOTS},{S},7\n",
    "plural": f"puzzles,solutions\n{P},{S}\n",
    "capitals": f"Puzzle,Solution\n{P},{S}\n",
    "words with string": f"puzzle_string,solution_string\n{P},{S}\n",
    "inputs": f"Input,Target\n{P},{S}\n",
    "other names": f"start,end\n{P},{S}\n",
    "other names, others before": f"nr,level,sudoku9,filled\n1,easy,{P},{S}\n",
    "an index without a name": f",quizzes,solutions\n0,{P},{S}\n",
    "a blank behind the comma": f"puzzle, solution\n{P}, {S}\n",
    "blanks everywhere": f"  puzzle , solution\n {P} , {S} \n",
    "quotes": f'"puzzle","solution"\n"{P}","{S}"\n',
    "quotes behind a blank": f'"puzzle", "solution"\n"{P}", "{S}"\n',
    "semicolons": f"puzzle;solution\n{P};{S}\n",
    "tabs": f"puzzle\tsolution\n{P}\t{S}\n",
    "vertical bars": f"{P}|{S}\n",
    "CR LF": f"puzzle,solution\r\n{P},{S}\r\n",
    "CR": f"puzzle,solution\r{P},{S}\r",
    "a mark": f"\ufeffpuzzle,solution\n{P},{S}\n",
    "a mark and no header": f"\ufeff{P},{S}\n",
    "no header": f"{P},{S}\n",
    "no end of the line": f"{P},{S}",
    "comments": f"# from a friend\n\n// and more\npuzzle,solution\n# 1\n{P},{S}\n",
    "no header, more columns": f"{P},{S},easy,17\n{P},{S}\n",
    "a title and a rating behind": f"{P};Golden Nugget;11.9\n",
    "one a line": f"{P}\n",
    "one a line, dots, CR LF": f"{DOTS}\r\n",
    "one a line with a header": f"puzzle\n{P}\n",
    "sudoku-exchange's bank": f"0000183b305c {P}  1.2\n0000183b305d {P} 10.0\n",
    "a number before": f"1 {DOTS} {S}\n",
    "stars": f"{P.replace('0', '*')}\n",
    "dashes": f"{P.replace('0', '-')}\n",
    "underscores": f"{P.replace('0', '_')},{S}\n",
    "Project Euler": "Grid 01\n" + "\n".join(SQUARE) + "\nGrid 02\n" + "\n".join(SQUARE) + "\n",
    "squares": "\n".join(SQUARE) + "\n\n" + "\n".join(SQUARE),
    "squares of numbers": "\n".join(",".join(row) for row in SQUARE) + "\n",
    "squares with cells left out": "\n".join(";".join(row).replace("0", "") for row in SQUARE),
    "Simple Sudoku": "\n".join(
        ("*-----------*\n" if n == 0 else "|---+---+---|\n" if n % 3 == 0 else "")
        + "|".join(["", row[:3], row[3:6], row[6:], ""]).replace("0", ".")
        for n, row in enumerate(SQUARE)
    )
    + "\n*-----------*\n",
    "SadMan": "#A somebody\n[Puzzle]\n" + "\n".join(SQUARE) + "\n[State]\n" + "\n".join(SQUARE),
    "a column for each cell": ",".join(P) + "\n",
    "a column for each cell, left out": ",".join(P + S).replace("0", "") + "\n",
    "a column for each cell, a header": ",".join(f"c{n}" for n in range(81)) + "\n" + ",".join(P),
    "Excel": f"sep=;\r\npuzzle;solution\r\n{P};{S}\r\n",
    "JSON lines": f'{{"puzzle": "{P}", "solution": "{S}"}}\n' * 2,
    "JSON lines, other names": f'{{"id": 1, "start": "{P}", "end": "{S}"}}\n',
    "drawn squares": "\n".join(
        line
        for n, row in enumerate(SQUARE)
        for line in (
            [" ".join(row[:3]) + "|" + row[3:6] + " | " + row[6:]] + ["---+---+---"] * (n in (2, 5))
        )
    ),
}


def write(folder, text, name="a.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return str(path)


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS.keys())
def test_published_forms(tmp_path, text):
    splits = open_puzzles(write(tmp_path, text), validation=0.0)
    assert splits.task.name == "sudoku-9x9"
    assert {splits.task.text(p) for p in splits.validation.puzzles} == {DOTS}
    assert {splits.task.text(s) for s in splits.validation.solutions} == {S}


@pytest.mark.parametrize("name", ["a.txt", "a.TSV", "a.sdm", "a.sdk", "a.ss", "a.jsonl", "a.csv"])
def test_names_of_files(tmp_path, name):
    assert (
        len(open_puzzles(write(tmp_path, f"{P}\n", name), validation=0.0).validation.puzzles) == 1
    )


def test_smaller_sudokus_as_squares(tmp_path):
    text = "1.3.\n.41.\n.1.3\n..2.\n"
    splits = open_puzzles(write(tmp_path, text), validation=0.0)
    assert splits.task.text(splits.validation.puzzles[0]) == "1.3..41..1.3..2."


def test_other_puzzles_without_a_header(tmp_path):
    for name in ("maze-7x7", "prefix-sums-9", "addition-4"):
        task = make_task(name)
        rows = [[task.text(u) for u in pair] for pair in zip(*task.draw_some(0, 0, 4), strict=True)]
        for text in (
            "".join(f"{p},{s}\n" for p, s in rows),
            "name,start,end\n" + "".join(f"x,{p},{s}\n" for p, s in rows),
            "".join(f"{p}\n" for p, _ in rows),
        ):
            held = open_puzzles(f"{name}:{write(tmp_path, text)}", validation=0.0).validation
            assert [task.text(p) for p in held.puzzles] == [p for p, _ in rows]
            assert [task.text(s) for s in held.solutions] == [s for _, s in rows]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected a header .* received an empty file"),
        ("# only\n\n# comments\n", "received an empty file"),
        ("hello\n", "line 1: expected a header .* or a sudoku; received 'hello'"),
        ("a b c\n", "line 1: expected a header"),
        (f"{P},{S}\n1,\n", "line 2: expected a puzzle of 81 symbols, a sudoku-9x9; received 1"),
        (f"x,{P}\nx\n", "line 2: expected a puzzle in column 2; received 1 columns"),
        ("\n".join(SQUARE[:8]), "line 8: expected 9 lines of 9 symbols, a sudoku; received 8"),
        ("\n".join([*SQUARE[:4], "hello"]), "line 5: expected 9 lines .* from line 1 on"),
        (
            f'{{"puzzle": "{P}"}}\n{{"b": 1}}\n',
            "line 2: expected an object with the keys of the first",
        ),
        ('{"puzzle": \n', "line 1: not JSON"),
        ("sep=;\n", "line 1: expected a header"),
        ("Grid 01\n", "line 1: expected 9 lines of 9 symbols, a sudoku; received 0"),
    ],
)
def test_tables_that_are_refused(tmp_path, text, message):
    with pytest.raises(MdnnError, match=message) as error:
        open_puzzles(write(tmp_path, text))
    assert "\n" not in str(error.value)


def test_encodings(tmp_path):
    text = f"rätsel,lösung\n{P},{S}\n"
    for encoding in ("utf-16", "utf-16-le", "cp1252"):
        path = write(tmp_path, text, encoding=encoding)
        with pytest.raises(
            MdnnError, match=f"seems to be {encoding}: data.encoding = '{encoding}'"
        ):
            open_puzzles(path)
        assert len(open_puzzles(path, validation=0.0, encoding=encoding).validation.puzzles) == 1
    # bytes that are none, far after the beginning
    many = b"puzzle,solution\n" + f"{P},{S}\n".encode() * 1000 + b"\xff"
    (tmp_path / "a.csv").write_bytes(many)
    with pytest.raises(MdnnError, match="is not UTF-8 text: byte 0xff"):
        open_puzzles(str(tmp_path / "a.csv"))


@pytest.mark.parametrize("validation", [0.1, 0.0])
def test_memory_is_a_small_multiple_of_the_file(tmp_path, validation, monkeypatch):
    # what does not grow with the file is made small
    monkeypatch.setattr("mdnn.datasets.puzzles.puzzle_files.CHECKED", 100)
    monkeypatch.setattr("mdnn.datasets.puzzles.puzzle_files.TOGETHER", 256)
    monkeypatch.setattr("mdnn.datasets.puzzles.cases.CHUNK", 128)
    puzzles, solutions = Sudoku(4).draw(1, 0, 200, lambda x: np.ones(len(x), bool))
    rows = [
        "".join(map(str, p)) + "," + "".join(map(str, s)) + "\n"
        for p, s in zip(puzzles, solutions, strict=True)
    ]
    text = "puzzle,solution\n" + "".join(rows) * 40
    path = write(tmp_path, text)
    open_puzzles(write(tmp_path, "".join(rows), "b.csv"))
    tracemalloc.start()
    try:
        splits = open_puzzles(path, validation)
        assert tracemalloc.get_traced_memory()[1] < 5 * len(text)
    finally:
        tracemalloc.stop()
    assert len(splits.validation.puzzles) + (validation > 0) * len(splits.train.puzzles) == 8_000
