"""`mdnn.inspect` on everything that `mdnn inspect` takes."""

import json

import keras
import pytest
import tiny

import mdnn
from mdnn.cli import main
from mdnn.errors import MdnnError
from mdnn.identity.adapted_network import specification
from mdnn.identity.identity_file import Identity, fingerprint_of
from mdnn.runs.inspection import network_facts


def printed(capsys, *words):
    """What `mdnn inspect --json` prints."""
    assert main(["inspect", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_config_by_value_path_and_name(tmp_path, capsys):
    path = tiny.write_config(tmp_path)
    facts = mdnn.inspect(path)
    assert facts == network_facts(mdnn.load_config(path)) == mdnn.inspect(mdnn.load_config(path))
    assert facts == printed(capsys, path)
    changed = mdnn.inspect(str(path), ["backbone.depth=2"])
    assert changed == printed(capsys, path, "--set", "backbone.depth=2")
    assert changed["parameters"] > facts["parameters"]


def test_a_run_by_path_opened_and_as_a_network(opened_tiny, capsys):
    run = opened_tiny
    facts = mdnn.inspect(run.path)
    assert facts == mdnn.inspect(str(run.path)) == mdnn.inspect(run) == printed(capsys, run.path)
    assert (facts["origin"], facts["texts"]["engine"]) == (None, "keras")
    assert facts["parameters"] == run.model.count_params()
    alone = mdnn.inspect(mdnn.build(run.config))
    assert alone.pop("texts")["why_not_native"]
    assert alone == {name: facts[name] for name in alone}


def test_a_keras_file(opened_tiny, tmp_path, capsys):
    file = tmp_path / "network.keras"
    opened_tiny.model.save(file)
    facts = mdnn.inspect(file)
    assert facts["parameters"] == opened_tiny.model.count_params()
    assert facts == printed(capsys, file)


def test_an_identity(opened_tiny, tmp_path, capsys):
    arrays = {
        name: keras.ops.convert_to_numpy(keras.ops.ones(shape))
        for name, (shape, _) in specification(opened_tiny.model, "offset").items()
    }
    file = tmp_path / "a.safetensors"
    Identity("offset", arrays, fingerprint_of(opened_tiny), {"source": "a.txt"}).write(file)
    facts = mdnn.inspect(file)
    assert (facts["kind"], facts["source"]) == ("offset", "a.txt")
    assert facts["numbers"] == sum(array.size for array in arrays.values())
    assert facts["network"] == fingerprint_of(opened_tiny)
    assert {name: tuple(shape) for name, shape in facts["arrays"].items()} == {
        name: array.shape for name, array in arrays.items()
    }
    assert json.loads(json.dumps(facts)) == printed(capsys, file)


@pytest.mark.parametrize(
    ("what", "options", "message"),
    [
        ("none", {}, "none"),
        (7, {}, "inspect: expected a path, received 7"),
        ("none.safetensors", {}, "no such file: none.safetensors"),
        ("folder", {}, "folder is not a run folder: it has no config.toml"),
        ("folder", {"overrides": ["seed=2"]}, "overrides: expected the path of a config"),
        ("none.safetensors", {"overrides": ["seed=2"]}, "overrides: expected the path of a config"),
        ("config.toml", {"overrides": "seed=2"}, "overrides: expected a list of KEY=VALUE"),
        ("config.toml", {"overrides": [5]}, "overrides: expected a list of KEY=VALUE"),
        ("config.toml", {"member": 0}, "member: expected a run of networks in tandem"),
        ("run", {"member": 0}, "member: this run holds one network"),
    ],
)
def test_bad_input(tmp_path, monkeypatch, tiny_run, what, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    tiny.write_config(tmp_path)
    with pytest.raises(MdnnError) as error:
        mdnn.inspect(tiny_run if what == "run" else what, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_command_refuses_changes_of_files(tmp_path, capsys):
    (tmp_path / "a.safetensors").write_bytes(b"")
    assert main(["inspect", str(tmp_path / "a.safetensors"), "--set", "seed=2"]) == 2
    assert "--set changes a config" in capsys.readouterr().err
