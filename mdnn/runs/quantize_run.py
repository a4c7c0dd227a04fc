"""A run folder with small weights, made of another one."""

from pathlib import Path

from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.files import making
from mdnn.runs.quantization import check_dtype, pack
from mdnn.runs.run_folder import (
    ITEMS,
    WEIGHTS,
    open_run,
    read_item_statistics,
    write_about,
    write_item_statistics,
)
from mdnn.runs.safetensors_io import named, write_arrays


def quantize(run, to="int8", out=None):
    """Makes a run folder with small weights of a trained network.

    It holds what another run holds but for the checkpoint, the loss curve and the samples, and
    is opened, asked, evaluated and exported like it; training does not go on with it. Weights
    become float32 when it is opened (docs/architecture.md says why), so it is as fast as the
    other one and takes as much memory.

    Args:
        run: a run folder, or what `mdnn.runs.run_folder.open_run` returns.
        to: `"int8"`, `"int4"` or `"float16"`; see `mdnn.runs.quantization`.
        out: the folder to make; None for the run's own name with `-int8` (or what `to` is) behind.

    Returns:
        `pathlib.Path` of the new folder.

    Raises:
        MdnnError: an unknown `to`, no run folder, one with small weights already, weights that do
            not fit its config, something at `out` already.
    """
    run, out = check_quantize(run, to, out)
    arrays, about = pack(named(run.model.weights), to)
    statistics = None
    if run.path is not None and (Path(run.path) / ITEMS).is_file():
        statistics = read_item_statistics(run.path)
    with making(out) as part:
        write_about(part, run.config, run.words)
        if statistics is not None:
            write_item_statistics(part, statistics)
        write_arrays(part / WEIGHTS, arrays, about)
    return out


def check_quantize(run, to, out=None):
    """What `quantize` is asked for, checked: the `Run`, and the path of the folder to make."""
    check_dtype(to)
    run = open_run(run)
    if run.dtype != "float32":
        raise MdnnError(
            f"{run.path} has {run.dtype} weights already: expected the run that it was made from"
        )
    if out is None:
        if run.path is None:
            raise MdnnError("out: expected the folder to make for a network in memory, got none")
        path = Path(run.path)
        # "." and ".." have no name of their own.
        path = path.resolve() if path.name in ("", "..") else path
        out = path.with_name(f"{path.name}-{to}")
    out = as_path(out, "out")
    if out.exists() or out.is_symlink():
        raise MdnnError(f"{out} already exists: choose another folder (--out)")
    above = next(folder for folder in out.parents if folder.exists())
    if not above.is_dir():
        raise MdnnError(f"{above} is a file, expected a folder to make {out.name} in (--out)")
    return run, out
