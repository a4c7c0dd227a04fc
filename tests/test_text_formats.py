"""JSON and TOML as people write them: kinds out of the JSON parsing suite and of toml-test."""

import tomllib

import pytest

from mdnn.config.load import load_config
from mdnn.errors import MdnnError
from mdnn.strict_json import parse_json, read_json

GOOD = {
    "[[]   ]": [[]],
    " [] ": [],
    "\t[1]\r\n": [1],
    "[1,null,true,false]": [1, None, True, False],
    "[-0]": [0],
    "[123e45]": [123e45],
    "[0e+1]": [0],
    "[1E-2]": [0.01],
    "[20e1]": [200],
    "[-1.0e+28]": [-1e28],
    '["\\u0060\\u012a\\u12AB"]': ["`Ī\u12ab"],
    '["\\uD801\\udc37"]': ["\U00010437"],
    '["\\u0000"]': ["\0"],
    '["\\"\\\\\\/\\b\\f\\n\\r\\t"]': ['"\\/\b\f\n\r\t'],
    '["\u2028\u2029\x7f"]': ["\u2028\u2029\x7f"],
    '{"":0}': {"": 0},
    '{"a":[],"b":{}}': {"a": [], "b": {}},
    '"asd"': "asd",
    "42": 42,
    "null": None,
    "[" * 400 + "]" * 400: None,
    "[" + '"[[",' * 600 + "0]": ["[["] * 600 + [0],
    "[" + "[0]," * 600 + "0]": [[0]] * 600 + [0],
    '[""]': [""],
    "[]": [],
    '["a"]\n': ["a"],
    "[1\n]": [1],
    " [1]": [1],
    "[2] ": [2],
    "[1,null,null,null,2]": [1, None, None, None, 2],
    "[0e1]": [0.0],
    "[-0.000000000000000000000000000000000000000001]": [-1e-42],
    "[1E22]": [1e22],
    "[1E+2]": [100.0],
    "[123.456e78]": [123.456e78],
    "[123.456789]": [123.456789],
    "[-123]": [-123],
    "[18446744073709551616]": [2**64],
    '{"asd":"sdf", "dfg":"fgh"}': {"asd": "sdf", "dfg": "fgh"},
    '{"foo\\u0000bar": 42}': {"foo\0bar": 42},
    '{ "min": -1.0e+28, "max": 1.0e+28 }': {"min": -1e28, "max": 1e28},
    '{"x":[{"id": "' + "x" * 40 + '"}]}': {"x": [{"id": "x" * 40}]},
    '{"title":"\\u041f\\u043e\\u043b" }': {"title": "Пол"},
    '{\n"a": "b"\n}': {"a": "b"},
    '["\\ud83d\\ude39\\ud83d\\udc8d"]': ["😹💍"],
    '["\\\\u0000"]': ["\\u0000"],
    '["a/*b*/c/*d//e"]': ["a/*b*/c/*d//e"],
    '["\\\\a"]': ["\\a"],
    '["\\u0012"]': ["\x12"],
    '["\\uFFFF"]': ["\uffff"],
    '["\U0010ffff"]': ["\U0010ffff"],
    '["\uffff"]': ["\uffff"],
    '["π"]': ["π"],
    '["asd "]': ["asd "],
    '" "': " ",
    '["\u200b\u2064"]': ["\u200b\u2064"],
    '["€𝄞"]': ["€𝄞"],
    "false": False,
    "-0.1": -0.1,
    '""': "",
    "\t[\n]\r ": [],
    # A lone half of a pair is a text that no file holds: where it is used it is refused.
    '["\\uD800"]': ["\ud800"],
}

BAD = [
    *(
        "",
        " ",
        "[",
        "]",
        "{",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1,,2]",
        "[1 2]",
        "[1:2]",
        "[1}",
        "[]]",
    ),
    *(
        "[.5]",
        "[1.]",
        "[+1]",
        "[-]",
        "[--1]",
        "[-01]",
        "[012]",
        "[1e]",
        "[1eE2]",
        "[1e+]",
        "[0x42]",
    ),
    *(
        "[1 000.0]",
        "[NaN]",
        "[Infinity]",
        "[-Infinity]",
        "[nan]",
        "[1e400]",
        "[-1e999]",
        "[\uff11]",
    ),
    *("['a']", '["a]', '["\\x"]', '["\\u00A"]', '["\\"]', '["a\nb"]', '["a\tb"]', '["\0"]', "[a]"),
    *('["a" "b"]', "{a: 1}", "{'a': 1}", '{"a" 1}', '{"a":1,}', '{"a"}', '{"a":}', "{1: 1}"),
    *('{"a": 1 "b": 2}', '{"a": 1}}', "[tru]", "[True]", "[None]", "[1]#", "[1] // x", "[/* x */]"),
    *("\ufeff[]", "[\u2060]", "\u00a0[]", "[\f1]", "*", "<null>", "[1][2]", '{"a": 1, "a": 2}'),
    *("[" * 100_000, "[" * 100_000 + "]" * 100_000, "9" * 5000),
    # Python 3.13 reads it, and 3.11 does not: it is refused on each.
    *("[" * 501 + "]" * 501, '{"a":' * 9000 + "0" + "}" * 9000),
    *(
        '["": 1]',
        '[""',
        "[1,\n1\n,1",
        "[1,\n1\n,1,,]",
        "[*]",
        '["a",\n4\n,1,',
        '["a"',
        "[3[4]]",
        "[x",
    ),
    *("[-1x]", "[0.1.2]", "[0.3e]", "[0.e1]", "[0E+]", "[1.0e-]", "[2.e3]", "[9.e+]", "[+Inf]"),
    *(
        "[-foo]",
        "[-.123]",
        "[1+2]",
        "[-2.]",
        "[0x1]",
        "[1ea]",
        "[.2e-3]",
        "[- 1]",
        "[-1.0.]",
    ),
    *(
        '["x", truth]',
        "[,]",
        '{[: "x"}',
        "{9999E9999:1}",
        '{"a":"a" 123}',
        '{"id":0,,,,,}',
        '{"a":/**/"b"}',
    ),
    *(
        '{"a":"b"}/**/',
        '{"a":"b"}//',
        '{"a":"b",,"c":"d"}',
        '{a: "b"}',
        "{null:null,null:null}",
        '"',
    ),
    *(
        '["\\uD800\\"]',
        '["\\u"]',
        '["\\u1"]',
        '["\\u1x"]',
        '["\\',
        '["\\🌀"]',
        '["\\',
        '["\\a"]',
        "abc",
        "[\\n]",
    ),
    *(
        '["new\nline"]',
        "[1]x",
        "[][]",
        "[}",
        "{]",
        "{}}",
        "2@",
        "[a",
        "{'a'",
        '{"a":"b"}#',
        "å",
        "\u2060",
    ),
]


@pytest.mark.parametrize("text", GOOD)
def test_json_that_is_read(text):
    value = parse_json(text, "a.json")
    assert text.startswith("[[[") or value == GOOD[text]


@pytest.mark.parametrize("text", BAD)
def test_json_that_is_refused(text):
    with pytest.raises(MdnnError, match=r"^a\.json: ") as error:
        parse_json(text, "a.json")
    assert str(error.value).isprintable()


def test_marks_and_encodings_of_json(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf[1]\r\n")
    assert read_json(path) == [1]
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        path.write_bytes('["é"]'.encode(encoding))
        with pytest.raises(MdnnError, match=r"a\.json"):
            read_json(path)


CONFIG = """
# a comment
seed = 0x10
data.source = 'a\\b'  # a path of Windows as it is
data.validation = 1e-1
[train]
steps = 1_000
prompt = \"\"\"
two
lines\"\"\"
[tokens]
modalities = [
  "text", # and a comma at the end
]
[context]
grid = [8,
        8,]
[[backbone.layer]]
kind = "feedforward"
"gate" = "silu"
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_toml_that_people_write(tmp_path, end, mark):
    path = tmp_path / "a.toml"
    path.write_bytes((mark + CONFIG.replace("\n", end)).encode())
    config = load_config(path)
    assert (config.seed, config.data.source, config.train.steps) == (16, "a\\b", 1000)
    assert config.train.prompt.splitlines() == ["two", "lines"]
    assert config.context.grid == (8, 8)
    assert config == load_config(path)


VALUES = {
    "seed": {
        "0": 0,
        "+99": 99,
        "1_000": 1000,
        "0xDEAD_bee": 0xDEADBEE,
        "0o755": 0o755,
        "0b1101": 13,
        "7 # seven": 7,
    },
    "data.validation": {
        "0.5": 0.5,
        "+0.25": 0.25,
        "5e-1": 0.5,
        "2.5E-1": 0.25,
        "0.2_5": 0.25,
        "0": 0.0,
    },
    "tokens.coordinates": {"true": True, "false": False},
    "data.source": {
        '"a"': "a",
        "'C:\\Users\\nodejs'": "C:\\Users\\nodejs",
        '"C:\\\\Users"': "C:\\Users",
        '"\\u00e9\\U0001F600"': "é😀",
        '"tab\\t quote\\" \\b\\f"': 'tab\t quote" \b\f',
        '"""\nfirst line dropped"""': "first line dropped",
        '"""one \\\n    line"""': "one line",
        "'''raw \\n'''": "raw \\n",
        '"# no comment"': "# no comment",
        '""""a" b"""': '"a" b',
    },
    "context.grid": {
        "[8]": (8,),
        "[ 8, 4 ]": (8, 4),
        "[8, 4,]": (8, 4),
        "[\n  8, # rows\n  4\n]": (8, 4),
    },
}
"""Forms of each type of value out of toml-test, for a key of that type."""


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [(key, text, value) for key, forms in VALUES.items() for text, value in forms.items()],
)
def test_values_of_toml(tmp_path, key, text, value):
    rest = '[[backbone.layer]]\nkind = "feedforward"\n[train]\nsteps = 1\n'
    room, _, name = key.rpartition(".")
    tables = {
        "dotted": f"{key} = {text}\n",
        "quoted": ".".join(f'"{word}"' for word in key.split(".")) + f" = {text}\n",
        "table": f"[ {room} ]\n\t{name}={text}\n" if room else f"{key}={text}\n",
    }
    if room and "\n" not in text and "#" not in text:
        tables["inline"] = f"{room} = {{ {name} = {text} }}\n"
    for form in tables.values():
        path = tmp_path / "a.toml"
        path.write_text(form + rest, encoding="utf-8", newline="")
        found = load_config(path)
        for word in key.split("."):
            found = getattr(found, word)
        assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    [
        *("seed = ", "seed 1", "= 1", "seed = 01", "seed = 1 2", "seed = 1__0", "seed = +-1"),
        *("seed = 1\nseed = 2", "[train]\n[train]", "[train", "[[train]", "[]", "seed.x = 1"),
        *('data.source = "a', 'data.source = "a\nb"', 'data.source = "\\x"', "data.source = a"),
        *(
            "data.source = 'a",
            'data.source = "C:\\new\\dir"',
            "data = {source = 'a',,}",
            "seed = 0X1",
        ),
        *("seed = nan", "seed = 1979-05-27", "seed = true", "seed = [1]", "data.source = 1"),
        *("seed = 1\x00", "seed = 1\x0c", "\u00a0seed = 1", "seed\u2060 = 1"),
    ],
)
def test_toml_that_is_refused(tmp_path, text):
    path = tmp_path / "a.toml"
    path.write_text(text, encoding="utf-8", newline="")
    with pytest.raises(MdnnError, match=r"a\.toml") as error:
        load_config(path)
    assert str(error.value).isprintable()


def test_a_config_is_written_as_it_is_read(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(CONFIG, encoding="utf-8")
    config = load_config(path)
    again = tomllib.loads(config.to_toml())
    assert type(config).from_dict(again) == config
