"""Makes the native decoder of a run."""

from mdnn.kernels.file_network import file_network
from mdnn.kernels.native_texts import NativeDecoder
from mdnn.kernels.network_plan import NativePlan
from mdnn.runs.run_files import WEIGHTS


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
        return NativeDecoder(_plan(run, steps, overlap))
    made = vars(run).setdefault("native_decoders", {})
    if steps not in made:
        made[steps] = NativeDecoder(_plan(run, steps, overlap))
    return made[steps]


def _plan(run, steps, overlap):
    """Lowers the network of a run: the one that it holds, or the one in its folder."""
    words = len(run.tokenizer.words)
    # A run that holds another network than its folder's has it in float32.
    if run.path is None or ("model" in vars(run) and run.dtype == "float32"):
        return NativePlan(run.model, steps, overlap, words)
    network, file = file_network(run.config, run.words, run.path / WEIGHTS)
    return NativePlan(network, steps, overlap, words, file.weight)
