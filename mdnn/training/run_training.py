"""Defines `mdnn.train`: prepares a run folder and trains in it."""

from pathlib import Path

import keras

from mdnn.config.load import load_config
from mdnn.datasets.fingerprint import source_change, write_source
from mdnn.file_systems import as_path
from mdnn.files import check_new_folder, sweep
from mdnn.keras_settings import check_mesh_backend, check_training_backend
from mdnn.models.builder import build
from mdnn.runs.origin import format_origin, read_origin
from mdnn.runs.run_files import CONFIG, write_about
from mdnn.runs.run_folder import Run
from mdnn.tasks.head_init import init_head_bias
from mdnn.tensorflow_graphs import forgetting_gradients
from mdnn.training.determinism import deterministic_ops
from mdnn.training.growing.training_state import check_stages
from mdnn.training.init_from import take_start
from mdnn.training.notebook_display import make_display
from mdnn.training.preparation import anchored, own_folders, prepare_run
from mdnn.training.run_lock import locked
from mdnn.training.trainer import Training


@forgetting_gradients()
def train(
    config,
    out,
    resume=False,
    show=True,
    init_from=None,
    init_optimizer=False,
    source=None,
    num_processes=None,
    process_id=None,
    coordinator=None,
):
    """Trains the network of a config and writes it to a run folder.

    The model unrolls refeed steps, if configured, so each optimizer step performs backpropagation
    through time; `model.fit` on the same batches and loss takes the same steps.

    Args:
        config: `mdnn.Config` or the path of a config file.
        out: path of the run folder to create. Ctrl-C ends the training early and saves the weights
            reached so far.
        resume: bool, whether to continue the run in `out` with its stored config; of `config` only
            the training budget and the mesh are used.
        show: bool, whether to show progress on standard error.
        init_from: another run whose weights the new one starts with (fine-tuning): a run folder,
            the `Run` of an opened one, a `Network` or a `.keras` file. All of its weights fit the
            config, by name and shape, or none is taken.
        init_optimizer: bool, whether to take the state of the optimizer from the newest checkpoint
            of `init_from` as well; it is new otherwise.
        source: str, with `resume` the data source to go on with; `None` for the run's own.
        num_processes: int, on JAX, the number of processes that train together, each of which calls
            this function before JAX computes anything (docs/long.md); `None` for one, or what the
            environment says.
        process_id: int, the number of this process, from 0. The first one alone reads and writes
            the run folder.
        coordinator: str, `ADDRESS:PORT` at which process 0 is reached by all.

    Returns:
        dict: the metrics of `evaluate` on the validation data (without the sliding windows of
        texts), `parameters`, `steps`, `seconds`, `characters_per_second` (`tokens_per_second` for
        items, `positions_per_second` for puzzles), `stopped`, `signal` (name of the signal that
        stopped the training, or None) and `run`; with `train.not_finite = "skip"` also `skipped`.

    Raises:
        MdnnError: a Keras backend other than TensorFlow and JAX; `out` is not empty, is in use by
            another process or was created by a newer mdnn; `init_from` is not a run, or its weights
            do not fit; the source is unreadable; the text is
            too short for the context or items do not fit it; the loss is not finite; a mesh on
            another backend than JAX, or processes that do not meet or differ in config, version or
            data.
        OSError: full disk or unwritable folder; existing files are left in place.
    """
    check_training_backend(keras.backend.backend())
    if isinstance(config, (str, Path)):
        config = load_config(config)
    config = anchored(config)
    path = as_path(out, "out")
    numbers = num_processes, process_id, coordinator
    if config.mesh.devices == 1 and numbers == (None, None, None):
        prepared = prepare_run(config, path, resume, source, init_from, init_optimizer)
        return _run_training(prepared, path, show)
    # Deferred: it needs JAX.
    check_mesh_backend(keras.backend.backend())
    from mdnn.training.mesh.mesh_run import train_on_mesh

    options = resume, source, init_from, init_optimizer
    return train_on_mesh(config, path, options, show, numbers, _run_training)


def _run_training(prepared, path, show, devices=None, group=None):
    """Prepares a training and runs it; see `train`.

    Args:
        prepared: `PreparedRun`.
        path: `pathlib.Path` of the run folder.
        show: bool, see `train`.
        devices, group: see `mdnn.training.mesh.mesh_training.MeshTraining`; `None` without a mesh.
    """
    with deterministic_ops(prepared.config.train.deterministic):
        if group is None:
            task = prepared.open_task()
        else:
            task = group.agree(prepared.open_task, prepared.facts)
        training = _make_training(prepared, task, path, show, devices, group)
        if group is not None and not group.leads:
            training.share()
            return training.run_all()
        path.mkdir(parents=True, exist_ok=True)
        with locked(path):
            _begin(prepared, task, training, path)
            if group is not None:
                training.share()
            return training.run_all()


def _make_training(prepared, task, path, show, devices, group):
    """Builds the network and the training of a run."""
    config, stages = prepared.config, prepared.stages
    run = Run(path, stages[prepared.stage], task.words)
    if len(stages) > 1 and not prepared.begun:
        check_stages(stages, run.words)
    model = build(run.config, run.words)
    run = run.holding(model if devices is None else devices.divided(model))
    display = make_display(show, unit=task.unit)
    if group is None:
        training = Training(run, task, display, config)
    else:
        from mdnn.training.mesh.mesh_training import MeshTraining

        training = MeshTraining(run, task, display, config, devices, group)
    if prepared.start is not None:
        take_start(prepared.start, training.sections())
        training.round_weights()
    return training


def _begin(prepared, task, training, path):
    """Restores the newest checkpoint of a run folder, or makes a new run folder."""
    config, run = prepared.config, training.run
    for folder in own_folders(path):
        sweep(folder)
    if prepared.begun:
        training.restore()
        if load_config(path / CONFIG).data.source != config.data.source:
            training.display.say(f"{path}: the source is {config.data.source} from here on")
            write_about(path, config, run.words)
            write_source(path, config.data.source, task.fingerprint())
        elif changed := source_change(path, task.fingerprint()):
            training.display.say(changed)
        return
    # Check again under the lock: another process may have created the folder meanwhile.
    if not prepared.resume:
        check_new_folder(path, resumable=True)
    else:
        training.display.say(f"{path} has no checkpoint yet: it begins again")
    start = prepared.start
    if start is None:
        init_head_bias(run.model.heads, task.head_tokens())
        task.measure_for(run.model)
    else:
        start.record(path)
    write_about(path, config, run.words)
    task.write_about(path)
    write_source(path, config.data.source, task.fingerprint())
    if start is not None:
        # From here on the run no longer needs the other one.
        training.save()
        training.display.say(f"{path}: {format_origin(read_origin(path))}")
