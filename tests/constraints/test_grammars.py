"""Automata against Python's `re` and `jsonschema`, on random texts of each grammar."""

import json
import random
import re

import pytest

from mdnn.chat.chat_layout import ChatFormat
from mdnn.chat.tool_specs import ToolSpec
from mdnn.constraints import automaton as automata
from mdnn.constraints.automaton import compile_expression
from mdnn.constraints.call_expressions import answer_expression
from mdnn.constraints.expressions import EMPTY, TextUntil, literal_expression
from mdnn.constraints.json_schemas import schema_expression
from mdnn.constraints.number_ranges import integers
from mdnn.constraints.regular_expressions import parse_regex
from mdnn.errors import MdnnError


def walk(automaton, draw, length=60):
    """A random text of a grammar; after `length` characters it goes straight to an end."""
    state, text = 0, []
    while True:
        moves = [
            (k, target) for k, target in enumerate(automaton.next_states[state]) if target >= 0
        ]
        if automaton.accepting[state] and (not moves or len(text) > length or draw.random() < 0.1):
            return "".join(text)
        if len(text) > length:
            near = min(automaton.distance[target] for _, target in moves)
            moves = [move for move in moves if automaton.distance[move[1]] == near]
        number, state = draw.choice(moves)
        places = [k for k, c in enumerate(automaton.interval_classes) if c == number]
        place = draw.choice(places)
        end = [*automaton.bounds, 0x110000][place + 1]
        # Of the many characters mostly the first ones.
        text.append(chr(min(automaton.bounds[place] + draw.randrange(90), end - 1)))


PATTERNS = [
    "",
    "a",
    "abc|ad|x",
    "[a-c]+[^a-c\\n]{2,3}",
    "a*b+c?d{2}e{2,}f{1,3}",
    "(ab|c)*d",
    "(?:ab?)+?(?P<n>x|[yz])",
    r"\d\w\s\D\W\S",
    r"\.\*\[\]\\\/\-",
    r"[\w.+-]+@[\w-]+\.(com|org)",
    r"[\]\-a\d]{3}",
    r"\x41\u00e9é.{2}",
    "a{,3}",
    "{}",
    r"(a|ab)(c|bcd)(d*)",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns(pattern):
    automaton, draw = compile_expression(parse_regex(pattern)), random.Random(1)
    # JavaScript's `{,3}` is a text.
    python = re.compile(pattern.replace("{,", "\\{,").replace("?P<n>", ""), re.ASCII)
    for _ in range(60):
        text = walk(automaton, draw, 12)
        assert automaton.matches(text)
        if not set(text) & set("\u2028\u2029\xa0\ufeff\r"):
            assert python.fullmatch(text), text
        # A changed text fits one as it fits the other.
        at = draw.randrange(len(text) + 1)
        for other in (
            text[:at] + draw.choice("abcdxyz1 @.é{") + text[at:],
            text[:at] + text[at + 1 :],
        ):
            if not set(other) & set("\u2028\u2029\xa0\ufeff\r"):
                assert automaton.matches(other) == bool(python.fullmatch(other)), other


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(a", r"expected '\)', at character 2"),
        ("a)", r"'\)' without '\('"),
        ("[a", "it is incomplete"),
        ("a\\", "it is incomplete"),
        ("*a", "nothing to repeat"),
        ("a**", "nothing to repeat"),
        ("[b-a]", "expected a range in order"),
        ("a{3,2}", "expected repetitions"),
        ("a{99999}", "expected repetitions"),
        ("(?=a)", "lookaround"),
        ("(?<!a)b", "lookaround"),
        (r"(a)\1", r"\\1 is not supported"),
        (r"a\b", r"\\b is not supported"),
        (r"\xg1", "expected 2 hexadecimal digits"),
        ("a^b", "'\\^' or '\\$' inside"),
        ("(" * 5000, "nested too deeply"),
        ("a" * 100_001, "at most 100,000 characters"),
        ("(((a{1000}){1000}){1000})", "too large"),
        ("[^\\s\\S]", "cannot be met"),
    ],
)
def test_bad_patterns(pattern, said, monkeypatch):
    monkeypatch.setattr(automata, "MAX_NODES", 20_000)
    with pytest.raises(MdnnError, match=said):
        compile_expression(parse_regex(pattern))


SCHEMAS = [
    True,
    {},
    {"type": "object"},
    {"type": ["string", "null"]},
    {"enum": ["a", 1, None, {"b": [1.5, "ü\n"]}]},
    {"const": "x"},
    {"type": "integer"},
    {"type": "number"},
    {"type": "boolean"},
    {"type": "integer", "minimum": -12, "maximum": 345},
    {"type": "integer", "exclusiveMinimum": 9, "exclusiveMaximum": 1001},
    {"type": "integer", "maximum": -7},
    {"type": "string", "minLength": 2, "maxLength": 5},
    {"type": "string", "pattern": '^[a-c"\\\\\\t]{1,4}$'},
    {"type": "string", "pattern": "b+"},
    *({"type": "string", "format": f} for f in ("date", "time", "date-time", "uuid", "ipv4")),
    {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 4},
    {"type": "array", "prefixItems": [{"const": 1}, {"const": "a"}], "items": False},
    {"type": "array", "prefixItems": [{"const": 1}], "items": {"const": 2}, "maxItems": 3},
    {"type": "array", "maxItems": 0},
    {
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            'b "c': {"type": "string", "maxLength": 3},
            "d": {"type": "array", "items": {"enum": [1, 2]}},
            "e": {"type": "object", "properties": {}, "additionalProperties": False},
        },
        "required": ['b "c', "e"],
        "additionalProperties": False,
    },
    {"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}}},
    {"type": "object", "additionalProperties": {"type": "boolean"}},
    {"type": "object", "required": ["x"]},
    {"anyOf": [{"type": "integer"}, {"type": "object", "properties": {"a": {"const": 1}}}]},
    {
        "type": "object",
        "properties": {"a": {}},
        "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
    },
    {
        "allOf": [
            {"properties": {"a": {"const": 1}}, "required": ["a"]},
            {"properties": {"b": {"const": 2}}, "required": ["b"]},
        ],
        "type": "object",
    },
    {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "value": {"type": "integer"},
                    "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                    "more": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                },
                "required": ["value", "next"],
            }
        },
        "$ref": "#/$defs/node",
    },
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=range(len(SCHEMAS)))
def test_schemas(schema):
    """Random texts of the grammar are valid values of the schema."""
    jsonschema = pytest.importorskip("jsonschema")
    kind = jsonschema.Draft202012Validator
    # Annotations beside $ref are keywords of the newest draft.
    validator = kind(schema, format_checker=kind.FORMAT_CHECKER)
    automaton, draw = compile_expression(schema_expression(schema)), random.Random(2)
    texts = [walk(automaton, draw) for _ in range(40)]
    for text in texts:
        value = json.loads(text)
        validator.validate(value)
        # Values survive: no surrogates, no infinities.
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    # What json.dumps writes of them fits where properties are in order.
    dumped = [json.dumps(json.loads(text), ensure_ascii=False) for text in texts]
    fitting = sum(map(automaton.matches, dumped))
    assert fitting >= len(texts) // 2


@pytest.mark.parametrize(
    ("least", "most"), [(0, 0), (-5, 5), (7, 7), (13, 4107), (-120, -9), (98, 101)]
)
def test_whole_numbers(least, most):
    automaton = compile_expression(integers(least, most))
    for number in range(least - 30, most + 30):
        assert automaton.matches(str(number)) == (least <= number <= most)
    for text in ("", "-", "-0", "00", "01", "1.0", f"0{most}"):
        assert not automaton.matches(text)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "object", "patternProperties": {}}, "'patternProperties' is not supported"),
        ({"not": {}}, "schema: the keyword 'not' is not supported"),
        ({"propertes": {}}, r"'propertes' is not supported \(did you mean 'properties'"),
        ({"type": "strin"}, r"schema.type: unknown type 'strin' \(did you mean 'string'"),
        ({"type": "number", "minimum": 1}, "limits of a 'number' are not supported"),
        ({"type": "integer", "minimum": 1.5}, "schema.minimum: expected a whole number"),
        ({"type": "integer", "minimum": 5, "maximum": 4}, "schema cannot be met"),
        ({"type": "string", "minLength": 5, "maxLength": 4}, "cannot be met"),
        ({"type": "string", "minLength": "5"}, "schema.minLength: expected 0 to 10,000"),
        ({"type": "string", "pattern": "(?=a)"}, "schema.pattern: lookaround"),
        ({"type": "string", "pattern": "a", "maxLength": 3}, "lengths together with a pattern"),
        ({"properties": {"a": False}, "required": ["a"]}, "cannot be met"),
        ({"properties": {"a": {"type": 3}}}, "schema.properties.a.type: expected a list"),
        ({"enum": []}, "schema.enum: expected a list"),
        ({"const": float("nan")}, "expected values of JSON"),
        ({"$ref": "#/$defs/a"}, "there is no '#/.defs/a' in the schema"),
        ({"$ref": "http://example.org/schema"}, "expected a place inside the schema"),
        ({"$ref": "#"}, "cannot be met"),
        (3, "schema: expected a schema, received 3"),
        (False, "cannot be met"),
        ({"type": "string", "maxLength": 10_001}, "expected 0 to 10,000"),
        (
            {
                "type": "array",
                "items": {
                    "type": "array",
                    "items": {"type": "string", "minLength": 9999},
                    "minItems": 999,
                },
                "minItems": 9,
            },
            "too large",
        ),
    ],
)
def test_bad_schemas(schema, said, monkeypatch):
    monkeypatch.setattr(automata, "MAX_NODES", 20_000)
    with pytest.raises(MdnnError, match=said):
        compile_expression(schema_expression(schema))


def test_schemas_that_are_nested_too_deeply():
    schema = {}
    for _ in range(3000):
        schema = {"type": "array", "items": schema}
    with pytest.raises(MdnnError, match="nested too deeply"):
        schema_expression(schema)


def test_a_text_up_to_a_mark():
    automaton = compile_expression(
        TextUntil((("<end>", EMPTY), ("<<call", literal_expression("!"))))
    )
    for text, fits in (
        ("<end>", True),
        ("a<en<end>", True),
        ("<<<end>", True),
        ("<<cal<end>", True),
        ("x<<call!", True),
        ("<<<call!", True),
        ("<<call<end>", False),
        ("<end>x", False),
        ("abc", False),
    ):
        assert automaton.matches(text) == fits, text
    assert automaton.distance[0] == 5


TOOLS = [
    ToolSpec(
        "add", "", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    ),
    ToolSpec("clock"),
]


@pytest.mark.parametrize(
    "layout", [ChatFormat(), ChatFormat(end="<|im_end|>", call_start="<c>", call_end="</c>")]
)
def test_turns_with_calls(layout):
    """Whatever is written, every call that it holds is well-formed."""
    for must_call in (True, False):
        expression = answer_expression(TOOLS, layout, must_call, most_calls=2)
        automaton, draw = compile_expression(expression), random.Random(3)
        for _ in range(40):
            text = walk(automaton, draw, 30)
            assert text.endswith(layout.end)
            answer = layout.read_answer(text)
            assert len(answer.calls) == text.count(layout.call_start) <= 2
            assert all(call.name in ("add", "clock") for call in answer.calls)
            if must_call:
                assert answer.calls
