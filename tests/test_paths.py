"""Paths as people have them: in every argument of every command, and from end to end."""

import argparse
import json
import os
from pathlib import Path

import keras
import pytest
import tiny

import mdnn
from mdnn.cli import main
from mdnn.cli.parser import parser
from mdnn.file_systems import path_argument

NASTY = (
    "a b",
    "$HOME$x_1$",
    "100%d %s%",
    "'single' \"double\" `back`",
    "Ünïcode 日本 мир עברית",
    "[a]{b}(c)*?!#&;<>|",
    "-dash",
    "x" * 200,
    "~",
    "back\\slash",
)
"""Names of folders; each also with a slash at its end."""

WORDS = {
    "NAME",
    "TEXT",
    "KIND",
    "MODE",
    "REGEX",
    "JSON",
    "N",
    "KEY=VALUE",
    "NUMBER=BIAS",
    "DTYPE",
    "LIST",
    "ORIGIN",
    "ADDRESS",
    "ADDRESS:PORT",
    "SHARES",
    "KEY=A,B,C",
    "KEY",
    "D",
    "HOST",
    "COMMAND",
    # The path behind the name goes through `as_path`.
    "NAME=FILE",
    "NAME=RUN",
}
"""What stands for something else than a path in the help of an option."""


def path_arguments():
    """Every argument of every command that is not a flag, number, choice or one of `WORDS`."""
    (commands,) = (
        action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    for name, command in commands.choices.items():
        for action in command._actions:
            number = action.type in (int, float)
            if action.nargs == 0 or number or action.choices or action.metavar in WORDS:
                continue
            word = action.option_strings[-1] if action.option_strings else action.dest
            yield pytest.param(command, action, id=f"{name} {word}")


ARGUMENTS = list(path_arguments())


@pytest.mark.parametrize(("command", "action"), ARGUMENTS)
def test_every_argument_that_is_a_path_follows_the_rule(command, action, monkeypatch):
    """An option with another word in its help fails here until its type is `path_argument`."""
    assert action.type is path_argument, (
        f"{action.dest}: a path has type=mdnn.file_systems.path_argument, everything else a "
        f"metavar among WORDS, received metavar={action.metavar!r}"
    )
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("USERPROFILE", "/home/me")
    # Everything else that the command needs.
    others = [
        word
        for other in command._actions
        if other is not action and (other.required or not other.option_strings)
        for word in ([other.option_strings[-1], "1"] if other.option_strings else ["1"])
        if other.nargs != 0
    ]
    paths = [f"{folder}{end}" for folder in NASTY for end in ("", "/", "/inner.txt")]
    for path in (*paths, "~/runs/x", "~/a b/"):
        if action.option_strings:
            words = [*others, f"{action.option_strings[-1]}={path}"]
        elif path.startswith("-"):
            continue
        else:
            order = [other for other in command._actions if not other.option_strings]
            words = [path if other is action else "x" for other in order]
            named = [other for other in command._actions if other.option_strings and other.required]
            words += [word for other in named for word in (other.option_strings[-1], "1")]
        found = getattr(command.parse_args(words), action.dest)
        if isinstance(found, list):
            ((_, found),) = found
        home = path == "~" or path.startswith("~/")
        assert found == ("/home/me" + path[1:] if home else path)


def test_all_commands_with_paths_are_there():
    names = {param.id for param in ARGUMENTS}
    assert {"train config", "train --out", "evaluate run", "evaluate --data"} <= names
    assert {"export run", "export directory", "quantize --out", "serve run"} <= names
    assert {"generate --item", "generate --prompt-file", "generate --out"} <= names
    assert {"inspect what", "quantize --data"} <= names


def sources(folder):
    """Configs' sources of each kind, made in a folder: pairs of a call and a source."""
    (folder / "a.txt").write_text(tiny.TEXT, encoding="utf-8")
    (folder / "texts").mkdir()
    (folder / "texts" / "a.txt").write_text(tiny.TEXT, encoding="utf-8")
    line = {"items": [{"text": "one"}, {"text_file": "a.txt"}]}
    (folder / "set.jsonl").write_text(f"{json.dumps(line)}\n" * 3, encoding="utf-8")
    puzzle = "1234341221434321"
    (folder / "p.csv").write_text(f"quizzes,solutions\n0{puzzle[1:]},{puzzle}\n", encoding="utf-8")
    yield mdnn.open_text, folder / "a.txt"
    yield mdnn.open_text, folder / "texts"
    yield lambda source: mdnn.open_dataset(source, 0.5), folder / "set.jsonl"
    yield lambda source: mdnn.open_puzzles(source, validation=0.0), folder / "p.csv"


@pytest.mark.parametrize("name", NASTY)
def test_sources_with_such_names(tmp_path, name, monkeypatch):
    """Sources of every kind, from the home folder and with a slash at the end, too."""
    home = tmp_path / name
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    for call, path in sources(home):
        call(str(path))
        call(path)
        call(f"~/{path.name}")
        if path.is_dir():
            call(f"{path}/")
        # As a value of the command line, it is the same text.
        config = tiny.write_config(tmp_path)
        assert mdnn.load_config(config, [f"data.source={path}"]).data.source == str(path)
        config.write_text(f"data.source = {json.dumps(str(path))}\n{tiny.CONFIG}", "utf-8")
        assert mdnn.load_config(config).data.source == str(path)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exports a SavedModel")
@pytest.mark.long
def test_all_commands_in_one_such_path(tmp_path, monkeypatch, capfd):
    home = tmp_path / "$HOME$ 100% 'ü' \"日本\" [x]"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setattr("mdnn.tasks.text_task.MEASURED_CHARACTERS", 20)
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir(tmp_path))
    tiny.write_config(home)
    source = "data.source=~/text.txt"
    words = ["train", "~/tiny.toml", "--out=~/a run$1/%s/", "--set", source]
    quick = [word for setting in (*tiny.QUICK, "train.steps=3") for word in ("--set", setting)]
    assert main([*words, *quick]) == 0
    run = home / "a run$1" / "%s"
    assert (run / "loss.png").is_file()
    (home / "the prompt.txt").write_text("The ", encoding="utf-8")
    runs = "~/a run$1/%s"
    words = ["--prompt-file", "~/the prompt.txt", "--length", "5", "--out=~/an 'answer'.txt"]
    assert main(["generate", runs, *words]) == 0
    assert len((home / "an 'answer'.txt").read_text("utf-8")) >= 5
    assert main(["evaluate", f"{runs}/", "--data=~/text.txt"]) == 0
    assert main(["quantize", runs, "--to", "int8", "--out=~/small %d", "--data=~/text.txt"]) == 0
    assert main(["export", runs, "~/served $x/"]) == 0
    assert (home / "served $x" / "1" / "saved_model.pb").is_file()
    for what in ("~/tiny.toml", runs, "~/small %d", "~/served $x/1"):
        assert main(["inspect", what]) == 0
    words = ["train", "~/tiny.toml", f"--out={runs}", "--resume", "--set", "train.steps=4"]
    assert main(words) == 0
    assert "error" not in capfd.readouterr().err
    assert sorted(os.listdir(tmp_path)) == before
    # In Python, too.
    assert isinstance(mdnn.load(Path("~/small %d")), keras.Model)
