"""Chooses the engine that continues texts: the native library or Keras.

Each engine is a function of `ENGINES` that makes a decoder for a run: an object with the attributes
`positions`, `slots` and `chunk` and the method `start(window, filled, settings, progress=None)`,
whose result has the method `decode(count, active=None)` of
`mdnn.generation.batch_groups.BatchGroups`.
All engines write the same texts, but `"native-int8"`, which rounds.
"""

import functools
import weakref

from mdnn.errors import MdnnError
from mdnn.generation.batch_groups import BatchGroups
from mdnn.generation.text_decoder import TextDecoder
from mdnn.generation.windows import overlap_length
from mdnn.kernels.lowering import NotLoweredError
from mdnn.kernels.native_library import native_library
from mdnn.kernels.run_plan import decoder_of_run


class KerasTexts:
    """Continues texts with Keras.

    Args:
        decoder: `TextDecoder`.
    """

    def __init__(self, decoder):
        self.decoder, self.positions, self.chunk = decoder, decoder.positions, decoder.chunk
        self.slots = decoder.slots

    def start(self, window, filled, settings, progress=None):
        """Starts texts; the arguments are those of `BatchGroups`."""
        return BatchGroups(self.decoder, window, filled, settings, progress=progress)


@functools.lru_cache(maxsize=4)
def keras_texts(model, words=0, steps=None, sampler="plain", chunk=256, xla=True):
    """Returns a cached `KerasTexts`; compiling takes longer than generating many pages of text.

    Args:
        model: a network as returned by `mdnn.build`.
        words, steps, sampler, chunk, xla: see `TextDecoder`.
    """
    decoder = TextDecoder(model, chunk, words=words, steps=steps, sampler=sampler, xla=xla)
    return KerasTexts(decoder)


SHORT = 1_000
"""Number of characters that Keras writes with a network before XLA compiles its decoder."""

_WRITTEN = weakref.WeakKeyDictionary()
"""Number of characters requested so far, by network."""


def _keras(run, steps, sampler, chunk, length=None):
    model = run.model
    if length is not None:
        _WRITTEN[model] = _WRITTEN.get(model, 0) + length
    # XLA takes longer to compile than short texts take, and twice the memory.
    xla = length is None or _WRITTEN[model] > SHORT
    return keras_texts(model, len(run.tokenizer.words), steps, sampler, chunk, xla)


def _native(run, steps, sampler, chunk, rounded=False):
    name = "native-int8" if rounded else "native"
    if native_library() is None:
        raise MdnnError(f"engine: {name!r} needs the native library: mdnn build-native")
    try:
        return decoder_of_run(run, steps, overlap_length(run.config.context.grid), rounded)
    except NotLoweredError as error:
        raise NotLoweredError(f"engine: {name!r} does not run {error}") from None


def _native_int8(run, steps, sampler, chunk):
    decoder = _native(run, steps, sampler, chunk, rounded=True)
    if not decoder.plan.roundings:
        raise MdnnError(
            "engine: 'native-int8' needs weights of 8 or 4 bits with scales for groups of inputs, "
            f"as mdnn import makes them; received {run.dtype} weights without: take 'native'"
        )
    return decoder


ENGINES = {"native": _native, "native-int8": _native_int8, "keras": _keras}
"""Engines by name, the faster first: functions `(run, steps, sampler, chunk)`; that of Keras also
takes the `length` of `text_engine`."""


def text_engine(run, name="auto", steps=None, sampler="plain", chunk=256, length=None):
    """Returns the decoder of a run.

    Args:
        run: `mdnn.runs.run_folder.Run` of a text network.
        name: one of `ENGINES`, or `"auto"`: the native library where it is built and runs the
            network. It packs the weights once, so `"auto"` takes Keras for a network in memory,
            whose weights may change.
        steps: int, refeed steps; `None` for the network's own.
        sampler: one of `mdnn.generation.sampling.SAMPLERS`.
        chunk: int, largest number of tokens per call of Keras.
        length: int, number of characters of the one text that is asked for: XLA compiles Keras'
            decoder on TensorFlow once a network has written `SHORT` of them. `None`: at once.

    Raises:
        MdnnError: the engine that was named cannot run the network.
    """
    if name == "auto":
        name = "keras" if why_not_native(run, steps) else "native"
    more = {"length": length} if name == "keras" else {}
    return ENGINES[name](run, steps, sampler, chunk, **more)


def why_not_native(run, steps=None):
    """Returns why `"auto"` does not take the native library, a string; `None` if it does."""
    if run.path is None:
        return "the network is in memory, where its weights may change"
    if native_library() is None:
        return "the native library is not built: mdnn build-native"
    try:
        decoder_of_run(run, steps, overlap_length(run.config.context.grid))
    except NotLoweredError as error:
        return str(error)
    return None
