"""The state of a training run in one file, so that it can stop and go on."""

import dataclasses
import json

from keras.ops import convert_to_numpy as to_numpy

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
    """Writes weights, optimizer, random state and progress to `path`/checkpoints, atomically."""
    arrays = {f"model/{name}": array for name, array in named(model.weights).items()}
    state = {f"optimizer/{name}": array for name, array in named(optimizer.variables).items()}
    seeds = {f"seed/{k}": array for k, array in enumerate(map(to_numpy, _seeds(model)))}
    (path / FILE).parent.mkdir(parents=True, exist_ok=True)
    about = {"progress": json.dumps(dataclasses.asdict(progress))}
    write_arrays(path / FILE, arrays | state | seeds, about)


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
    for k, variable in enumerate(_seeds(model)):
        array = arrays.get(f"seed/{k}")
        if array is None or array.shape != tuple(variable.shape):
            raise MdnnError(f"{file} lacks the state of dropout number {k}")
        variable.assign(array)
    return progress


def _seeds(model):
    """States of the layers' random generators. Keras numbers their names anew in each process,
    so their order tells them apart."""
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]
