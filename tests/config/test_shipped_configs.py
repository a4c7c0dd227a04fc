"""The configs that come with mdnn: by name, from anywhere, with heads that say what they cost."""

import configparser
import fnmatch
import importlib.machinery
import json
from pathlib import Path

import pytest

import mdnn
from mdnn.cli import main
from mdnn.config import shipped
from mdnn.config.shipped import config_head, find_config, shipped_configs

ROOT = Path(__file__).parents[2]


def test_the_package_has_what_the_repository_has():
    inside, outside = Path(mdnn.__file__).parent / "configs", ROOT / "configs"
    assert sorted(p.name for p in inside.iterdir()) == sorted(p.name for p in outside.iterdir())
    for path in inside.iterdir():
        assert path.read_bytes() == (outside / path.name).read_bytes(), path.name
    assert "text" in shipped_configs()


def test_package_data_names_all_files_that_are_no_code():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    patterns = setup["options.package_data"]["mdnn"].split()
    package = Path(mdnn.__file__).parent
    files = [path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()]
    # Installing an editable copy compiles the native library beside its sources.
    code = (".py", *importlib.machinery.EXTENSION_SUFFIXES)
    others = [f for f in files if not f.endswith(code) and "__pycache__" not in f]
    assert others
    for name in others:
        assert any(fnmatch.fnmatch(name, pattern) for pattern in patterns), name


@pytest.mark.parametrize("name", ["text", "text.toml", "configs/text.toml"])
def test_by_name_from_anywhere(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert find_config(name) == shipped_configs()["text"]
    assert mdnn.load_config(name) == mdnn.load_config(ROOT / "configs" / "text.toml")
    # A folder of that name holds a text, perhaps.
    (tmp_path / "text").mkdir()
    assert find_config(name) == shipped_configs()["text"]
    # A file that is there is meant.
    own = tmp_path / name
    own.parent.mkdir(exist_ok=True)
    if name != "text":
        own.write_text("seed = 5")
        assert find_config(name) == Path(name)


def test_from_the_package_alone(monkeypatch):
    monkeypatch.setattr(Path, "is_file", lambda path: "setup.cfg" not in path.name)
    assert shipped_configs()["text"] == shipped.PACKAGE / "configs" / "text.toml"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("txt", r"no config file at txt \(did you mean 'text'\?\); mdnn configs lists"),
        ("other/text.toml", "no config file at other/text.toml$"),
        ("folder", "folder is a folder, expected a config file"),
        ("", "config: expected a path, received an empty text"),
    ],
)
def test_no_such_config(tmp_path, monkeypatch, name, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(mdnn.MdnnError, match=said):
        find_config(name)


def test_the_list(capsys):
    assert main(["configs", "--json"]) == 0
    heads = json.loads(capsys.readouterr().out)
    assert set(heads) == {path.stem for path in (ROOT / "configs").glob("*.toml")}
    for name, head in heads.items():
        assert set(head) == {"about", "command", "time", "expected"}, name
        assert all(head.values()), name
    assert main(["configs"]) == 0
    out = capsys.readouterr().out
    assert "\n    command:  mdnn train configs/text.toml --out runs/text\n" in out
    assert main(["configs", "text"]) == 0
    assert capsys.readouterr().out == (ROOT / "configs" / "text.toml").read_text(encoding="utf-8")
    assert main(["configs", "txet"]) == 2


def test_a_head(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("# What it\n# is.\n#\n# time: 3\n#   minutes\n\n# command: no\nseed = 1\n")
    assert config_head(path) == {"about": "What it is.", "time": "3 minutes"}
