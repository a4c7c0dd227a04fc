"""Words on the command line: values that begin with a dash, texts as they are, the version."""

import pytest

import mdnn
from mdnn.cli.parser import main, parser
from mdnn.config.load import Config
from mdnn.config.schema import type_at


@pytest.mark.parametrize("prompt", ["-x", "-", "--", "-1", "-x y", "---\n", "- a list", "-p"])
@pytest.mark.parametrize("joined", [False, True])
def test_prompts_that_begin_with_a_dash(prompt, joined):
    words = [f"--prompt={prompt}"] if joined else ["--prompt", prompt]
    options = parser().parse_args(["generate", "run", *words, "--seed", "-3", "--greedy"])
    assert options.items == [("--prompt", prompt)]
    assert (options.run, options.seed, options.greedy) == ("run", -3, True)


@pytest.mark.parametrize("words", [["--prompt"], ["--prompt", "--greedy"], ["--prompt", "--out"]])
def test_a_prompt_that_is_missing(words, capsys):
    with pytest.raises(SystemExit) as error:
        main(["generate", "run", *words])
    assert error.value.code == 2
    assert "argument --prompt: expected one argument" in capsys.readouterr().err


def test_an_option_as_a_prompt():
    options = parser().parse_args(["generate", "run", "--prompt=--greedy"])
    assert options.items == [("--prompt", "--greedy")]
    assert not options.greedy


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("data.source=1984", "1984"),
        ("data.source=2024-01-01", "2024-01-01"),
        ("data.source=true", "true"),
        ("data.source=[1]", "[1]"),
        ("data.source=a=b", "a=b"),
        ("data.source=C:\\texts\\new", "C:\\texts\\new"),
        ("data.source= my book.txt ", " my book.txt "),
        ("data.source='my book.txt'", "my book.txt"),
        ('data.source="tab\\tend"', "tab\tend"),
        ('data.source="Who?" asked he', '"Who?" asked he'),
        ("data.source='tis", "'tis"),
        ("data.source='a' # no remark", "a"),
        ("train.prompt=Once ", "Once "),
        ("train.prompt=\n", "\n"),
        ("train.prompt=-", "-"),
        ("backbone.layer.0.gate=gelu", "gelu"),
        ("seed= 4 ", 4),
        ("train.minutes=2", 2.0),
        ("context.grid=[2, 32]", (2, 32)),
        ("train.checkpoints.best=true", True),
    ],
)
def test_settings(setting, value):
    found = mdnn.load_config("text", [setting])
    for word in setting.partition("=")[0].split("."):
        found = found[int(word)] if word.isdecimal() else getattr(found, word)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("seed=four", "seed: expected a whole number, received 'four'"),
        ("seed=4\nx=5", "seed: expected a whole number, received '4\\nx=5'".replace("\n", " ")),
        ("seed=", "seed: expected a whole number, received ''"),
        ("data=3", "data: expected a table, received 3"),
        ("data.sauce=3", r"unknown key 'data.sauce' \(did you mean 'data.source'|'source'"),
        ("seed", "expected KEY=VALUE, received 'seed'"),
    ],
)
def test_settings_that_are_none(setting, said):
    with pytest.raises(mdnn.MdnnError, match=said.replace("\\n", ".*")):
        mdnn.load_config("text", [setting])


def test_types_of_keys():
    def kind(key):
        return type_at(Config, key.split("."))

    assert kind("data.source") is str
    assert kind("train.steps") is int
    assert kind("backbone.layer.3.gate") is str
    assert kind("backbone.layer.0.mixer.1.groups") is int
    for key in ("data.nothing", "data.source.more", "nothing", "backbone.layer.x.gate"):
        assert kind(key) is None


def test_version(capsys):
    with pytest.raises(SystemExit) as error:
        main(["--version"])
    assert error.value.code == 0
    assert capsys.readouterr().out == f"mdnn {mdnn.__version__}\n"


def test_errors_are_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in (["inspect", "no\nsuch\x1b[31m"], ["train", "x" * 5000, "--out", "y"]):
        assert main(words) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("mdnn: error: ")
        assert err.count("\n") == 1
        assert "\x1b" not in err
