"""Decodes several texts in groups, which run in parallel on the CPU's cores."""

import concurrent.futures
import functools

import keras
import numpy as np

from mdnn.generation.completions.piece_reading import read_prompts
from mdnn.machine import cores
from mdnn.models.compiling import predicted

# Group sizes in contexts. There are few, because each size is compiled separately. The maximum is
# 16, because two parallel groups use two cores better than one large group: on 2 cores, 64 texts of
# text.toml in one group reach 24,000 to 26,000 characters/s, two groups of 16 reach 48,000.
GROUP_SIZES = (1, 4, 8, 16)

OUTPUTS = ("decoded", "log_probability", "hidden")
"""What a decoder returns of each token, `[chunk, batch, ...]`."""


class BatchGroups:
    """Continues several texts; each result is independent of the other texts.

    Texts are grouped by the lengths of their prompts. On TensorFlow the groups run in parallel.

    Args:
        decoder: `mdnn.generation.text_decoder.TextDecoder`.
        window: int32 `[texts, positions, 4]`, as returned by
            `mdnn.generation.windows.encode_prompts`.
        filled: int32 `[texts]`, the lengths of the prompts in tokens.
        settings: dict of `seed`, int32, `temperature`, float32, `top_k`, int32, and `top_p`,
            float32, each `[texts]`; perhaps `identity`, int32, and others, see `TextDecoder`.
        shared: dict of further inputs of the decoder, the same for all texts.
        start: dict of arrays `[texts, ...]`, further state of the decoder before the first token.
        progress: function called with the completed fraction, 0 to 1, while a prompt of several
            pieces is read, or `None`.
    """

    def __init__(self, decoder, window, filled, settings, shared=None, start=None, progress=None):
        order = np.argsort(filled, kind="stable")
        size = group_size(len(filled))
        self.groups = [
            _Group(
                decoder, order[k : k + size], window, filled, settings, shared or {}, start or {}
            )
            for k in range(0, len(order), size)
        ]
        self.groups[0].progress = progress

    def decode(self, count, active=None):
        """Continues the texts; returns `decoded` of `decode_all`, a list of int32 `[n, 4]`."""
        return [results["decoded"] for results in self.decode_all(count, active)]

    def decode_all(self, count, active=None):
        """Continues the texts.

        Args:
            count: int, number of tokens, at most the decoder's `chunk`.
            active: booleans `[texts]`; groups without an active text are skipped. `None`: all texts
                are active.

        Returns:
            List of one dict of arrays per text: `decoded` int32 `[n, 4]`, its tokens, and
            `log_probability` float32 `[n]` and `hidden` `[n, width]` of a decoder that returns
            them. n is `count`, but less in the first calls for a text with a longer prompt than
            others of its group, and 0 for texts of skipped groups.
        """
        nothing = {"decoded": np.zeros((0, 4), "int32")}
        nothing |= {name: np.zeros(0, "float32") for name in OUTPUTS[1:]}
        decoded = [nothing] * sum(len(group.texts) for group in self.groups)
        groups = self.groups
        if active is not None:
            groups = [group for group in groups if any(active[text] for text in group.texts)]
        if len(groups) > 1 and keras.backend.backend() == "tensorflow":
            results = _pool().map(lambda group: group.decode(count), groups)
        else:
            # Sequentially: on JAX Keras' `predict_on_batch` assigns the model's variables.
            results = (group.decode(count) for group in groups)
        for group, arrays in zip(groups, results, strict=True):
            for text, of_text in zip(group.texts, arrays, strict=True):
                decoded[text] = of_text
        return decoded


class _Group:
    """Group of texts that the decoder continues in one batch.

    Args:
        texts: integers `[n]`, indices of the texts.
        decoder, window, filled, settings, shared, start: see `BatchGroups`.
    """

    def __init__(self, decoder, texts, window, filled, settings, shared, start):
        self.decoder, self.texts, self.shared = decoder, texts, shared
        # Pad the group with copies of its longest prompt, which do not delay the other texts.
        size = _next_size(len(texts))
        rows = np.concatenate([texts, np.repeat(texts[-1:], size - len(texts))])
        filled = filled[rows]
        # Number of remaining prompt tokens that each text reads before its first new token.
        self.delays, self.done = filled - filled.min(), 0
        self.settings = {name: values[rows] for name, values in settings.items()}
        self.start = {name: values[rows] for name, values in start.items()}
        window = window[rows, : decoder.reading_length(filled.max())]
        self.state, self.started = {"window": window, "filled": filled}, False
        self.progress = None
        if "identity" in self.settings:
            self.state["identity"] = self.settings["identity"]

    def decode(self, count):
        """Returns the arrays of each text, a list of dicts; see `BatchGroups.decode_all`."""
        if not self.started:
            self.state["written"] = np.zeros_like(self.state["filled"])
            self.state = read_prompts(self.decoder, self.state, self.progress) | self.start
            self.started = True
        inputs = self.state | self.settings | self.shared | {"count": np.array([count], "int32")}
        self.state = predicted(self.decoder, inputs)
        arrays = {
            name: np.asarray(self.state.pop(name))[:count] for name in OUTPUTS if name in self.state
        }
        starts = np.maximum(0, self.delays - self.done)
        self.done += count
        return [
            {name: array[starts[k] :, k] for name, array in arrays.items()}
            for k in range(len(self.texts))
        ]


def group_size(texts):
    """Returns the group size for a number of texts, chosen to form at least two groups."""
    return _next_size(-(-texts // 2))


def _next_size(texts):
    return next((size for size in GROUP_SIZES if size >= texts), GROUP_SIZES[-1])


@functools.cache
def _pool():
    """Returns a cached thread pool with one thread per core available to this process."""
    return concurrent.futures.ThreadPoolExecutor(cores(), thread_name_prefix="mdnn-decode")
