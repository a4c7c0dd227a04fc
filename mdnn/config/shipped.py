"""The configs that come with mdnn: found by name, listed with their heads."""

import re
from pathlib import Path

from mdnn.errors import MdnnError, did_you_mean
from mdnn.file_systems import as_path

PACKAGE = Path(__file__).parent.parent
HEAD = ("command", "time", "expected")
"""Words of a config's head, each followed by a colon."""


def shipped_configs():
    """Returns the configs that come with mdnn, a dict from names such as `"text"` to paths."""
    folder = PACKAGE / "configs"
    # In a clone these are links, which git makes on Windows for those who may make some only.
    clone = PACKAGE.parent / "setup.cfg", PACKAGE.parent / "configs" / "text.toml"
    if all(path.is_file() for path in clone):
        folder = PACKAGE.parent / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_config(path):
    """Returns the path of a config file, or of the shipped config of that name.

    Args:
        path: a file; or the name of a shipped config: `text`, `text.toml` or `configs/text.toml`.

    Raises:
        MdnnError: no such file and no such name.
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
    """Returns what the comment at the start of a config says.

    Returns:
        dict: `about`, a text; and `command`, `time` and `expected`, those that are there.
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
