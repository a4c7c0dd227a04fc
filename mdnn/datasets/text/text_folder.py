"""Reads the texts of a folder and reports skipped files in one line."""

import errno
import os
import pathlib
import stat
import sys

from mdnn.datasets.media.suffixes import PICTURES, SOUNDS
from mdnn.encoding_guess import is_binary
from mdnn.errors import MdnnError

# Names of each kind of what is left out that a line tells.
_NAMED = 3

# Bytes of a file that tell whether it is a text.
_BEGINNING = 1 << 16


class LeftOut:
    """Collects the skipped files of a folder and reports them in one line.

    Example:

    >>> left_out = LeftOut()
    >>> left_out.add("hidden", ".git")
    >>> left_out.say("texts")  # on standard error: texts: left out: 1 hidden (.git)
    """

    def __init__(self):
        self._names = {}

    def add(self, kind, name):
        """Notes a name of a kind, such as "empty"."""
        self._names.setdefault(kind, []).append(str(name))

    def line(self):
        """Returns a description of the skipped files, empty if there are none."""
        parts = []
        for kind, names in self._names.items():
            shown = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
            parts.append(f"{len(names):,} {kind} ({shown})")
        line = "; ".join(parts)
        return line if line.isprintable() else ascii(line)[1:-1]

    def say(self, name):
        """Prints the description on standard error, if files were skipped."""
        if self._names:
            print(f"{name}: left out: {self.line()}", file=sys.stderr)


def text_paths(folder, left_out, manifest):
    """Returns the paths of a folder's text files, in the order of the relative paths.

    Links are followed as long as they stay within the folder. Left out are hidden files and
    folders (their names begin with "."), links to a folder that holds them, pipes and devices,
    empty files and files that are not text; these are reported to `left_out`.

    Args:
        folder: path.
        left_out: `LeftOut`.
        manifest: str, the name of the file that makes a folder a source of items.

    Returns:
        List of paths.

    Raises:
        MdnnError: a folder or file cannot be read, a link leads out of the folder, there is a
            manifest, or there are pictures or sounds.
    """
    paths = []
    try:
        _walk(folder, folder, os.path.realpath(folder), (), paths, left_out)
    except RecursionError:
        raise MdnnError(f"{str(folder)!r}: its folders are nested too deeply") from None
    paths.sort(key=lambda path: path.relative_to(folder).as_posix())
    if folder / manifest in paths:
        raise MdnnError(
            f"the folder {str(folder)!r} has a {manifest}: it is a source of items "
            "(layout = 'items'), expected texts"
        )
    for path in paths:
        if path.suffix.lower() in (*PICTURES, *SOUNDS):
            raise MdnnError(
                f"{str(path)!r} is not text: a folder of pictures and sounds needs a {manifest} "
                "that says what belongs together (layout = 'items')"
            )
    return [path for path in paths if _is_text(path, folder, left_out)]


def _walk(folder, root, inside, above, paths, left_out):
    """Appends the paths of all files below a folder.

    Args:
        folder: path of the folder.
        root: path of the source, to which names of what is left out are relative.
        inside: str, the source without links.
        above: tuple of (device, inode) of the folders on the way.
        paths: list that is appended to.
        left_out: `LeftOut`.
    """
    try:
        status = os.stat(folder)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        where = error.filename or folder
        raise MdnnError(f"cannot read {str(where)!r}: {error.strerror}") from None
    above = (*above, (status.st_dev, status.st_ino))
    for entry in entries:
        path = pathlib.Path(folder, entry.name)
        name = path.relative_to(root).as_posix()
        if entry.name.startswith("."):
            left_out.add("hidden", name)
            continue
        try:
            # Folders from elsewhere may hold a link to what nobody meant to hand over.
            if entry.is_symlink() and not _within(os.path.realpath(path), inside):
                raise MdnnError(
                    f"{str(path)!r} is a link that leads out of the folder {str(root)!r}: copy "
                    "its target there"
                )
            status = os.stat(path)
        except OSError as error:
            # Links to nothing, and to each other without end.
            if error.errno in (errno.ENOENT, errno.ELOOP):
                left_out.add("broken links", name)
                continue
            raise MdnnError(f"cannot read {str(path)!r}: {error.strerror}") from None
        if stat.S_ISREG(status.st_mode):
            paths.append(path)
        elif not stat.S_ISDIR(status.st_mode):
            left_out.add("pipes and devices", name)
        elif (status.st_dev, status.st_ino) in above:
            left_out.add("links to a folder around them", name)
        else:
            _walk(path, root, inside, above, paths, left_out)


def _within(path, folder):
    """Returns whether a path lies in a folder; both without links."""
    try:
        return os.path.commonpath((folder, path)) == folder
    except ValueError:  # another drive
        return False


def _is_text(path, folder, left_out):
    """Returns whether a file is to be read: it is not empty and seems to be a text."""
    try:
        with open(path, "rb") as file:
            beginning = file.read(_BEGINNING)
    except OSError as error:
        raise MdnnError(f"cannot read {str(path)!r}: {error.strerror}") from None
    kind = None
    if not beginning:
        kind = "empty"
    elif is_binary(beginning):
        kind = "no text"
    if kind:
        left_out.add(kind, path.relative_to(folder).as_posix())
    return kind is None
