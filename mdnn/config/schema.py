"""Parses TOML tables into dataclasses, refusing unknown keys and values of wrong types.

A schema is a frozen dataclass. The annotation of a field is its type (`bool`, `int`, `float`,
`str`, `tuple[int, ...]`, `tuple[str, ...]`, another schema, or a tuple of schemas); its metadata
may hold `choices` (allowed values), `least` and `most` (inclusive limits). A schema with a class
method `from_table` and a method `to_lines` reads and writes its tables itself. A schema with a
class method `variants`, which returns a dict from words to schemas, is replaced by the variant that
the table's key `kind` names; one with a class method `registered` by the schema that it returns.
"""

import dataclasses
import functools
import re
import sys
import types
import typing

from mdnn.errors import MdnnError, did_you_mean
from mdnn.option_field import option as option

WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}
"""Names of the types of values, for errors."""


RENAMED = {
    "loss.step.place": "coordinate",
    "refeed.steps_by_length.per_asked": "per_unknown",
}
"""Keys with another name in earlier versions, and their names of today."""

# Python reads the annotations again at each call.
_types = functools.cache(typing.get_type_hints)


def parse(schema, table, where=""):
    """Builds an instance of a schema from a TOML table.

    Args:
        schema: a frozen dataclass.
        table: dict, as returned by `tomllib`.
        where: dotted name of the table, for errors.

    Raises:
        MdnnError: a key is unknown (the message suggests the nearest one) or missing, or a value
            has the wrong type or is out of range. The message names the key.
    """
    if not isinstance(table, dict):
        raise MdnnError(f"{where}: expected a table, received {table!r}")
    if hasattr(schema, "from_table"):
        return schema.from_table(table, where)
    note, schema = "", _registered(schema)
    if hasattr(schema, "variants"):
        schema = _variant(schema, table, where)
        note = f" of kind = {schema.kind!r}"
    fields = {field.name: field for field in dataclasses.fields(schema)}
    kinds = _types(schema)
    values = {}
    for key, value in table.items():
        name = f"{where}.{key}" if where else key
        if key not in fields:
            hint = did_you_mean(RENAMED.get(name, key), fields)
            raise MdnnError(f"unknown key {name!r}{note}{hint}")
        values[key] = _value(kinds[key], value, name, fields[key].metadata)
    for key, field in fields.items():
        if (
            key not in values
            and field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        ):
            raise MdnnError(f"missing key {f'{where}.{key}' if where else key!r}")
    return schema(**values)


def with_new_names(table):
    """Returns the table of a network that an earlier version wrote, with the keys of today.

    Args:
        table: dict, as returned by `tomllib`; changed in place.
    """
    for name, new in RENAMED.items():
        *path, old = name.split(".")
        inner = table
        for word in path:
            inner = inner.get(word) if isinstance(inner, dict) else None
        if isinstance(inner, dict) and old in inner and new not in inner:
            inner[new] = inner.pop(old)
    return table


@functools.cache
def with_keys(schema, names):
    """Returns a schema with further keys, each like its first one.

    Args:
        schema: a frozen dataclass whose keys are all of one kind.
        names: tuple of strings; those that are keys already add nothing.
    """
    known = {field.name for field in dataclasses.fields(schema)}
    first = dataclasses.fields(schema)[0]
    fields = [
        (name, first.type, dataclasses.field(default=first.default, metadata=first.metadata))
        for name in names
        if name not in known
    ]
    return dataclasses.make_dataclass(schema.__name__, fields, bases=(schema,), frozen=True)


def _registered(schema):
    """Returns a schema with the keys that registered modalities bring."""
    return schema.registered() if hasattr(schema, "registered") else schema


def _variant(schema, table, where):
    """Returns the variant that the key `kind` of a table names, or the default variant."""
    known = schema.variants()
    name = f"{where}.kind" if where else "kind"
    return known[_scalar(str, table.get("kind", schema.default), name, {"choices": tuple(known)})]


def _value(kind, value, name, limits):
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        # `X | None`: TOML has no null, so that a value present is an X.
        kinds = [kind for kind in inner if kind is not type(None)]
        if len(kinds) == 1:
            return _value(kinds[0], value, name, limits)
        if isinstance(value, bool) or not isinstance(value, tuple(kinds)):
            words = " or ".join(WORDS[kind] for kind in kinds)
            raise MdnnError(f"{name}: expected {words}, received {value!r}")
        return _scalar(next(k for k in kinds if isinstance(value, k)), value, name, limits)
    if dataclasses.is_dataclass(kind):
        return parse(kind, value, name)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise MdnnError(f"{name}: expected a list, received {value!r}")
        return tuple(_value(inner[0], v, f"{name}.{i}", limits) for i, v in enumerate(value))
    return _scalar(kind, value, name, limits)


def _scalar(kind, value, name, limits):
    right = isinstance(value, (int, float)) if kind is float else isinstance(value, kind)
    if not right or (isinstance(value, bool) and kind is not bool):
        raise MdnnError(f"{name}: expected {WORDS[kind]}, received {value!r}")
    if kind is float and not abs(value) <= sys.float_info.max:
        raise MdnnError(f"{name}: expected a finite number, received {value}")
    # Bytes of the command line that are not UTF-8 arrive as unpaired surrogates.
    if kind is str and re.search("[\ud800-\udfff]", value):
        raise MdnnError(f"{name}: expected a string of Unicode characters, received {value!r}")
    value = kind(value)
    if (choices := limits.get("choices")) and value not in choices:
        raise MdnnError(
            f"{name}: expected one of {', '.join(choices)}; received {value!r}"
            f"{did_you_mean(value, choices)}"
        )
    least, most = limits.get("least"), limits.get("most")
    if (least is not None and value < least) or (most is not None and value > most):
        span = f"at least {least}" if most is None else f"between {least} and {most}"
        raise MdnnError(f"{name}: expected {span}, received {value}")
    return value


def type_at(schema, path):
    """Returns the type of the value at a dotted key.

    Args:
        schema: a frozen dataclass.
        path: list of strings, the parts of the key; indices of lists are decimal numbers.

    Returns:
        A type such as `str` or `tuple[int, ...]`; `None` for an unknown key, or one whose value
        may have several types.
    """
    found = schema
    for word in path:
        if typing.get_origin(found) is tuple and word.isdecimal():
            found = typing.get_args(found)[0]
        elif hasattr(found, "variants"):
            hints = [_types(kind) for kind in found.variants().values()]
            found = next((own[word] for own in hints if word in own), None)
        elif dataclasses.is_dataclass(found):
            found = _key_types(_registered(found)).get(word)
        else:
            return None
        if typing.get_origin(found) in (typing.Union, types.UnionType):
            kinds = [kind for kind in typing.get_args(found) if kind is not type(None)]
            found = kinds[0] if len(kinds) == 1 else None
    return found


def _key_types(schema):
    """Returns a dict from the keys of a schema, or of all of its variants, to their types."""
    variants = schema.variants().values() if hasattr(schema, "variants") else ()
    types_of = {}
    for one in (*variants, schema):
        types_of |= _types(one)
    return types_of


def without_other_words(schema, table, kind):
    """Returns a table without the keys that only other kinds have.

    Args:
        schema: a schema; without `variants` the table is returned unchanged.
        table: dict.
        kind: str, the new value of the table's key `kind`.
    """
    if not hasattr(schema, "variants") or kind not in schema.variants():
        return table
    names = {field.name for field in dataclasses.fields(schema.variants()[kind])}
    others = {f.name for one in schema.variants().values() for f in dataclasses.fields(one)}
    return {key: value for key, value in table.items() if key not in others - names}


def dump(instance):
    """Returns an instance of a schema as TOML text, the inverse of `parse`."""
    lines = []
    _dump(instance, "", lines)
    return "\n".join(lines) + "\n"


def _dump(instance, where, lines):
    if hasattr(instance, "to_lines"):
        lines += instance.to_lines()
        return
    tables = []
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        name = f"{where}.{field.name}" if where else field.name
        # An empty list of tables could not be added to: `[[...]]` after `name = []` is not TOML.
        if value is None or (value == () and _is_list_of_tables(instance, field)):
            continue
        if dataclasses.is_dataclass(value):
            tables.append((f"[{name}]", value, name))
        elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            tables += [(f"[[{name}]]", item, name) for item in value]
        else:
            lines.append(f"{field.name} = {toml_literal(value)}")
    for head, value, name in tables:
        lines += ["", head]
        _dump(value, name, lines)


def _is_list_of_tables(instance, field):
    kind = _types(type(instance))[field.name]
    inner = typing.get_args(kind)
    return typing.get_origin(kind) is tuple and dataclasses.is_dataclass(inner[0])


def toml_literal(value):
    """Returns a value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return (
            '"'
            + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped)
            + '"'
        )
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml_literal, value)) + "]"
    return repr(value)
