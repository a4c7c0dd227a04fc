"""Starts a new run with the weights of another one."""

import dataclasses
import pathlib

from mdnn.errors import MdnnError
from mdnn.runs.origin import read_origin, write_origin
from mdnn.runs.run_folder import Run, open_run
from mdnn.runs.safetensors_io import arrays_by_path, spec_of
from mdnn.training import checkpoint

MOST_NAMED = 3
"""Largest number of weights that an error names one by one."""


@dataclasses.dataclass(frozen=True)
class Start:
    """The run that a new run takes its weights from.

    Args:
        run: `Run`.
        optimizer: bool, whether to take the optimizer's state as well.
    """

    run: Run
    optimizer: bool = False

    @property
    def name(self):
        """The run's path, or words for a network that has none."""
        return "a network in memory" if self.run.path is None else str(self.run.path.resolve())

    @property
    def step(self):
        """The step of the run's newest checkpoint; `None` without one."""
        newest = None if self.run.path is None else checkpoint.newest(self.run.path)
        return None if newest is None else int(newest.stem.removeprefix("step-"))

    def arrays(self):
        """Returns the values to start with: a dict from names as in `sections_of`, flattened."""
        if not self.optimizer:
            values = arrays_by_path(self.run.model.weights)
            return {f"model/{name}": array for name, array in values.items()}
        arrays, _ = checkpoint.read_newest(self.run.path)
        wanted = ("model/", "optimizer/")
        return {name: array for name, array in arrays.items() if name.startswith(wanted)}

    def record(self, folder):
        """Writes the origin into a new run folder."""
        write_origin(folder, "started", self.name, self.step, self.optimizer)


def make_start(config, init_from, optimizer=False):
    """Opens the run that a new run is started from.

    Args:
        config: `mdnn.Config` of the new run.
        init_from: an argument of `mdnn.runs.run_folder.open_run`: a run folder, a `.keras` file, a
            `Network` or a `Run`; or `None`.
        optimizer: bool, see `Start`.

    Returns:
        `Start`; `None` without `init_from`.

    Raises:
        MdnnError: no run, or one without a checkpoint or with another optimizer if its
            optimizer's state is requested.
    """
    if init_from is None:
        if optimizer:
            raise MdnnError("init_optimizer takes the state of the run that init_from names")
        return None
    start = Start(open_run(init_from), bool(optimizer))
    if not optimizer:
        return start
    if start.step is None:
        raise MdnnError(
            f"{start.name} has no checkpoint: init_optimizer takes the optimizer's state from one"
        )
    theirs, ours = (one.train.optimizer.name for one in (start.run.config, config))
    if theirs != ours:
        raise MdnnError(
            f"init_optimizer: expected train.optimizer.name = {theirs!r} as in {start.name}, "
            f"received {ours!r}"
        )
    return start


def recorded_start(config, path):
    """Returns the `Start` of a run folder that was killed before its first checkpoint.

    Args:
        config: `mdnn.Config` of the run.
        path: the run folder.

    Raises:
        MdnnError: it was started from a network in memory, or from a run that is gone.
    """
    origin = read_origin(path)
    if origin is None:
        return None
    # Growing writes a checkpoint first; what has none began with a run's weights alone.
    if not pathlib.Path(origin["run"]).exists():
        raise MdnnError(
            f"{path} has no checkpoint yet and was started from {origin['run']}, which is not "
            "there: expected a new run"
        )
    return make_start(config, origin["run"], origin["optimizer"])


def take_start(start, sections):
    """Assigns the values of another run to the variables of a new one: all, or none.

    Args:
        start: `Start`.
        sections: dict of the new run's variables (`mdnn.training.checkpoint.sections_of`).

    Raises:
        MdnnError: names the weights that do not fit, with both shapes.
    """
    arrays = start.arrays()
    wanted = ("model", "optimizer") if start.optimizer else ("model",)
    variables = {
        f"{part}/{name}": variable for part in wanted for name, variable in sections[part].items()
    }
    check_shapes(
        {name: tuple(array.shape) for name, array in arrays.items()},
        {name: shape for name, (_, shape) in spec_of(variables).items()},
        start.name,
    )
    for name, variable in variables.items():
        variable.assign(arrays[name])


def check_shapes(theirs, ours, name):
    """Refuses weights that do not fit.

    Args:
        theirs, ours: dicts from names to shapes, of the other run and of the new one.
        name: str, the other run.

    Raises:
        MdnnError: names the first weights that differ, with both shapes, and counts the others.
    """
    wrong = []
    for key in dict.fromkeys([*ours, *theirs]):
        short = key.removeprefix("model/")
        if key not in theirs:
            wrong.append(f"{short!r} is missing there and {_shape(ours[key])} here")
        elif key not in ours:
            wrong.append(f"{short!r} is {_shape(theirs[key])} there and missing here")
        elif theirs[key] != ours[key]:
            wrong.append(f"{short!r} is {_shape(theirs[key])} there and {_shape(ours[key])} here")
    if wrong:
        more = len(wrong) - MOST_NAMED
        rest = f"; and {more:,} more" if more > 0 else ""
        raise MdnnError(
            f"the weights of {name} do not fit this config: {'; '.join(wrong[:MOST_NAMED])}{rest}. "
            "mdnn grow makes a run larger, mdnn shrink smaller"
        )


def _shape(shape):
    return " x ".join(map(str, shape)) or "one number"
