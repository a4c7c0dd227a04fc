"""The state of a training run in one file, so that it can stop, or be stopped, and go on.

A run folder keeps the last few checkpoints, `checkpoints/step-<number>.safetensors`. A new one is
whole and on the disk before the oldest is removed, so that at every moment there is one that can
be read. A check sum tells a damaged one. `checkpoints/best.safetensors` holds the weights of the
lowest validation loss, in the form of model.safetensors.
"""

import contextlib
import dataclasses
import json

from keras.ops import convert_to_numpy as to_numpy

from mdnn.errors import MdnnError
from mdnn.runs.safetensors_io import check_arrays, named, read_arrays, spec_of, write_arrays
from mdnn.strict_json import parse_json

FOLDER = "checkpoints"
BEST = f"{FOLDER}/best.safetensors"


@dataclasses.dataclass
class Progress:
    """How far a run is: what the loop knows beside weights and optimizer.

    Args:
        step: steps done.
        seconds: time spent training.
        skipped: how many of the steps were skipped, their loss not being finite.
        running: how many of them one after another, the last one among them.
        best: lowest validation loss so far; None before the first.
        validation: dict from ways to write to the last validation loss.
        train_loss: dict from ways to the mean nats in the last row of metrics.csv.
        losses: list of `[way, loss]` of the steps since that row.
    """

    step: int = 0
    seconds: float = 0.0
    skipped: int = 0
    running: int = 0
    best: float | None = None
    validation: dict = dataclasses.field(default_factory=dict)
    train_loss: dict = dataclasses.field(default_factory=dict)
    losses: list = dataclasses.field(default_factory=list)


def parts_of(model, optimizer):
    """What a checkpoint holds of a network and its optimizer.

    Returns:
        dict from the names of parts to dicts from names to variables. A trainer that has more
        state (swapped_in weights, a state that is carried on) adds parts of its own.
    """
    return {
        "model": {variable.path: variable for variable in model.weights},
        "optimizer": {variable.path: variable for variable in optimizer.variables},
        "seed": {str(k): variable for k, variable in enumerate(_seeds(model))},
    }


def save(path, parts, progress, keep=1):
    """Writes a checkpoint into a run folder, and then removes the ones that are not kept.

    Args:
        path: `pathlib.Path` of the run folder.
        parts: what `parts_of` gives, maybe with more.
        progress: `Progress`.
        keep: int, how many checkpoints there are then at most.

    Raises:
        OSError: a full disk, a folder that cannot be written to; the ones before stay.
    """
    (path / FOLDER).mkdir(parents=True, exist_ok=True)
    arrays = {name: to_numpy(variable) for name, variable in _flat(parts).items()}
    about = {"progress": json.dumps(dataclasses.asdict(progress), allow_nan=False)}
    write_arrays(path / FOLDER / f"step-{progress.step:09}.safetensors", arrays, about)
    kept = [file for step, file in _found(path) if step <= progress.step][:keep]
    # Later ones are those that training did not go on from.
    for _, file in _found(path):
        if file not in kept:
            # A file that another program has open (Windows) is removed the next time.
            with contextlib.suppress(PermissionError, FileNotFoundError):
                file.unlink()


def save_best(path, model, step, nats):
    """Writes a network's weights, those of the lowest validation loss so far."""
    (path / FOLDER).mkdir(parents=True, exist_ok=True)
    about = {"step": str(step), "validation_loss": repr(nats)}
    write_arrays(path / BEST, named(model.weights), about)


def newest(path):
    """Path of a run folder's newest checkpoint, `None` where there is none."""
    return next((file for _, file in _found(path)), None)


def restore(path, parts, say=None):
    """Reads the newest checkpoint that can be read.

    Args:
        path: `pathlib.Path` of the run folder.
        parts: as for `save`; its variables are given what was saved.
        say: function that is told in a line of a checkpoint that is damaged.

    Returns:
        The `Progress`.

    Raises:
        MdnnError: no checkpoint, none that can be read, or one of another network; nothing is
            assigned then.
    """
    found, damaged = _found(path), None
    if not found:
        raise MdnnError(f"{path} has no checkpoint to go on from: {FOLDER} has none")
    for _, file in found:
        try:
            arrays, progress = _read(file)
        except MdnnError as error:
            damaged = damaged or error
            continue
        variables = _flat(parts)
        specs = {name: (str(array.dtype), array.shape) for name, array in arrays.items()}
        check_arrays(specs, spec_of(variables), file)
        if damaged and say is not None:
            say(f"{damaged}; going on from {file.name}, the one before")
        for name, variable in variables.items():
            variable.assign(arrays[name])
        return progress
    raise damaged


def _read(file):
    arrays, about = read_arrays(file)
    where = f"{file}: progress"
    table = parse_json(about.get("progress", ""), where)
    fields = {field.name: field for field in dataclasses.fields(Progress)}
    if not isinstance(table, dict) or set(table) != set(fields):
        raise MdnnError(f"{file} does not say how far the run was")
    for name, value in table.items():
        if not _KINDS[name](value):
            raise MdnnError(f"{where}: {name}: received {str(value)[:40]!r}")
    return arrays, Progress(**table)


def _count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _nats(value):
    return isinstance(value, dict) and all(isinstance(nats, float) for nats in value.values())


_KINDS = {
    "step": _count,
    "seconds": lambda value: isinstance(value, (int, float)) and value >= 0,
    "skipped": _count,
    "running": _count,
    "best": lambda value: value is None or isinstance(value, float),
    "validation": _nats,
    "train_loss": _nats,
    "losses": lambda value: (
        isinstance(value, list)
        and all(isinstance(pair, list) and len(pair) == 2 for pair in value)
        and all(isinstance(nats, float) for _, nats in value)
    ),
}


def _found(path):
    """The checkpoints of a run folder, `(step, path)`, the newest first."""
    files = (path / FOLDER).glob("step-*.safetensors") if (path / FOLDER).is_dir() else ()
    steps = ((file.stem.removeprefix("step-"), file) for file in files)
    return sorted(((int(n), file) for n, file in steps if n.isdecimal()), reverse=True)


def _flat(parts):
    """Parts as one dict from the names in the file to variables."""
    return {f"{part}/{name}": v for part, own in parts.items() for name, v in own.items()}


def _seeds(model):
    """States of the layers' random generators. Keras numbers their names anew in each process,
    so their order tells them apart."""
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]
