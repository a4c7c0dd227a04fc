"""Says what runs a network's texts and layers here: a native library or Keras."""

from mdnn.generation.engines import why_not_native
from mdnn.kernels.native_library import native_library
from mdnn.layers.multidim_dense import MultidimDense
from mdnn.layers.multidim_kernels import is_native
from mdnn.native.axis_library import axis_library_facts
from mdnn.tasks.registry import task_for


def layer_facts(run):
    """Returns `axis_library_facts()`, or `None` for a run without layers that use the library.

    Args:
        run: `mdnn.runs.run_folder.Run`.
    """
    layers = [x for x in run.model._flatten_layers() if isinstance(x, MultidimDense)]
    return axis_library_facts() if any(is_native(layer.plan) for layer in layers) else None


def engine_facts(run):
    """Returns the default engine for the texts of a run.

    Args:
        run: `mdnn.runs.run_folder.Run`.

    Returns:
        dict with `engine` (`"native"` or `"keras"`), `instructions` (of the library, or `None`) and
        `why_not_native`; `None` for networks that do not continue texts.
    """
    if not task_for(run.config, run.words).streams_text:
        return None
    if not run.config.train.objectives.autoregressive:
        return None
    why, library = why_not_native(run), native_library()
    return {
        "engine": "keras" if why else "native",
        "instructions": None if library is None else library.mdnn_instruction_set().decode(),
        "why_not_native": why,
    }
