"""Loads `.keras` files in Keras' safe mode, after checking all classes that a file names.

Several vulnerabilities of Keras' loaders let a file run code (CVE-2024-3660, CVE-2025-1550,
CVE-2025-8747, CVE-2025-9905, CVE-2025-9906, CVE-2025-12058, CVE-2026-0897). The names in a file are
therefore checked before Keras reads it.
"""

import zipfile

import keras

from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.strict_json import MAX_JSON_BYTES, parse_json

MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}

MODULES = ("keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints")
"""Modules of Keras from which a file may name a class."""

CLASSES = {
    ("keras", "DTypePolicy"),
    ("keras.src.models.functional", "Functional"),
    ("keras.models", "Functional"),
    ("keras", "Functional"),
    ("keras", "Sequential"),
    ("keras.models", "Sequential"),
    (None, "__keras_tensor__"),
    ("keras.src.backend.common.keras_tensor", "KerasTensor"),
}

EARLIER = r"\nplace = "
"""A key of the config, as JSON, of networks whose folds and refeeding had `branches`, not `blocks`.
Files name weights by such attributes."""

REFUSED = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "Wrapper"}
"""Layers whose config contains or names a program."""


def load_keras(path):
    """Loads a network saved with `model.save("name.keras")`.

    Allows layers of Keras (except those that contain programs) and layers registered by mdnn. All
    other names in the file are refused before any object is created.

    Args:
        path: the file.

    Returns:
        A `keras.Model`, not compiled.

    Raises:
        MdnnError: the file does not exist, is damaged, or names any other class.
    """
    path = as_path(path)
    if not path.is_file():
        raise MdnnError(f"no file at {path}")
    # These imports register all layers of mdnn.
    import mdnn.layer
    import mdnn.models.builder
    import mdnn.models.loss  # noqa: F401

    try:
        with zipfile.ZipFile(path) as archive:
            if (names := sorted(archive.namelist())) != sorted(MEMBERS):
                raise MdnnError(
                    f"{path}: expected {', '.join(sorted(MEMBERS))}, found {', '.join(names)[:99]}"
                )
            if (size := archive.getinfo("config.json").file_size) > MAX_JSON_BYTES:
                raise MdnnError(
                    f"{path}: config.json: expected {MAX_JSON_BYTES:,} bytes, received {size:,}"
                )
            text = archive.read("config.json").decode("utf-8")
    except MdnnError:
        raise
    except Exception as error:  # archives raise the errors of any compression
        raise MdnnError(f"{path} is not a readable .keras file: {_line(error)}") from None
    _check(parse_json(text, f"{path}: config.json"), path)
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises errors of any type on damaged files
        if EARLIER in text:
            raise MdnnError(
                f"{path} was saved by an older mdnn, whose layers had other names: open it with "
                "that version and save it as a run folder (mdnn.save)"
            ) from None
        raise MdnnError(f"{path} is not a readable .keras file: {_line(error)}") from None


def _check(value, path):
    """Refuses a config that names a class that is not allowed."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        if not isinstance(value, dict):
            continue
        waiting += [part for key, part in value.items() if key != "compile_config"]
        if "class_name" in value and not _known(value):
            name = f"{value.get('module')}.{value['class_name']}"[:99]
            raise MdnnError(f"{path} names {name!r}, which is not a layer that mdnn can load")


def _known(value):
    name, module = value["class_name"], value.get("module")
    registered = value.get("registered_name")
    if not all(isinstance(part, str | None) for part in (name, module, registered)):
        return False
    if name in REFUSED:
        return False
    if isinstance(registered, str) and registered.startswith("mdnn>"):
        return registered in keras.saving.get_custom_objects()
    if registered not in (None, name):
        return False
    return (module, name) in CLASSES or module in MODULES


def _line(error):
    return next(iter(str(error).splitlines()), "") or type(error).__name__
