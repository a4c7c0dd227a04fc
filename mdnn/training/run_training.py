"""Defines `mdnn.train`: prepares a run folder and trains in it."""

from pathlib import Path

import keras

from mdnn.config.growing import stage_configs
from mdnn.config.load import load_config
from mdnn.datasets.fingerprint import source_change, write_source
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.files import check_new_folder, sweep
from mdnn.keras_settings import check_training_backend
from mdnn.models.builder import build
from mdnn.runs.origin import format_origin, read_origin
from mdnn.runs.run_files import CONFIG, read_vocabulary, write_about
from mdnn.runs.run_folder import Run
from mdnn.tasks.head_init import init_head_bias
from mdnn.tasks.registry import task_for
from mdnn.tokens.text_tokenizers import has_vocabulary
from mdnn.training import checkpoint
from mdnn.training.determinism import deterministic_ops
from mdnn.training.growing.training_state import check_stages
from mdnn.training.init_from import make_start, recorded_start, take_start
from mdnn.training.notebook_display import make_display
from mdnn.training.preparation import anchored, own_folders, resumed_config
from mdnn.training.run_lock import locked
from mdnn.training.trainer import Training


def train(config, out, resume=False, show=True, init_from=None, init_optimizer=False, source=None):
    """Trains the network of a config and writes it to a run folder.

    The model unrolls refeed steps, if configured, so each optimizer step performs backpropagation
    through time; `model.fit` on the same batches and loss takes the same steps.

    Args:
        config: `mdnn.Config` or the path of a config file.
        out: path of the run folder to create. Ctrl-C ends the training early and saves the weights
            reached so far.
        resume: bool, whether to continue the run in `out` with its stored config; of `config` only
            the training budget is used.
        show: bool, whether to show progress on standard error.
        init_from: another run whose weights the new one starts with (fine-tuning): a run folder,
            the `Run` of an opened one, a `Network` or a `.keras` file. All of its weights fit the
            config, by name and shape, or none is taken.
        init_optimizer: bool, whether to take the state of the optimizer from the newest checkpoint
            of `init_from` as well; it is new otherwise.
        source: str, with `resume` the data source to go on with; `None` for the run's own.

    Returns:
        dict: the metrics of `evaluate` on the validation data (without the sliding windows of
        texts), `parameters`, `steps`, `seconds`, `characters_per_second` (`tokens_per_second` for
        items, `positions_per_second` for puzzles), `stopped`, `signal` (name of the signal that
        stopped the training, or None) and `run`; with `train.not_finite = "skip"` also `skipped`.

    Raises:
        MdnnError: a Keras backend other than TensorFlow and JAX; `out` is not empty, is in use by
            another process or was created by a newer mdnn; `init_from` is no run, or its weights
            do not fit; the source is unreadable; the text is
            too short for the context or items do not fit it; the loss is not finite.
        OSError: full disk or unwritable folder; existing files are left in place.
    """
    check_training_backend(keras.backend.backend())
    if isinstance(config, (str, Path)):
        config = load_config(config)
    config = anchored(config)
    path = as_path(out, "out")
    words = None
    if resume:
        if init_from is not None or init_optimizer:
            raise MdnnError(
                "--init-from starts a new run and --resume goes on with one: expected one of them"
            )
        config = resumed_config(config, path, source)
    else:
        if source is not None:
            raise MdnnError("source: expected with resume alone; a new run takes data.source")
        check_new_folder(path)
    begun = resume and checkpoint.newest(path) is not None
    stage = checkpoint.read_newest(path)[1].stage if begun and config.train.stage else 0
    again = resume and not begun
    start = recorded_start(path) if again else make_start(init_from, init_optimizer)
    if begun and has_vocabulary(config.tokens):
        words = read_vocabulary(path, config.tokens)
    elif start is not None and has_vocabulary(config.tokens) and start.run.words:
        words = start.run.words
    with deterministic_ops(config.train.deterministic):
        return _run_training(config, path, resume, begun, words, show, start, stage)


def _run_training(config, path, resume, begun, words, show, start=None, stage=0):
    """Makes what a training needs and runs it; see `train`."""
    stages = stage_configs(config)
    if stage >= len(stages):
        raise MdnnError(f"{path}: its checkpoint is of stage {stage}, its config has fewer")
    task = task_for(stages[stage], words).open()
    run = Run(path, stages[stage], task.words)
    if len(stages) > 1 and not begun:
        check_stages(stages, run.words)
    model = build(run.config, run.words)
    training = Training(run.holding(model), task, make_display(show, unit=task.unit), config)
    if start is not None:
        take_start(start, training.sections())
    path.mkdir(parents=True, exist_ok=True)
    with locked(path):
        for folder in own_folders(path):
            sweep(folder)
        if begun:
            training.restore()
            if load_config(path / CONFIG).data.source != config.data.source:
                training.display.say(f"{path}: the source is {config.data.source} from here on")
                write_about(path, config, run.words)
                write_source(path, config.data.source, task.fingerprint())
            elif changed := source_change(path, task.fingerprint()):
                training.display.say(changed)
        else:
            # Check again under the lock: another process may have created the folder meanwhile.
            if not resume:
                check_new_folder(path)
            else:
                training.display.say(f"{path} has no checkpoint yet: it begins again")
            if start is None:
                init_head_bias(model.heads, task.head_tokens())
                task.measure_for(model)
            else:
                start.record(path)
            write_about(path, config, run.words)
            task.write_about(path)
            write_source(path, config.data.source, task.fingerprint())
            if start is not None:
                # From here on the run no longer needs the other one.
                training.save()
                training.display.say(f"{path}: {format_origin(read_origin(path))}")
        return training.run_all()
