"""A task of a third party (`tests/mirror_task.py`) in every command, and its config keys."""

import dataclasses

import keras
import numpy as np
import pytest
from mirror_task import CONFIG, Mirror, MirrorBatches, MirrorTask

import mdnn
from mdnn.config.data_tables import Data
from mdnn.config.load import check_keys
from mdnn.config.task_rules import TaskRules
from mdnn.tasks import register_task
from mdnn.tokens.symbols import to_symbols, to_tokens


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mirror")
    (folder / "mirror.toml").write_text(CONFIG, encoding="utf-8")
    result = mdnn.train(folder / "mirror.toml", folder / "run", show=False)
    assert result["loss"] < 0.3
    assert result["symbols_per_second"] > 0
    return folder / "run"


def test_it_trains_evaluates_and_generates(run):
    assert mdnn.evaluate(run)["loss"] < 0.3
    assert mdnn.evaluate(run, MirrorBatches(7, steps=2))["tokens"] == 2 * 16 * 8
    assert mdnn.generate(run, "01230012") == "21003210"


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exported by TensorFlow alone")
def test_it_is_exported(run, tmp_path):
    import tensorflow as tf

    served = tf.saved_model.load(str(mdnn.export(run, tmp_path / "served")))
    tokens = to_tokens(np.array([[0, 1, 2, 3, 0, 0, 1, 2]], "uint8"), (8,))
    unit = served.signatures["serving_default"](tokens=tf.constant(tokens))["unit"].numpy()
    assert to_symbols(unit).tolist() == [[2, 1, 0, 0, 3, 2, 1, 0]]


def test_it_brings_config_keys_of_its_own(run, tmp_path):
    path = tmp_path / "mirror.toml"
    path.write_text(CONFIG, encoding="utf-8")
    config = mdnn.load_config(path, ["mirror.look=fancy", "data.validation_steps=2"])
    assert (config.mirror, config.data.validation_steps) == (Mirror(4, "fancy"), 2)
    assert isinstance(config, mdnn.Config)
    assert isinstance(config.data, Data)
    again = tmp_path / "again.toml"
    again.write_text(config.to_toml(), encoding="utf-8")
    assert mdnn.load_config(again) == config
    assert mdnn.load_config(run / "config.toml").mirror == Mirror(4)
    check_keys(path, ["mirror.symbols=8"])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("mirror.symbol=3", r"unknown key 'mirror\.symbol' \(did you mean 'symbols'\?\)"),
        ("mirror.symbols=1", r"mirror\.symbols: expected between 2 and 32, received 1"),
        ("mirror.look=odd", r"mirror\.look: expected one of plain, fancy; received 'odd'"),
        ("data.validation_step=3", r"did you mean 'validation_steps'"),
    ],
)
def test_its_keys_are_checked(tmp_path, setting, message):
    path = tmp_path / "mirror.toml"
    path.write_text(CONFIG, encoding="utf-8")
    with pytest.raises(mdnn.MdnnError, match=message):
        mdnn.load_config(path, [setting])
    with pytest.raises(mdnn.MdnnError, match=message):
        check_keys(path, [setting])


def test_configs_of_other_tasks_refuse_its_keys():
    for setting, key in (("mirror.symbols=3", "mirror"), ("data.validation_steps=3",) * 2):
        key = key.partition("=")[0]
        message = rf"{key}: it belongs to context\.layout = 'mirror', received 'stream'"
        with pytest.raises(mdnn.MdnnError, match=message):
            mdnn.load_config("text", [setting])


def test_tables_of_another_form_are_refused():
    @dataclasses.dataclass
    class Open:
        size: int = 1

    for name, table in (("open", Open), ("data", Mirror), ("open", int)):
        rules = TaskRules(modalities=("symbol",), tables={name: table})
        task = type("OtherTask", (MirrorTask,), {"rules": rules})
        with pytest.raises(mdnn.MdnnError, match=rf"TaskRules\.tables: '{name}': expected a "):
            register_task("other", task)
