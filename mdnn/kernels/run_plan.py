"""Plans of run folders: weights go from the file to the library, small ones as codes."""

import keras
import numpy as np

from mdnn.kernels.matrices import Codes
from mdnn.kernels.native_texts import NativeDecoder
from mdnn.kernels.network_plan import NativePlan
from mdnn.models.builder import build
from mdnn.runs.quantization import check_stored, expand, read_stored, scales_name
from mdnn.runs.run_files import WEIGHTS
from mdnn.runs.safetensors_io import read_arrays, spec_of


def run_decoder(run, steps=None, overlap=1):
    """Returns the `NativeDecoder` of a run, made once for each number of steps.

    Args:
        run: `mdnn.runs.run_folder.Run` of texts. The weights of a run in memory are read anew in
            every call.
        steps, overlap: see `NativePlan`.

    Raises:
        MdnnError: the library is not built, or the weights file is damaged.
        mdnn.kernels.lowering.NotLoweredError: names the block that the library cannot run.
    """
    if run.path is None:
        return NativeDecoder(NativePlan(run.model, steps, overlap, len(run.tokenizer.words)))
    made = vars(run).setdefault("native_decoders", {})
    if steps not in made:
        made[steps] = NativeDecoder(_plan_of_folder(run, steps, overlap))
    return made[steps]


def _plan_of_folder(run, steps, overlap):
    """Lowers the network of a run folder without Keras' float32 weights.

    The network is built without values. The library gets products and tables as they are stored;
    other weights are expanded one after another while the plan is made.
    """
    with keras.StatelessScope():
        network = build(run.config, run.words)
    file = _WeightsFile(run.path / WEIGHTS, network.weights)
    with file:
        return NativePlan(network, steps, overlap, len(run.tokenizer.words), file.weight)


class _WeightsFile(keras.StatelessScope):
    """Gives the variables of a network the values in a weights file, when they are read.

    Args:
        path: the file.
        variables: the variables, which need not have values.

    Raises:
        MdnnError: the file is damaged, or holds other weights.
    """

    def __init__(self, path, variables):
        super().__init__()
        self.arrays, about = read_arrays(path)
        self.stored = read_stored(self.arrays, about, path)
        named = {variable.path: variable for variable in variables}
        check_stored(self.arrays, self.stored, spec_of(named), path)
        self.paths = {id(variable): name for name, variable in named.items()}

    def get_current_value(self, variable):
        """Returns the value of a variable; called by Keras inside this scope."""
        name = self.paths.get(id(variable))
        return None if name is None else self._expanded(name)

    def weight(self, variable):
        """Returns a weight of two axes for `Arrays.matrix`."""
        name = self.paths[id(variable)]
        if name not in self.stored:
            return self.arrays[name]
        scales = self.arrays.get(scales_name(name))
        small = codes_of(self.stored[name], self.arrays[name], scales)
        return np.asarray(self._expanded(name)) if small is None else small

    def _expanded(self, name):
        if name not in self.stored:
            return keras.ops.convert_to_tensor(self.arrays[name])
        names = [n for n in (name, scales_name(name)) if n in self.arrays]
        some = {n: self.arrays[n] for n in names}
        return expand(some, {name: self.stored[name]})[name]


def codes_of(stored, codes, scales):
    """Returns a stored weight for `Arrays.matrix`.

    Args:
        stored: `mdnn.runs.quantization.Stored` of an array of two axes.
        codes: the array in the file.
        scales: float16 `[groups]`, or `None`.

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
    if four:
        codes = np.concatenate([codes & 15, codes >> 4], axis=1)
    scales = scales.reshape(outer, inner // group)
    codes = codes.reshape(outer, inner)
    return Codes(codes, scales, 4 if four else 8, 8.0 if four else 0.0, turned=stored.turned)
