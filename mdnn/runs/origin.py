"""Records in a run folder which run its weights came from."""

import json
from pathlib import Path

from mdnn.errors import MdnnError
from mdnn.files import write_text
from mdnn.strict_json import read_json

ORIGIN = "origin.json"
"""Name of the file of a run folder that says what it was started, grown or cut from."""

_KINDS = {"how": str, "run": str, "step": (int, type(None)), "optimizer": bool, "changes": list}


def write_origin(folder, how, run, step=None, optimizer=False, changes=()):
    """Writes the origin of a run's weights.

    Args:
        folder: the run folder.
        how: `"started"`: new training with the other run's weights; `"grown"`, `"shrunk"`: see
            `mdnn.grow` and `mdnn.shrink`; `"merged"`: with an identity.
        run: the other run's path, or words for a network without one.
        step: int, step of the other run's newest checkpoint; `None` if it has none.
        optimizer: bool, whether the optimizer's state came along.
        changes: list of `KEY=VALUE`, the config keys that growing or shrinking changed.
    """
    table = {"how": how, "run": str(run), "step": step, "optimizer": optimizer}
    write_text(Path(folder) / ORIGIN, json.dumps(table | {"changes": list(changes)}) + "\n")


def read_origin(folder):
    """Reads what `write_origin` wrote.

    Returns:
        Dict of the arguments of `write_origin`; `None` for a run that began with new weights.

    Raises:
        MdnnError: the file is invalid.
    """
    path = Path(folder) / ORIGIN
    if not path.is_file():
        return None
    table = read_json(path)
    if (
        not isinstance(table, dict)
        or set(table) != set(_KINDS)
        or not all(isinstance(table[key], kind) for key, kind in _KINDS.items())
        or table["how"] not in ("started", "grown", "shrunk", "merged")
    ):
        raise MdnnError(f"{path}: expected {', '.join(_KINDS)}; delete it to go on")
    return table


def format_origin(table):
    """Formats an origin as one line."""
    at = "" if table["step"] is None else f" at step {table['step']:,}"
    state = ", optimizer state included" if table["optimizer"] else ""
    changes = f": {', '.join(table['changes'])}" if table["changes"] else ""
    return f"{table['how']} from {table['run']}{at}{state}{changes}"
