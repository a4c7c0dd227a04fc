"""Continues texts with the native library, with the results of the Keras decoder."""

import concurrent.futures
import ctypes
import functools

import numpy as np

from mdnn.errors import MdnnError
from mdnn.kernels import structures as c
from mdnn.kernels.native_library import byte_pointer, floats, int32_pointer, native_library
from mdnn.kernels.network_plan import NativePlan
from mdnn.machine import cores

PROMPT_CHUNK = 64
"""Positions of a prompt that run as one product."""

SECONDS, BYTES_PER_SECOND = 0.2, 8e9
"""Longest time of a call, which cannot be interrupted, and the assumed speed of reading weights."""

SMALL = 1 << 18
"""Bytes of weights up to which a second thread costs more than it computes."""


class NativeDecoder:
    """Continues texts with a network, as `mdnn.generation.text_decoder.TextDecoder` does.

    Args:
        plan: `NativePlan`.
        threads: int; `None` for the cores of this process.

    Attributes:
        positions: int, positions of a context.
        slots: int, those of them that hold learned slots.
        chunk: int, largest number of tokens per call.

    Raises:
        MdnnError: the library is not built.
    """

    def __init__(self, plan, threads=None):
        self.library = native_library()
        if self.library is None:
            raise MdnnError("engine: the native library is not built: mdnn build-native")
        self.plan, self.positions, self.slots = plan, plan.positions, plan.slots
        self.threads = threads or cores()
        per_call = int(SECONDS * BYTES_PER_SECOND / max(1, plan.bytes))
        self.chunk = max(1, min(256, per_call))

    def start(self, window, filled, settings, progress=None):
        """Starts texts; see `mdnn.generation.batch_groups.BatchGroups` for the arguments.

        `progress` is not called: a prompt is read in one call.

        Returns:
            An object with the method `decode(count, active=None)` of `BatchGroups`.
        """
        return _Texts(self, window, filled, settings)

    def scores(self, tokens, targets=None, chunk=PROMPT_CHUNK):
        """Runs the first positions of a context.

        Args:
            tokens: int32 `[n, 4]`, modality and bytes.
            targets: int32 `[n, 4]` to score the steps of, or `None`.
            chunk: int, positions that run as one product.

        Returns:
            Tuple of the inputs of the heads, float32 `[n, width]`, and the scores, float32
            `[n, classes]`, or `None`.
        """
        tokens = np.ascontiguousarray(tokens, "int32")
        group, count = _NativeGroup(self, 1, self.threads, chunk), len(tokens)
        hidden = np.zeros((count, self.plan.width), "float32")
        if targets is None:
            group.evaluate(int32_pointer(tokens), None, count, floats(hidden), None, 0)
            return hidden, None
        targets = np.ascontiguousarray(targets, "int32")
        scores = np.zeros((count, self.plan.classes), "float32")
        group.evaluate(
            int32_pointer(tokens),
            int32_pointer(targets),
            count,
            floats(hidden),
            floats(scores),
            self.plan.classes,
        )
        return hidden, scores


class _NativeGroup:
    """Texts that run together, in the memory of the library."""

    def __init__(self, decoder, texts, threads, chunk=PROMPT_CHUNK):
        self.library, self.plan = decoder.library, decoder.plan
        threads = threads if decoder.plan.bytes > SMALL else 1
        plan = ctypes.byref(self.plan.plan)
        self.pointer = self.library.mdnn_group_new(plan, texts, chunk, threads)
        if not self.pointer:
            raise MdnnError(f"not enough memory for the caches of {texts} texts")

    def evaluate(self, *arguments):
        self.library.mdnn_evaluate(self.pointer, *arguments)

    def __del__(self):
        if getattr(self, "pointer", None):
            self.library.mdnn_group_free(self.pointer)


class _Texts:
    """Texts in one group with several threads, or in several groups with one thread each."""

    def __init__(self, decoder, window, filled, settings):
        self.decoder, count = decoder, len(filled)
        parts = np.array_split(np.arange(count), min(count, decoder.threads))
        threads = decoder.threads if count == 1 else 1
        self.groups = [(texts, _NativeGroup(decoder, len(texts), threads)) for texts in parts]
        for texts, group in self.groups:
            for number, text in enumerate(texts):
                sampling = c.CSampling(
                    seed=int(settings["seed"][text]),
                    top_k=int(settings["top_k"][text]),
                    temperature=float(settings["temperature"][text]),
                    top_p=float(settings["top_p"][text]),
                )
                tokens = np.ascontiguousarray(window[text], "int32")
                group.library.mdnn_text_start(
                    group.pointer,
                    number,
                    int32_pointer(tokens),
                    int(filled[text]),
                    ctypes.byref(sampling),
                )

    def decode(self, count, active=None):
        """Continues the texts.

        Args:
            count: int, number of tokens.
            active: booleans `[texts]`, the texts to continue; `None` for all.

        Returns:
            List of int32 arrays `[count, 4]`, empty for texts that are not active.
        """
        texts = sum(len(members) for members, _ in self.groups)
        active = np.ones(texts, bool) if active is None else np.array(active, bool)
        decoded = [np.zeros((0, c.TOKEN_BYTES), "int32")] * texts

        def run(group):
            members, group = group
            chosen = np.ascontiguousarray(active[members], "uint8")
            out = np.zeros((len(members), count, c.TOKEN_BYTES), "int32")
            if chosen.any():
                group.library.mdnn_group_write(
                    group.pointer, count, byte_pointer(chosen), int32_pointer(out)
                )
            return out

        several = len(self.groups) > 1
        results = (_pool().map if several else map)(run, self.groups)
        for (members, _), out in zip(self.groups, results, strict=True):
            for number, text in enumerate(members):
                if active[text]:
                    decoded[text] = out[number]
        return decoded


@functools.cache
def _pool():
    """Returns the threads that run groups side by side."""
    return concurrent.futures.ThreadPoolExecutor(cores(), thread_name_prefix="mdnn-native")


def native_decoder(network, words=0, steps=None, overlap=1, weights=None, threads=None):
    """Lowers a network and returns its `NativeDecoder`.

    Args:
        network, words, steps, overlap, weights: see `NativePlan`.
        threads: see `NativeDecoder`.

    Raises:
        mdnn.kernels.lowering.NotLoweredError: names the block that the library cannot run.
    """
    return NativeDecoder(NativePlan(network, steps, overlap, words, weights), threads)
