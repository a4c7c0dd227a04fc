"""A trained network as a SavedModel that needs neither mdnn nor keras."""

import importlib
import logging

import keras
import tensorflow as tf

from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.files import making
from mdnn.native import native_graphs
from mdnn.runs.cached_runs import cached_run
from mdnn.runtime import kept_logging, quiet_logger
from mdnn.serving.export.signature_lifetime import keep_variables
from mdnn.serving.export.warmup import write_warmup
from mdnn.tasks.density_rule import run_for
from mdnn.tasks.registry import task_class
from mdnn.tensorflow_graphs import forgetting_gradients


@native_graphs(False)
@forgetting_gradients()
def export(run, directory, xla=True, density=None, identity=None):
    """Exports a trained network for serving.

    `directory`/1 (or the next number that is free) is a SavedModel as TensorFlow Serving loads
    it, with the signatures of the network's task:

    - `serving_default`: `tokens` int32 `[batch, positions, 8]` to `scores` float32
      `[batch, positions, classes]` (bytes conditioned on the likeliest earlier ones; left out where
      a context has more than `mdnn.serving.export.exported_network.MAX_SCORES`) and `unit` int32
      `[batch, positions, 4]`, the likeliest token of every position: modality and bytes. Tokens
      that the network has no tables for are refused.
    - `generate`, of a network of texts that decodes autoregressively: `prompt` string `[batch]`,
      `length` int32, `temperature` float32 and `seed` int32 (each one value, or `[batch]`) to
      `text` string `[batch]`, UTF-8. XLA compiles it where it is served, for every power of two
      of the batch; TensorFlow Serving does that with `--xla_cpu_compilation_enabled=true`.
    - `answer_text`, `answer_image`, `answer_grey`, `answer_audio`, `answer_spectrum` (sounds as
      grids), of a network of items, for each kind that it has: the strings `text` (UTF-8),
      `image` (a PNG of 8-bit RGB or grey) and `audio` (a 16-bit mono WAV at the network's
      rate), `[batch]` each, are the prompt, in this order, `""` where there is none; `seed` int32,
      `temperature` float32 and `decoding` string (`"autoregressive"`, `"parallel"` or
      `"masked_diffusion"`, those that were trained), one value or `[batch]`.
      Signatures that answer sounds also take `samples` (int32; 0: the network chooses the
      length). Picture signatures take `height` and `width`, spectrum signatures `moments` (all
      int32), unless only one shape was trained. The output is `text` (UTF-8), `image` (PNG) or
      `audio` (WAV), string `[batch]`. Films are neither accepted nor answered.
    - `guided_text`, `guided_image` and so on: the same with `guidance_scale` float32, one value or
      `[batch]`, 1 for none, and the negative prompts `negative_text`, `negative_image` and
      `negative_audio`, string `[batch, negatives]` each, those without columns empty; of a network
      that was trained for masked diffusion also `revise` int32, one value or `[batch]`.

    Answers are those of `mdnn.generate` for the same prompt, options and seed. Quantized weights
    (see `mdnn.quantize`) are as small in the SavedModel as in the run folder. Invalid inputs raise
    InvalidArgumentError. All signatures but `guided_*` are warmed up by
    `assets.extra/tf_serving_warmup_requests`.

    Args:
        run: a run folder.
        directory: output folder, created if missing.
        xla: whether XLA compiles `generate` of a network of texts. Without it, it runs anywhere,
            and more slowly.
        density: float, a trained density (`train.density`), at which the network is exported;
            `None` for the whole network.
        identity: a file that `mdnn.adapt` made for this network, or `None`.

    Returns:
        `pathlib.Path` of the SavedModel.

    Raises:
        MdnnError: no run folder, a directory that is a file, a backend other than TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise MdnnError(
            f"export needs the TensorFlow backend, Keras runs on {keras.backend.backend()}"
        )
    run = run_for(cached_run(run), density, identity=identity)
    directory = as_path(directory, "directory")
    if directory.exists() and not directory.is_dir():
        raise MdnnError(f"{directory} is a file, expected a folder to export into")
    exported = exported_by_task(run, xla)
    taken = [int(path.name) for path in directory.glob("*") if path.name.isdecimal()]
    target = directory / str(max(taken, default=0) + 1)
    # TensorFlow Serving watches for numbered folders: the number appears when all is there.
    with making(target) as part:
        # TensorFlow's word on where it writes names a folder that is about to be renamed.
        with kept_logging(), quiet_logger("tensorflow", logging.WARNING):
            module, signatures = _module(exported)
            tf.saved_model.save(module, str(part), signatures=signatures)
        keep_variables(part)
        write_warmup(part, exported.examples())
    return target


def exported_by_task(run, xla=True):
    """Returns a network as its task exports it.

    Args:
        run: `mdnn.runs.run_folder.Run`.
        xla: see `export`.

    Returns:
        `mdnn.serving.export.exported_network.ExportedNetwork`, or the subclass that the task names.

    Raises:
        MdnnError: a task whose networks are not exported.
    """
    exporter = task_class(run.config).exported_as
    if exporter is None:
        raise MdnnError(
            f"a network of {run.config.context.layout} ({run.config.data.source}) has no "
            "signatures to export or serve; mdnn generate runs it"
        )
    if isinstance(exporter, str):
        module, _, name = exporter.partition(":")
        exporter = getattr(importlib.import_module(module), name)
    return exporter(run, xla)


def _module(exported):
    """Returns the module to save, with only the objects that the functions need, and the functions.

    They are its attributes, too, so that they can be called by name after loading.
    """
    module, signatures = tf.Module(), exported.signatures()
    module.held = exported.held
    for name, function in signatures.items():
        setattr(module, name, function)
    return module, signatures
