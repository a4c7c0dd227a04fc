"""Multidimensional neural networks: networks without attention over grids of several axes."""

import importlib
import sys

from mdnn.keras_settings import check_environment, import_keras

__version__ = "0.1.0"

# Module of each public name. Modules are imported on first use, so that `mdnn --help` and errors
# in a config do not wait for TensorFlow.
_MODULE_OF = {
    "ChatSession": "mdnn.assistant.session",
    "adapt": "mdnn.training.adapting.adapt_run",
    "TextBatches": "mdnn.datasets.batches.text_batches",
    "Config": "mdnn.config.load",
    "Item": "mdnn.tokens.items",
    "ItemBatches": "mdnn.datasets.batches.item_batches",
    "ItemTokenizer": "mdnn.tokens.item_tokenizer",
    "MdnnError": "mdnn.errors",
    "Network": "mdnn.models.network",
    "PuzzleBatches": "mdnn.datasets.batches.puzzle_batches",
    "TokenCrossEntropy": "mdnn.models.loss",
    "build": "mdnn.models.builder",
    "chat_prompt": "mdnn.tasks.conversations.chat_prompt",
    "distill": "mdnn.training.adapting.distill_run",
    "evaluate": "mdnn.tasks.evaluate",
    "export": "mdnn.serving.export.saved_model",
    "generate": "mdnn.tasks.generate",
    "grow": "mdnn.training.growing.grow_run",
    "import_weights": "mdnn.foreign.import_run",
    "inspect": "mdnn.tasks.facts.inspect",
    "inspect_text": "mdnn.runs.chunk_report",
    "load": "mdnn.runs.run_folder",
    "load_config": "mdnn.config.load",
    "merge": "mdnn.training.adapting.merge_run",
    "open_text": "mdnn.datasets.text.text_splits",
    "open_dataset": "mdnn.datasets.items.item_splits",
    "open_puzzles": "mdnn.datasets.puzzles.puzzle_splits",
    "plan": "mdnn.training.mesh.mesh_plan",
    "quantize": "mdnn.runs.quantize_run",
    "read_item": "mdnn.datasets.media.media_files",
    "configure_threads": "mdnn.training.microbatches",
    "save": "mdnn.runs.saving",
    "search": "mdnn.tuning.search",
    "serve": "mdnn.serving.server.running_server",
    "shrink": "mdnn.training.growing.shrink_run",
    "train": "mdnn.training.run_training",
    "write_item": "mdnn.datasets.media.media_files",
}
_ROOMS = ("activations", "datasets", "generation", "layer", "layers", "models", "serving", "tokens")

__all__ = [*_MODULE_OF, *_ROOMS, "training"]


def __getattr__(name):
    if name in _MODULE_OF:
        return getattr(_import(_MODULE_OF[name]), name)
    if name in __all__:
        return _import(f"mdnn.{name}")
    raise AttributeError(f"module 'mdnn' has no attribute {name!r}")


def _import(name):
    """Imports a module; raises a one-line `MdnnError` for unsupported settings of Keras."""
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
    # Registers all layers and the loss, so that keras.models.load_model finds them in programs that
    # import keras before mdnn. Other programs import these modules themselves.
    for _name in ("layer", "models.builder", "models.loss"):
        importlib.import_module(f"mdnn.{_name}")
