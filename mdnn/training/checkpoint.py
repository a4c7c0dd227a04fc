"""The state of a training run in one file, so that it can stop and go on."""

import dataclasses
import json

from mdnn.errors import MdnnError
from mdnn.models.run import assign, named, read_arrays, write_arrays

FILE = "checkpoints/last.safetensors"


@dataclasses.dataclass
class Progress:
    """How far a run is.

    Args:
        step: optimizer steps done.
        seconds: time spent training.
    """

    step: int = 0
    seconds: float = 0.0


def save(path, model, optimizer, progress):
    """Writes weights, optimizer and progress to `path`/checkpoints, atomically."""
    arrays = {f"model/{name}": array for name, array in named(model.weights).items()}
    state = {f"optimizer/{name}": array for name, array in named(optimizer.variables).items()}
    (path / FILE).parent.mkdir(parents=True, exist_ok=True)
    about = {"progress": json.dumps(dataclasses.asdict(progress))}
    write_arrays(path / FILE, arrays | state, about)


def restore(path, model, optimizer):
    """Reads what `save` wrote into model and optimizer.

    Returns:
        The `Progress`.

    Raises:
        MdnnError: no checkpoint, a damaged one, or one of another network.
    """
    file = path / FILE
    if not file.is_file():
        raise MdnnError(f"{path} has no checkpoint to go on from: {FILE} is missing")
    arrays, about = read_arrays(file)
    try:
        progress = Progress(**json.loads(about["progress"]))
    except (KeyError, TypeError, ValueError):
        raise MdnnError(f"{file} does not say how far the run was") from None
    for part, variables in (("model", model.weights), ("optimizer", optimizer.variables)):
        start = f"{part}/"
        own = {n[len(start) :]: a for n, a in arrays.items() if n.startswith(start)}
        assign(variables, own, file)
    return progress
