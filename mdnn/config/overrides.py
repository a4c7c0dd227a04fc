"""Changes single keys of a config's table, as `--set KEY=VALUE` does."""

import tomllib

from mdnn.config.schema import type_at, without_other_words
from mdnn.config.task_tables import schema_for
from mdnn.errors import MdnnError


def _value(text, kind):
    """Parses the value of an override for a key of a given type.

    For a string key the text is taken literally, including spaces, unless it is a quoted TOML
    string. For other keys it is parsed as TOML; text that is not TOML is returned as a string,
    which the schema then refuses.
    """
    quoted = text.strip().startswith(('"', "'"))
    if kind is str and not quoted:
        return text
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text if kind is str else text.strip()
    if set(table) != {"value"} or (kind is str and not isinstance(table["value"], str)):
        return text
    return table["value"]


def set_key(schema, table, text):
    """Sets one key of a config's table.

    Args:
        schema: the dataclass of the whole table.
        table: dict of tables and lists, changed in place.
        text: str `KEY=VALUE`.

    Raises:
        MdnnError: no `KEY=VALUE`, or a key below a value.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise MdnnError(f"expected KEY=VALUE, received {text!r}")
    schema = schema_for(schema, table)
    *path, last = key.strip().split(".")
    value = _value(value, type_at(schema, [*path, last]))
    place = table
    for part in path:
        if isinstance(place, list):
            if not part.isdecimal() or int(part) >= len(place):
                raise MdnnError(f"{key}: expected a number below {len(place)}, received {part!r}")
            place = place[int(part)]
        elif isinstance(place, dict):
            place = place.setdefault(part, {})
        else:
            raise MdnnError(f"{key}: expected a table above {part!r}, received a value")
    if isinstance(place, list):
        if not last.isdecimal() or int(last) >= len(place):
            raise MdnnError(f"{key}: expected a number below {len(place)}, received {last!r}")
        place[int(last)] = value
    elif isinstance(place, dict):
        # Minutes and steps exclude each other: the later override wins.
        if path == ["train"] and last in ("minutes", "steps"):
            place.pop("steps" if last == "minutes" else "minutes", None)
        if last == "kind":
            kept = without_other_words(type_at(schema, path), place, value)
            for word in set(place) - set(kept):
                del place[word]
        place[last] = value
    else:
        raise MdnnError(f"{key}: expected a table above {last!r}, received a value")
