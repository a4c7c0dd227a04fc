"""Searches a folder of one's own files: texts, Markdown, code."""

import os
import pathlib
import re
import stat
import sys
import threading

from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.tools.tool import LocalTool, ToolError

MAX_FILES = 20_000
"""Files of a folder."""

MAX_FILE = 2_000_000
"""Bytes of a file; larger ones are left out."""

CHUNK_LINES = 20
"""Lines that are found and shown together."""

MAX_RESULTS = 20
"""Places that one search shows."""


def _database():
    """Returns an empty database in memory with the table of chunks.

    TensorFlow holds a copy of SQLite without FTS5, to which a `sqlite3` that is imported after it
    would be bound: on Linux RTLD_DEEPBIND binds it to its own library.

    Raises:
        MdnnError: `sqlite3` is missing, or was imported after TensorFlow by somebody else.
    """
    flags = sys.getdlopenflags() if hasattr(sys, "getdlopenflags") else None
    if flags is not None and "sqlite3" not in sys.modules:
        sys.setdlopenflags(flags | getattr(os, "RTLD_DEEPBIND", 0))
    try:
        import sqlite3
    except ImportError:
        raise MdnnError("searching a folder needs sqlite3, which this Python leaves out") from None
    finally:
        if flags is not None:
            sys.setdlopenflags(flags)
    database = sqlite3.connect(":memory:", check_same_thread=False)
    try:
        database.execute(
            "CREATE VIRTUAL TABLE chunks USING fts5(text, name UNINDEXED, line UNINDEXED, "
            "tokenize = 'unicode61 remove_diacritics 2')"
        )
    except sqlite3.OperationalError as error:
        database.close()
        raise MdnnError(
            f"searching a folder needs SQLite's FTS5: {error}; if TensorFlow was imported before "
            "sqlite3, import sqlite3 first"
        ) from None
    return database


class FolderIndex:
    """The files of a folder in memory, searched by SQLite's FTS5.

    Hidden files and folders, large files and files that are not UTF-8 are left out. Links that lead
    out of the folder are not followed.

    Args:
        folder: str or path.

    Attributes:
        names: list of str, relative paths of the files.
        left_out: int, files that are too large or no UTF-8.

    Raises:
        MdnnError: no folder, one without texts, or with too many files.
    """

    def __init__(self, folder):
        self.folder = as_path(folder, "folder").resolve()
        if not self.folder.is_dir():
            raise MdnnError(f"expected a folder to search, there is none at {str(folder)!r}")
        self.lock, self.left_out = threading.Lock(), 0
        self.texts = {}
        for path in _paths(self.folder):
            name = path.relative_to(self.folder).as_posix()
            if len(self.texts) >= MAX_FILES:
                raise MdnnError(f"{str(folder)!r}: expected at most {MAX_FILES:,} files of text")
            text = self._read(path)
            if text is not None:
                self.texts[name] = text
        if not self.texts:
            raise MdnnError(f"no texts to search in {str(folder)!r}")
        self.names = sorted(self.texts)
        self.database = _database()
        for name, text in self.texts.items():
            self._add(name, text)

    def _read(self, path):
        try:
            status = path.stat()
            inside = path.resolve().is_relative_to(self.folder)
            if inside and stat.S_ISREG(status.st_mode) and status.st_size <= MAX_FILE:
                text = path.read_text(encoding="utf-8")
                # Programs and pictures rarely are UTF-8, and hold zeros where they are.
                if "\0" not in text:
                    return text
        except (OSError, UnicodeDecodeError):
            pass
        self.left_out += 1
        return None

    def _add(self, name, text):
        lines = text.split("\n")
        rows = [
            ("\n".join(lines[start : start + CHUNK_LINES]), name, start + 1)
            for start in range(0, len(lines), CHUNK_LINES)
        ]
        self.database.executemany("INSERT INTO chunks VALUES (?, ?, ?)", rows)

    def search(self, query, count):
        """Returns the best places for some words.

        Args:
            query: str; its words are searched for, all of them first, then any.
            count: int.

        Returns:
            List of `(name, line, text)`.
        """
        # As quoted texts: nothing of the query is an operator of FTS5.
        words = [f'"{word}"' for word in re.findall(r"\w+", query)]
        if not words:
            return []
        statement = "SELECT name, line, text FROM chunks WHERE chunks MATCH ? ORDER BY rank LIMIT ?"
        places = {}
        with self.lock:
            for joint in (" AND ", " OR "):
                for name, line, text in self.database.execute(
                    statement, (joint.join(words[:50]), count)
                ):
                    places.setdefault((name, int(line)), text)
                if len(places) >= count:
                    break
        return [(name, line, text) for (name, line), text in list(places.items())[:count]]


def _paths(folder):
    """Yields the paths of a folder's files in order, without hidden ones."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield pathlib.Path(root) / name


class SearchFiles(LocalTool):
    """Finds places in the files of a folder.

    Args:
        index: `FolderIndex`.
    """

    name = "search_files"
    description = "finds places in the person's files by words"
    parameters = {"query": {"type": "string"}, "count": {"type": "integer"}}  # noqa: RUF012
    required = ("query",)
    untrusted = True
    harmless = True

    def __init__(self, index):
        self.index = index

    def run(self, query, count=5):
        """Returns places, each with its file and line."""
        places = self.index.search(query, max(1, min(count, MAX_RESULTS)))
        if not places:
            return f"Nothing in {len(self.index.names):,} files."
        return "\n\n".join(f"{name}, line {line}:\n{text.strip()}" for name, line, text in places)

    def close(self):
        self.index.database.close()


class ReadFile(LocalTool):
    """Shows lines of a file of a folder.

    Args:
        index: `FolderIndex`.
    """

    name = "read_file"
    description = "shows lines of one of the person's files"
    parameters = {  # noqa: RUF012
        "name": {"type": "string"},
        "line": {"type": "integer"},
        "count": {"type": "integer"},
    }
    required = ("name",)
    untrusted = True
    harmless = True

    def __init__(self, index):
        self.index = index

    def run(self, name, line=1, count=100):
        """Returns lines of a file with their numbers.

        Args:
            name: str, the file's path in the folder.
            line: int, first line, from 1.
            count: int, number of lines, at most 1000.

        Raises:
            ToolError: there is no such file.
        """
        if name not in self.index.texts:
            raise ToolError(f"no file {name[:200]!r}; search_files shows names")
        lines = self.index.texts[name].split("\n")
        start = max(1, line) - 1
        shown = lines[start : start + max(1, min(count, 1000))]
        numbered = [f"{start + k + 1}: {text}" for k, text in enumerate(shown)]
        return "\n".join(numbered) or f"{name} has {len(lines)} lines."
