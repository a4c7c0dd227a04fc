"""Saves and restores the complete state of a training run in one file.

A run folder keeps the last few checkpoints, `checkpoints/step-<number>.safetensors`. A new
checkpoint is written completely before the oldest is removed, so one readable checkpoint always
exists. A checksum detects damaged files. `checkpoints/best.safetensors` holds the weights with the
lowest validation loss, in the format of model.safetensors.
"""

import contextlib
import dataclasses
import json

from mdnn.errors import MdnnError
from mdnn.runs.safetensors_io import StoredArrays, check_arrays, spec_of, specs_of, write_arrays
from mdnn.strict_json import parse_json

FOLDER = "checkpoints"
BEST = f"{FOLDER}/best.safetensors"


@dataclasses.dataclass
class Progress:
    """State of the training loop, apart from weights and optimizer.

    Args:
        step: number of completed steps.
        seconds: time spent training.
        skipped: total number of steps skipped because the loss or a gradient was not finite.
        running: length of the current streak of skipped steps; 0 after a step that was not skipped.
        best: lowest validation loss so far; None before the first evaluation.
        validation: dict from decoding modes to their last validation losses.
        train_loss: dict from decoding modes to their mean losses in the last row of metrics.csv.
        losses: list of `[mode, loss]`, one for each step since that row.
        stage: number of `[[train.stage]]` tables that are in force.
    """

    step: int = 0
    seconds: float = 0.0
    skipped: int = 0
    running: int = 0
    best: float | None = None
    validation: dict = dataclasses.field(default_factory=dict)
    train_loss: dict = dataclasses.field(default_factory=dict)
    losses: list = dataclasses.field(default_factory=list)
    stage: int = 0


def sections_of(model, optimizer):
    """Returns the variables of a network and its optimizer that a checkpoint stores.

    Returns:
        dict from the sections of a checkpoint to dicts from names to variables. A trainer with
        additional state (such as the carry of `refeed.supervision_steps`) adds its own sections.
    """
    return {
        "model": {variable.path: variable for variable in model.weights},
        "optimizer": {variable.path: variable for variable in optimizer.variables},
        "seed": {str(k): variable for k, variable in enumerate(_seeds(model))},
    }


def write_checkpoint(path, sections, progress, keep=1):
    """Writes a checkpoint into a run folder, then removes superseded checkpoints.

    Args:
        path: `pathlib.Path` of the run folder.
        sections: dict as returned by `sections_of`, possibly with additional sections.
        progress: `Progress`.
        keep: int, maximum number of checkpoints to keep.

    Raises:
        OSError: full disk or unwritable folder; earlier checkpoints are left in place.
    """
    (path / FOLDER).mkdir(parents=True, exist_ok=True)
    about = {"progress": json.dumps(dataclasses.asdict(progress), allow_nan=False)}
    write_arrays(path / FOLDER / f"step-{progress.step:09}.safetensors", _flat(sections), about)
    kept = [file for step, file in _found(path) if step <= progress.step][:keep]
    # Later checkpoints belong to an abandoned continuation of the run.
    for _, file in _found(path):
        if file not in kept:
            # On Windows a file that another program has open is removed by the next save.
            with contextlib.suppress(PermissionError, FileNotFoundError):
                file.unlink()


def save_best(path, model, step, loss):
    """Writes a network's weights as those with the lowest validation loss so far.

    Args:
        path: `pathlib.Path` of the run folder.
        model: the network.
        step: int, the current step.
        loss: float, the validation loss, in nats per unit of the task.
    """
    (path / FOLDER).mkdir(parents=True, exist_ok=True)
    about = {"step": str(step), "validation_loss": repr(loss)}
    write_arrays(path / BEST, {weight.path: weight for weight in model.weights}, about)


def newest(path):
    """Returns the path of a run folder's newest checkpoint, or `None`."""
    return next((file for _, file in _found(path)), None)


def restore(path, sections, say=None):
    """Restores the newest readable checkpoint.

    Args:
        path: `pathlib.Path` of the run folder.
        sections: as for `write_checkpoint`; the saved values are assigned to its variables.
        say: function called with one line of text when a damaged checkpoint was skipped.

    Returns:
        The `Progress`.

    Raises:
        MdnnError: no checkpoint, no readable checkpoint, or a checkpoint of a different network;
            no variable is assigned in these cases.
    """
    found, damaged = _found(path), None
    if not found:
        raise MdnnError(f"{path} has no checkpoint to resume: there is none in {FOLDER}")
    for _, file in found:
        try:
            arrays, progress = _open(file)
        except MdnnError as error:
            damaged = damaged or error
            continue
        with arrays:
            assign_sections(sections, arrays, file)
        if damaged and say is not None:
            say(f"{damaged}; going on from {file.name}, the one before")
        return progress
    raise damaged


def assign_sections(sections, arrays, where):
    """Assigns the arrays of a checkpoint to variables: all, or none.

    Args:
        sections: as for `write_checkpoint`.
        arrays: dict from flattened names to arrays, or `StoredArrays`, read one by one.
        where: the file, for errors.

    Raises:
        MdnnError: a checkpoint of a different network.
    """
    variables = _flat(sections)
    expected = spec_of(variables)
    found = {}
    for name, (dtype, shape) in specs_of(arrays).items():
        wanted, _ = expected.get(name, (dtype, shape))
        found[name] = (wanted if "int" in wanted and "int" in dtype else dtype), shape
    check_arrays(found, expected, where)
    for name, variable in variables.items():
        # Integers are wrapped around to the width that the backend of Keras has for them: counts of
        # steps have 64 bits on TensorFlow, 32 on JAX and PyTorch; seeds have a sign or none.
        variable.assign(arrays[name].astype(expected[name][0], copy=False))


def read_newest(path):
    """Reads the newest readable checkpoint.

    Args:
        path: `pathlib.Path` of the run folder.

    Returns:
        Tuple of a dict from flattened names (see `sections_of`), such as `model/NAME`, to arrays,
        and the `Progress`.

    Raises:
        MdnnError: no checkpoint, or no readable one.
    """
    damaged = None
    for _, file in _found(path):
        try:
            arrays, progress = _open(file)
        except MdnnError as error:
            damaged = damaged or error
            continue
        with arrays:
            return dict(arrays), progress
    raise damaged or MdnnError(f"{path} has no checkpoint: {FOLDER} has none")


def _open(file):
    """Returns the `StoredArrays` of a checkpoint, which the caller closes, and its `Progress`."""
    arrays = StoredArrays(file)
    try:
        return arrays, _progress(file, arrays.about)
    except BaseException:
        arrays.close()
        raise


def _progress(file, about):
    where = f"{file}: progress"
    table = parse_json(about.get("progress", ""), where)
    fields = {field.name: field for field in dataclasses.fields(Progress)}
    if isinstance(table, dict):
        # Checkpoints written before there were stages have none.
        table = {"stage": 0} | table
    if not isinstance(table, dict) or set(table) != set(fields):
        raise MdnnError(f"{where}: expected a table of {', '.join(fields)}")
    for name, value in table.items():
        expected, is_valid = _KINDS[name]
        if not is_valid(value):
            raise MdnnError(f"{where}: {name}: expected {expected}, received {str(value)[:40]!r}")
    return Progress(**table)


def _count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _nats(value):
    return isinstance(value, dict) and all(isinstance(loss, float) for loss in value.values())


def _pairs(value):
    return (
        isinstance(value, list)
        and all(isinstance(pair, list) and len(pair) == 2 for pair in value)
        and all(isinstance(loss, float) for _, loss in value)
    )


_COUNT = "a whole number of at least 0", _count
_LOSSES = "a dict of floats", _nats
_KINDS = {
    "step": _COUNT,
    "seconds": (
        "a number of at least 0",
        lambda value: isinstance(value, (int, float)) and value >= 0,
    ),
    "skipped": _COUNT,
    "running": _COUNT,
    "stage": _COUNT,
    "best": ("a float or null", lambda value: value is None or isinstance(value, float)),
    "validation": _LOSSES,
    "train_loss": _LOSSES,
    "losses": ("a list of pairs with a float", _pairs),
}


def _found(path):
    """Returns the checkpoints of a run folder as `(step, path)` pairs, newest first."""
    files = (path / FOLDER).glob("step-*.safetensors") if (path / FOLDER).is_dir() else ()
    steps = ((file.stem.removeprefix("step-"), file) for file in files)
    return sorted(((int(n), file) for n, file in steps if n.isdecimal()), reverse=True)


def _flat(sections):
    """Flattens sections into one dict from names in the file to variables."""
    return {
        f"{section}/{name}": v
        for section, variables in sections.items()
        for name, v in variables.items()
    }


def _seeds(model):
    """Returns the states of the layers' random generators, in order.

    Their names are not stable: Keras renumbers them in each process.
    """
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]
