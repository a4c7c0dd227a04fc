"""Resolves references between JSON schemas, merges schemas under `allOf`, checks their values."""

from mdnn.errors import MdnnError, shown

ANNOTATIONS = frozenset(
    (
        *("title", "description", "default", "examples", "$schema", "$id", "$comment", "$defs"),
        *("definitions", "deprecated", "readOnly", "writeOnly", "nullable"),
    )
)
"""Keywords that do not change which values a schema allows."""


def referred(root, name, where):
    """Returns the schema that a reference names.

    Args:
        root: the whole schema.
        name: the value of `$ref`, `"#"` or `"#/..."` (a JSON pointer, RFC 6901).
        where: str, the place of the reference, for errors.

    Raises:
        MdnnError: no such reference, or nothing is at its place.
    """
    if not isinstance(name, str) or not (name == "#" or name.startswith("#/")):
        raise MdnnError(
            f"{where}.$ref: expected a place inside the schema such as #/$defs/name, received "
            f"{shown(name)}"
        )
    target = root
    for word in name.split("/")[1:]:
        word = word.replace("~1", "/").replace("~0", "~")
        if isinstance(target, list) and word.isdecimal() and int(word) < len(target):
            target = target[int(word)]
        elif isinstance(target, dict) and word in target:
            target = target[word]
        else:
            raise MdnnError(f"{where}.$ref: there is no {name[:80]!r} in the schema")
    return target


def merged_schemas(root, schema, others, where):
    """Merges schemas that a value must satisfy together (`allOf`) into one.

    Args:
        root: the whole schema.
        schema: dict, the first one.
        others: list of dicts, the schemas under `allOf`, references among them.
        where: str, the place of the first one, for errors.

    Raises:
        MdnnError: a schema is none, refers to nothing or to the whole, or two schemas contradict
            one another in a keyword.
    """
    schema = dict(schema)
    for other in checked_list(others, f"{where}.allOf"):
        if isinstance(other, dict) and set(other) - ANNOTATIONS == {"$ref"}:
            name = other["$ref"]
            other = referred(root, name, where)
            if other is root:
                raise MdnnError(f"{where}.$ref: there is no {shown(name)} in the schema")
        if not isinstance(other, dict):
            raise MdnnError(f"{where}.allOf: expected objects, received {shown(other)}")
        for key, value in other.items():
            if key == "properties" and key in schema:
                schema[key] = {**schema[key], **value}
            elif key == "required" and key in schema:
                schema[key] = list(dict.fromkeys([*schema[key], *value]))
            elif key in schema and key not in ANNOTATIONS and schema[key] != value:
                raise MdnnError(f"{where}: {key!r} with two values in schemas that apply together")
            else:
                schema[key] = value
    return schema


def checked_count(schema, key, where, default):
    """Returns the number under a key of a schema, 0 to 10,000, or the default.

    Args:
        schema: dict, the schema.
        key: str.
        where: str, the schema's place, for errors.
        default: the result without the key.

    Raises:
        MdnnError: another value.
    """
    value = schema.get(key, default)
    if value is not default and (
        isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 10_000
    ):
        raise MdnnError(f"{where}.{key}: expected 0 to 10,000, received {shown(value)}")
    return value


def checked_list(value, where, empty=False):
    """Returns a list of a schema; refuses other values, and an empty list without `empty`.

    Args:
        value: the value in the schema.
        where: str, its place, for errors.
        empty: bool, whether an empty list is accepted.

    Raises:
        MdnnError: another value.
    """
    if not isinstance(value, list) or not (value or empty):
        raise MdnnError(f"{where}: expected a list, received {shown(value)}")
    return value
