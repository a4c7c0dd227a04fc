"""JSON schemas as expressions: the JSON texts that they allow."""

import json

from mdnn.constraints.expressions import (
    EMPTY,
    NOTHING,
    Repeat,
    choice,
    is_nothing,
    literal_expression,
    sequence,
)
from mdnn.constraints.json_texts import (
    CHARACTER,
    COLON,
    COMMA,
    FORMATS,
    STRING,
    escaped,
    json_literal,
    listed,
    members_expression,
)
from mdnn.constraints.number_ranges import INTEGER, NUMBER, integers
from mdnn.constraints.regular_expressions import parse_regex
from mdnn.constraints.schema_references import (
    ANNOTATIONS,
    checked_count,
    checked_list,
    merged_schemas,
    referred,
)
from mdnn.errors import MdnnError, did_you_mean, shown

MAX_DEPTH = 4
"""Levels of objects and arrays where a schema allows any value or refers to itself."""

MAX_SCHEMAS = 10_000
"""Largest number of schemas inside a schema, references resolved each time."""

_KEYWORDS = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("pattern", "minLength", "maxLength", "format"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    "number": (),
    "boolean": (),
    "null": (),
}
_ANYWHERE = ("type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref")
KEYWORDS = (*_ANYWHERE, *(word for words in _KEYWORDS.values() for word in words))
"""Keywords of JSON schemas that are supported; others but annotations are refused by name."""


def schema_expression(schema, where="schema"):
    """Returns the expression of the JSON texts that a schema allows.

    Properties come in the order of the schema, and none but those that it names where it names
    any. A comma and a colon may be followed by one space; there is no other space. Where any value
    is allowed, or a schema refers to itself, there are at most `MAX_DEPTH` levels of objects and
    arrays. Numbers have at most 18 digits on either side of the point. The texts are those of valid
    values, but not all of these.

    Args:
        schema: dict or bool, a JSON schema (draft 2020-12 or 7).
        where: str, its name in errors.

    Raises:
        MdnnError: a keyword or a combination that is not supported, no schema, or one that no
            value satisfies.
    """
    try:
        expression = _SchemaReader(schema, where).value(schema, where, {})
    except RecursionError:
        raise MdnnError(f"{where}: it is nested too deeply") from None
    if is_nothing(expression):
        raise MdnnError(f"{where} cannot be met: no value satisfies it")
    return expression


class _SchemaReader:
    """Reads a schema and the schemas that it refers to.

    Args:
        root: the whole schema.
        where: str, its name in errors.
    """

    def __init__(self, root, where):
        self.root, self.where, self.count, self.any_values = root, where, 0, {}

    def value(self, schema, where, depths):
        """Returns the expression of a schema's values.

        Args:
            schema: dict or bool.
            where: str, the place of the schema, for errors.
            depths: dict from references to the number of times that they were followed so far.
        """
        self.count += 1
        if self.count > MAX_SCHEMAS:
            raise MdnnError(f"{self.where}: expected at most {MAX_SCHEMAS:,} schemas inside")
        if schema is True:
            return self.any_value()
        if schema is False:
            return NOTHING
        if not isinstance(schema, dict):
            raise MdnnError(f"{where}: expected a schema, received {shown(schema)}")
        for key in schema:
            if key not in KEYWORDS and key not in ANNOTATIONS:
                raise MdnnError(
                    f"{where}: the keyword {key[:40]!r} is not supported"
                    f"{did_you_mean(key, KEYWORDS)}"
                )
        if "$ref" in schema:
            return self._reference(schema, where, depths)
        for key in ("anyOf", "oneOf"):
            if key in schema:
                rest = {k: v for k, v in schema.items() if k != key and k not in ANNOTATIONS}
                return self._any_of(schema[key], rest, f"{where}.{key}", depths)
        if "allOf" in schema:
            rest = {k: v for k, v in schema.items() if k != "allOf"}
            return self.value(
                merged_schemas(self.root, rest, schema["allOf"], where), where, depths
            )
        if "const" in schema:
            return json_literal(schema["const"], f"{where}.const")
        if "enum" in schema:
            values = checked_list(schema["enum"], f"{where}.enum")
            return choice(*(json_literal(value, f"{where}.enum") for value in values))
        return self._typed(schema, where, depths)

    def _typed(self, schema, where, depths):
        """Returns the expression of a schema without enumerations and combinations."""
        kinds = schema.get("type")
        if kinds is None:
            used = [k for k, words in _KEYWORDS.items() if any(word in schema for word in words)]
            if not used:
                return self.any_value()
            kinds = used
        kinds = [kinds] if isinstance(kinds, str) else checked_list(kinds, f"{where}.type")
        if schema.get("nullable") is True:
            kinds = [*kinds, "null"]
        for kind in kinds:
            if kind not in _KEYWORDS:
                raise MdnnError(
                    f"{where}.type: unknown type {shown(kind)}{did_you_mean(kind, _KEYWORDS)}"
                )
        if "number" in kinds and any(word in schema for word in _KEYWORDS["integer"]):
            raise MdnnError(
                f"{where}: limits of a 'number' are not supported; those of an 'integer' are"
            )
        return choice(*(self._of_kind(kind, schema, where, depths) for kind in kinds))

    def _of_kind(self, kind, schema, where, depths):
        if kind == "object":
            return self._object(schema, where, depths)
        if kind == "array":
            return self._array(schema, where, depths)
        if kind == "string":
            return self._string(schema, where)
        if kind == "integer":
            return self._integer(schema, where)
        return {
            "number": NUMBER,
            "boolean": choice("true", "false"),
            "null": literal_expression("null"),
        }[kind]

    def any_value(self, depth=MAX_DEPTH):
        """Returns the expression of any value with at most `depth` levels."""
        if depth not in self.any_values:
            simple = [
                STRING,
                NUMBER,
                literal_expression("true"),
                literal_expression("false"),
                literal_expression("null"),
            ]
            if depth:
                value = self.any_value(depth - 1)
                member = sequence(STRING, COLON, value)
                simple += [listed("{", member, "}"), listed("[", value, "]")]
            self.any_values[depth] = choice(*simple)
        return self.any_values[depth]

    def _reference(self, schema, where, depths):
        name = schema["$ref"]
        rest = {k: v for k, v in schema.items() if k != "$ref" and k not in ANNOTATIONS}
        if rest:
            raise MdnnError(f"{where}: keywords together with $ref are not supported")
        target = referred(self.root, name, where)
        depth = depths.get(name, 0)
        if depth > MAX_DEPTH:
            return NOTHING
        return self.value(target, name, {**depths, name: depth + 1})

    def _any_of(self, schemas, rest, where, depths):
        schemas = checked_list(schemas, where)
        options = []
        for number, schema in enumerate(schemas):
            place = f"{where}[{number}]"
            if rest:
                schema = merged_schemas(self.root, rest, [schema], place)
            options.append(self.value(schema, place, depths))
        return choice(*options)

    def _object(self, schema, where, depths):
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        more = schema.get("additionalProperties", True)
        if not isinstance(properties, dict):
            raise MdnnError(f"{where}.properties: expected an object")
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            raise MdnnError(f"{where}.required: expected a list of names")
        for name in required:
            properties = properties if name in properties else {**properties, name: more}
        if not properties:
            if more is False:
                return literal_expression("{}")
            value = (
                self.any_value()
                if more is True
                else self.value(more, f"{where}.additionalProperties", depths)
            )
            return listed("{", sequence(STRING, COLON, value), "}")
        members = []
        for name, inner in properties.items():
            value = self.value(inner, f"{where}.properties.{name}", depths)
            key = literal_expression(json.dumps(name, ensure_ascii=False))
            members.append((sequence(key, COLON, value), name in required))
        return sequence("{", members_expression(members), "}")

    def _array(self, schema, where, depths):
        least = checked_count(schema, "minItems", where, 0)
        most = checked_count(schema, "maxItems", where, None)
        items = schema.get("items", True)
        first = [
            self.value(inner, f"{where}.prefixItems[{number}]", depths)
            for number, inner in enumerate(
                checked_list(schema.get("prefixItems", []), where, empty=True)
            )
        ]
        rest = self.value(items, f"{where}.items", depths)
        if most is not None and most < least:
            return NOTHING
        if not first:
            return listed("[", rest, "]", least, most)
        if most is not None and most < len(first):
            raise MdnnError(f"{where}.maxItems: expected at least the {len(first)} prefixItems")
        more = sequence(COMMA, rest)
        count = None if most is None else most - len(first)
        tail = EMPTY if is_nothing(rest) else Repeat(more, max(0, least - len(first)), count)
        start = [item for value in first for item in (COMMA, value)][1:]
        return sequence("[", *start, tail, "]")

    def _string(self, schema, where):
        least = checked_count(schema, "minLength", where, 0)
        most = checked_count(schema, "maxLength", where, None)
        pattern = schema.get("pattern")
        if pattern is None and schema.get("format") in FORMATS:
            pattern = f"^{FORMATS[schema['format']]}$"
        if pattern is not None:
            if least or most is not None:
                raise MdnnError(
                    f"{where}: lengths together with a pattern or format are not supported"
                )
            inside = escaped(parse_regex(pattern, f"{where}.pattern", search=True))
            return sequence('"', inside, '"')
        if most is not None and most < least:
            return NOTHING
        return sequence('"', Repeat(CHARACTER, least, most), '"')

    def _integer(self, schema, where):
        limits = {}
        for word, step in zip(_KEYWORDS["integer"], (0, 0, 1, -1), strict=True):
            value = schema.get(word)
            if value is None:
                continue
            if (
                isinstance(value, bool)
                or not isinstance(value, (int, float))
                or value != int(value)
            ):
                raise MdnnError(f"{where}.{word}: expected a whole number, received {shown(value)}")
            side, value = word[-7:].lower(), int(value) + step
            pick = max if side == "minimum" else min
            limits[side] = value if side not in limits else pick(limits[side], value)
        if not limits:
            return INTEGER
        return integers(limits.get("minimum"), limits.get("maximum"))
