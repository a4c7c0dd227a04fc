"""Multidimensional neural networks: networks without attention over grids of several axes."""

import importlib
import sys

from mdnn.keras_settings import check_environment, import_keras

__version__ = "0.1.0"

# Where each public name lives. They are imported when first used, so that `mdnn --help` and
# errors in a config do not wait for TensorFlow.
_PLACES = {
    "Batches": "mdnn.data.batches",
    "Config": "mdnn.models.config",
    "Item": "mdnn.tokens.items",
    "ItemBatches": "mdnn.data.item_batches",
    "ItemCodec": "mdnn.tokens.codec",
    "MdnnError": "mdnn.errors",
    "Network": "mdnn.models.network",
    "PuzzleBatches": "mdnn.data.puzzle_batches",
    "UnitLoss": "mdnn.models.loss",
    "build": "mdnn.models.builder",
    "evaluate": "mdnn.training.evaluation",
    "export": "mdnn.serving.export",
    "generate": "mdnn.generation.answers",
    "load": "mdnn.models.run",
    "load_config": "mdnn.models.config",
    "open_data": "mdnn.data.corpus",
    "open_lines": "mdnn.data.lines",
    "open_puzzles": "mdnn.data.puzzles.corpus",
    "quantize": "mdnn.models.quantized_run",
    "read_item": "mdnn.data.media",
    "share_cores": "mdnn.training.cores",
    "train": "mdnn.training.loop",
    "write_item": "mdnn.data.media",
}
_ROOMS = ("activations", "data", "generation", "layer", "layers", "models", "serving", "tokens")

__all__ = [*_PLACES, *_ROOMS, "training"]


def __getattr__(name):
    if name in _PLACES:
        return getattr(_import(_PLACES[name]), name)
    if name in __all__:
        return _import(f"mdnn.{name}")
    raise AttributeError(f"module 'mdnn' has no attribute {name!r}")


def _import(name):
    """Imports a module; settings of Keras that mdnn cannot run with are an error of one line."""
    try:
        module = importlib.import_module(name)
    except Exception:
        if "keras" not in sys.modules:
            check_environment()
        raise
    if "keras" in sys.modules:
        import_keras()
    return module


def __dir__():
    return sorted(__all__)


if "keras" in sys.modules:
    # Registers every layer and the loss, so that keras.models.load_model knows them in whatever
    # imports keras before mdnn. Otherwise it takes an import of these modules.
    for _name in ("layer", "models.builder", "models.loss"):
        importlib.import_module(f"mdnn.{_name}")
