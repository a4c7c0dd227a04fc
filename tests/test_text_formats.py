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
