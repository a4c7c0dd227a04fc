"""Finds the configs shipped with mdnn and reads their header comments."""

import re
from pathlib import Path

from mdnn.errors import MdnnError, did_you_mean
from mdnn.file_systems import as_path

PACKAGE = Path(__file__).parent.parent
HEAD = ("command", "time", "expected")
"""Keys of a config's header comment, each followed by a colon."""


def shipped_configs():
    """Returns the configs shipped with mdnn, a dict from names such as `"text"` to paths."""
    folder = PACKAGE / "configs"
    # In a clone these files are symbolic links, which git on Windows may lack the permission to
    # create: read the linked folder instead.
    clone = PACKAGE.parent / "setup.cfg", PACKAGE.parent / "configs" / "text.toml"
    if all(path.is_file() for path in clone):
        folder = PACKAGE.parent / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_config(path):
    """Returns the path of a config file, or of the shipped config of that name.

    Args:
        path: a file, or the name of a shipped config: `text`, `text.toml` or `configs/text.toml`.

    Raises:
        MdnnError: neither a file nor a shipped config has this name.
    """
    path = as_path(path, "config")
    if path.is_file():
        return path
    shipped = shipped_configs()
    name = path.name.removesuffix(".toml")
    if name in shipped and path.parent in (Path(), Path("configs")):
        return shipped[name]
    if path.is_dir():
        raise MdnnError(f"{path} is a folder, expected a config file (.toml)")
    if path.exists():
        return path
    hint = ""
    if path.parent == Path():
        hint = f"{did_you_mean(name, shipped)}; mdnn configs lists those that come with mdnn"
    raise MdnnError(f"no config file at {path}{hint}")


def config_head(path):
    """Parses the comment at the start of a config.

    Returns:
        dict of strings: `about`, and those of `command`, `time` and `expected` that are present.
    """
    lines = []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    head, key = {"about": ""}, "about"
    for line in lines:
        if found := re.fullmatch(rf"({'|'.join(HEAD)}): *(.*)", line):
            key, line = found.groups()
        head[key] = f"{head.get(key, '')} {line}".strip()
    return head
