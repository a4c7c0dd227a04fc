"""Makes a run folder with quantized weights from another run folder."""

from pathlib import Path

from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.files import making
from mdnn.runs.item_statistics import ITEMS, read_item_statistics, write_item_statistics
from mdnn.runs.quantization import check_dtype, pack_weights
from mdnn.runs.run_files import WEIGHTS, write_about
from mdnn.runs.run_folder import open_run
from mdnn.runs.safetensors_io import arrays_by_path, write_arrays


def quantize(run, to="int8", out=None):
    """Makes a run folder with quantized weights from a trained network.

    The folder lacks the checkpoints, the loss curve and the samples, and training cannot be
    resumed from it. It can be opened, used for generation, evaluated and exported like the
    original. On TensorFlow, 8-bit and 4-bit matrices of 262,144 weights and more stay quantized in
    memory when it is opened; all other weights are expanded to float32 (see "Small weights" in
    docs/architecture.md).

    Args:
        run: a run folder, or a result of `mdnn.runs.run_folder.open_run`.
        to: `"int8"`, `"int4"` or `"float16"`; see `mdnn.runs.quantization`.
        out: the folder to make; `None` for the name of the run followed by `-` and `to`.

    Returns:
        `pathlib.Path` of the new folder.

    Raises:
        MdnnError: `to` is unknown, `run` is not a run folder, its weights are quantized already or
            do not fit its config, or `out` already exists.
    """
    run, out = check_quantize(run, to, out)
    arrays, about = pack_weights(arrays_by_path(run.model.weights), to)
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
    """Checks the arguments of `quantize`; returns the `Run` and the path of the new folder.

    Args:
        run, to, out: see `quantize`.

    Raises:
        MdnnError: see `quantize`.
    """
    check_dtype(to)
    run = open_run(run)
    if run.dtype != "float32":
        raise MdnnError(
            f"{run.path} has {run.dtype} weights already: expected the run from which they were "
            "made"
        )
    if out is None:
        if run.path is None:
            raise MdnnError("out: expected a new folder for a network in memory, received none")
        path = Path(run.path)
        # "." and ".." have no name: resolve them.
        path = path.resolve() if path.name in ("", "..") else path
        out = path.with_name(f"{path.name}-{to}")
    out = as_path(out, "out")
    if out.exists() or out.is_symlink():
        raise MdnnError(f"out: {out} already exists; choose another folder")
    above = next(folder for folder in out.parents if folder.exists())
    if not above.is_dir():
        raise MdnnError(f"out: {above} is a file, expected a folder to make {out.name} in")
    return run, out
