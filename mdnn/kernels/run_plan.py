"""Plans of run folders: weights go from the file to the library, small ones as codes."""

import contextlib

from mdnn.errors import MdnnError
from mdnn.kernels.lowering import numbers
from mdnn.kernels.matrices import Codes
from mdnn.kernels.native_texts import NativeDecoder
from mdnn.kernels.network_plan import NativePlan, check_single
from mdnn.machine import return_free_memory
from mdnn.recently_used import recently_used
from mdnn.runs.mapped_arrays import MappedArrays
from mdnn.runs.quantization import read_stored
from mdnn.runs.run_files import WEIGHTS

MAX_DECODERS = 4
"""Most decoders of a run that are kept; each has its weights."""


def decoder_of_run(run, steps=None, overlap=1, rounded=False):
    """Returns the `NativeDecoder` of a run, the same object for the same number of steps and
    rounding.

    Args:
        run: `mdnn.runs.run_folder.Run` of texts. The weights of a run in memory are read again in
            every call.
        steps, overlap, rounded: see `NativePlan`.

    Raises:
        MdnnError: the library is not built, or the weights file is damaged.
        mdnn.kernels.lowering.NotLoweredError: names the block that the library cannot run.
    """
    if run.path is None:
        words = len(run.tokenizer.words)
        return NativeDecoder(NativePlan(run.model, steps, overlap, words, rounded=rounded))
    made, key = run.cache.setdefault("native_decoders", {}), (steps, rounded)

    def make():
        return NativeDecoder(_plan_of_folder(run, steps, overlap, rounded))

    return recently_used(made, key, make, MAX_DECODERS)


def _plan_of_folder(run, steps, overlap, rounded):
    """Lowers the network of a run folder; quantized weights are packed as codes.

    The network is forgotten afterwards, unless the run has it already: the library needs none.
    """
    check_single(run.config)
    # A tokenizer of subwords drops its table at its first text: the network is made in that memory.
    with contextlib.suppress(MdnnError):
        run.tokenizer.ids("a")
    # The model of a run of float32 may have other weights than the file: those of an identity.
    in_memory = run.dtype == "float32" and run.has_model
    weights = None if in_memory else _StoredWeights(run.path / WEIGHTS)
    network = run.model if weights is None else run.outline(weights.file)
    plan = NativePlan(network, steps, overlap, len(run.tokenizer.words), weights, rounded)
    del network, weights
    return_free_memory()
    return plan


class _StoredWeights:
    """Gives weights of two axes as they are stored in a weights file.

    Args:
        path: the file, whose names and shapes are known to fit the network.
    """

    def __init__(self, path):
        self.file = MappedArrays(path)
        self.arrays = self.file.arrays
        self.stored = read_stored(self.arrays, self.file.about, path)

    def __call__(self, variable):
        """Returns the weight of a variable for `Arrays.matrix`."""
        # Pages of weights that are already packed are no longer needed.
        self.file.forget_pages()
        name = variable.path
        if name not in self.stored:
            return self.arrays[name]
        names = (name, f"{name}:scales", f"{name}:offsets")
        small = codes_of(self.stored[name], *map(self.arrays.get, names))
        return numbers(variable) if small is None else small


def codes_of(stored, codes, scales=None, offsets=None):
    """Returns a stored weight for `Arrays.matrix`.

    Args:
        stored: `mdnn.runs.quantization.Stored` of an array of two axes.
        codes: the array in the file.
        scales, offsets: arrays `[groups]` of the file, or `None`.

    Returns:
        float16 array, or `Codes`; `None` where a group holds weights of several lines.
    """
    if stored.dtype == "float16":
        return codes
    outer, inner = stored.shape[::-1] if stored.turned else stored.shape
    four = stored.dtype == "int4"
    group = codes.shape[1] * (2 if four else 1)
    if inner % group:
        return None
    groups = outer, inner // group
    return Codes(
        codes.reshape(outer, -1),
        scales.reshape(groups),
        4 if four else 8,
        # Codes of 4 bits are centred unless their groups have offsets.
        8.0 if four and offsets is None else 0.0,
        None if offsets is None else offsets.reshape(groups),
        stored.turned,
        paired=four,
    )
