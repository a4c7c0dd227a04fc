"""Checks Keras' environment settings before Keras is imported."""

import importlib.util
import json
import os
import sys
from pathlib import Path

from mdnn.errors import MdnnError, did_you_mean

BACKENDS = ("tensorflow", "jax", "torch")
"""Keras backends that mdnn supports; each is also the name of its package."""

TRAINING_BACKENDS = ("tensorflow", "jax")
"""Backends that `mdnn.train` supports; `model.fit` supports all of them."""

KERAS_FILE = ".keras"
"""How the name of a file ends that Keras saved."""


def import_keras():
    """Imports Keras and checks that mdnn supports its settings.

    Keras takes its backend from `KERAS_BACKEND` or `keras.json`, and its default float type from
    `keras.json` or `keras.config.set_floatx`.

    Returns:
        The module `keras`.

    Raises:
        MdnnError: the backend is unsupported or not installed, the default float type is not
            float32, or Keras refuses a setting.
    """
    if "keras" not in sys.modules:
        check_environment()
    try:
        import keras
    except Exception as error:
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise MdnnError(f"Keras cannot be imported: {line}") from error
    _check_backend(keras.config.backend(), "Keras' backend", "set KERAS_BACKEND")
    check_floatx(keras.config.floatx())
    return keras


def check_environment():
    """Checks the settings that Keras would use if it were imported now.

    Raises:
        MdnnError: see `import_keras`.
    """
    path, settings = _read_settings()
    backend = os.environ.get("KERAS_BACKEND")
    if backend:
        _check_backend(backend, "KERAS_BACKEND", "set it to one of them")
    else:
        backend = settings.get("backend", "tensorflow")
        _check_backend(backend, f"{path}: backend", "change it, or set KERAS_BACKEND")
    if importlib.util.find_spec(backend) is None:
        raise MdnnError(
            f"Keras is set to the backend {backend}, and the package {backend} is not installed: "
            "install it, or set KERAS_BACKEND to one that is"
        )
    check_floatx(settings.get("floatx", "float32"), f"{path}: floatx")
    if not isinstance(epsilon := settings.get("epsilon", 1e-7), float):
        raise MdnnError(f"{path}: epsilon: expected a float, received {epsilon!r}")
    layouts = ("channels_last", "channels_first")
    if (layout := settings.get("image_data_format", layouts[0])) not in layouts:
        raise MdnnError(
            f"{path}: image_data_format: expected {' or '.join(layouts)}, received {layout!r}"
        )


def check_floatx(floatx, where="Keras' floatx"):
    """Refuses a default float type other than float32.

    Raises:
        MdnnError: the type is not float32.
    """
    if floatx != "float32":
        raise MdnnError(
            f"{where}: expected 'float32', in which mdnn keeps weights, received {floatx!r}; "
            "train.precision says in which type a training computes"
        )


def check_training_backend(backend):
    """Refuses a backend that `mdnn.train` does not support.

    Raises:
        MdnnError: the backend is not in `TRAINING_BACKENDS`.
    """
    if backend not in TRAINING_BACKENDS:
        raise MdnnError(
            f"mdnn.train runs with Keras on {' or '.join(TRAINING_BACKENDS)}, received {backend}: "
            f"set KERAS_BACKEND={TRAINING_BACKENDS[0]}; with {backend}, train with model.fit"
        )


def check_mesh_backend(backend):
    """Refuses a backend on which `mdnn.train` does not train on several devices.

    Raises:
        MdnnError: the backend is not JAX.
    """
    if backend != "jax":
        raise MdnnError(
            f"mesh: several devices or processes train with Keras on jax, received {backend}: set "
            "KERAS_BACKEND=jax (Keras' distribution for TensorFlow is marked as not for use), or "
            "leave out [mesh] and --num-processes"
        )


def _check_backend(backend, where, remedy):
    if backend not in BACKENDS:
        near = did_you_mean(backend, BACKENDS, cutoff=0.7)
        raise MdnnError(
            f"{where}: mdnn runs with Keras on {', '.join(BACKENDS[:-1])} and {BACKENDS[-1]}, "
            f"received {backend!r}{near}: {remedy}"
        )


def _read_settings():
    """Returns the path of `keras.json`, found as Keras finds it, and its settings, a dict."""
    home = os.environ.get("KERAS_HOME")
    if home is None:
        base = Path("~").expanduser()
        home = (base if os.access(base, os.W_OK) else Path("/tmp")) / ".keras"
    path = Path(home).expanduser() / "keras.json"
    try:
        settings = json.loads(path.read_text())
    except (OSError, ValueError):
        return path, {}
    except RecursionError:
        raise MdnnError(f"{path}: expected Keras' settings, received deeply nested JSON") from None
    if not isinstance(settings, dict):
        raise MdnnError(f"{path}: expected an object of Keras' settings, received {settings!r}")
    return path, settings
