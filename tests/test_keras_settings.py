"""What a person's environment tells Keras: it works, or is refused in one line."""

import importlib.util
import json
import os
import subprocess
import sys

import keras
import pytest

import mdnn
from mdnn import keras_settings
from mdnn.errors import MdnnError

DEFAULTS = {
    "floatx": "float32",
    "epsilon": 1e-07,
    "backend": "tensorflow",
    "image_data_format": "channels_last",
}


def settings_file(tmp_path, monkeypatch, settings):
    """Writes Keras' settings where it looks for them; returns the path."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    path = tmp_path / "keras.json"
    text = settings if isinstance(settings, str) else json.dumps(DEFAULTS | settings)
    path.write_text(text, encoding="utf-8")
    return path


def run(*command, **environment):
    """Runs Python; returns the exit status and the lines on standard error."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr.strip().splitlines()


@pytest.mark.parametrize("backend", ["theano", "numpy", "openvino", "tensorfow", "TensorFlow", " "])
def test_other_backends_are_refused(monkeypatch, backend):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    message = "KERAS_BACKEND: mdnn runs with Keras on tensorflow, jax and torch, received "
    with pytest.raises(MdnnError, match=message):
        keras_settings.check_environment()


def test_the_nearest_backend_is_named(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "pytorch")
    with pytest.raises(MdnnError, match=r"received 'pytorch' \(did you mean 'torch'\?\)"):
        keras_settings.check_environment()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "theano"}, "keras.json: backend: mdnn runs .* received 'theano': change it"),
        ({"backend": None}, "keras.json: backend: mdnn runs .* received None"),
        ({"floatx": "float16"}, "floatx: expected 'float32', .* received 'float16'; train.prec"),
        ({"floatx": "bfloat16"}, "keras.json: floatx: expected 'float32', .* received 'bfloat16'"),
        ({"floatx": "float64"}, "keras.json: floatx: expected 'float32', .* received 'float64'"),
        ({"epsilon": 1}, "keras.json: epsilon: expected a float, received 1"),
        ({"image_data_format": "th"}, "image_data_format: expected channels_last or chan.*'th'"),
        ("[1]", r"keras.json: expected an object of Keras' settings, received \[1\]"),
        ("[" * 20_000, r"keras.json: expected Keras' settings, received deeply nested JSON"),
    ],
)
def test_settings_files_that_are_refused(tmp_path, monkeypatch, settings, message):
    settings_file(tmp_path, monkeypatch, settings)
    with pytest.raises(MdnnError, match=message) as error:
        keras_settings.check_environment()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("settings", [{}, {"image_data_format": "channels_first"}, "{", ""])
def test_settings_files_that_work(tmp_path, monkeypatch, settings):
    settings_file(tmp_path, monkeypatch, settings)
    keras_settings.check_environment()


def test_the_environment_goes_before_the_file(tmp_path, monkeypatch):
    settings_file(tmp_path, monkeypatch, {"backend": "theano"})
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    keras_settings.check_environment()


def test_a_backend_that_is_not_installed(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MdnnError, match="the backend torch, and the package torch is not inst"):
        keras_settings.check_environment()


def test_float_types_set_in_python(monkeypatch):
    """Named when a network is built or a function of mdnn is looked up."""
    monkeypatch.setattr(keras.config, "floatx", lambda: "bfloat16")
    with pytest.raises(MdnnError, match=r"Keras' floatx: expected 'float32', .* 'bfloat16'"):
        keras_settings.import_keras()
    with pytest.raises(MdnnError, match="floatx"):
        mdnn.build  # noqa: B018


@pytest.mark.parametrize("command", [["inspect", "x.toml"], ["generate", "x"], ["evaluate", "x"]])
def test_commands_say_it_in_one_line(tmp_path, command):
    (tmp_path / "x.toml").write_text("train.steps = 1\n[[backbone.layer]]\nkind = 'linear'\n")
    command = [str(tmp_path / word) if word[0] == "x" else word for word in command]
    status, lines = run("-m", "mdnn", *command, KERAS_BACKEND="theano")
    assert status == 2
    assert len(lines) == 1
    assert lines[0].startswith("mdnn: error: KERAS_BACKEND: mdnn runs with Keras on tensorflow")


@pytest.mark.parametrize(
    "program",
    [
        "import mdnn; mdnn.build",
        "from mdnn.layers import AxisDense",
        "import mdnn; mdnn.generate('run', 'The ')",
        "import mdnn.activations",
    ],
)
def test_python_says_it_last(program):
    status, lines = run("-c", program, KERAS_BACKEND="theano")
    assert status == 1
    assert lines[-1].startswith("mdnn.errors.MdnnError: KERAS_BACKEND: mdnn runs with Keras on")


def test_what_needs_no_keras_works_with_any_setting():
    program = "import sys, mdnn; mdnn.load_config, mdnn.Item; sys.exit('keras' in sys.modules)"
    assert run("-c", program, KERAS_BACKEND="theano") == (0, [])
    assert run("-m", "mdnn", "--help", KERAS_BACKEND="theano") == (0, [])


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="what PyTorch does not do")
def test_training_on_torch_is_refused(tmp_path):
    from mdnn.training.run_training import train

    message = r"mdnn.train runs with Keras on tensorflow or jax, received torch: .* model.fit"
    with pytest.raises(MdnnError, match=message):
        train("there-is-none.toml", tmp_path / "run")
    (tmp_path / "x.toml").write_text(
        f"data.source = '{tmp_path}'\ntrain.steps = 1\n[[backbone.layer]]\nkind = 'linear'\n"
    )
    command = ["-m", "mdnn", "train", str(tmp_path / "x.toml"), "--out", str(tmp_path / "run")]
    status, lines = run(*command)
    assert status == 2
    assert len(lines) == 1
    assert lines[0].startswith("mdnn: error: mdnn.train runs with Keras on tensorflow or jax")
