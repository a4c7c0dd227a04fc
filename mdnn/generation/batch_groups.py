"""Several texts continued at once: in groups, which a computer's cores decode side by side."""

import concurrent.futures
import functools

import keras
import numpy as np

from mdnn.machine import cores

# Contexts of a group. Few sizes, because each is compiled; 16 at most, because two groups keep two
# cores busy as no single one does: 64 texts of text.toml at once 24,000 to 26,000 characters/s
# on 2 cores, two groups of 16 side by side 48,000.
GROUP_SIZES = (1, 4, 8, 16)


class BatchGroups:
    """Texts that are continued at once; each is decoded as it would be alone.

    They are grouped by the lengths of their prompts. On TensorFlow several groups are decoded at
    the same time.

    Args:
        decoder: `mdnn.generation.text_decoder.TextDecoder`.
        window: int32 `[texts, positions, 4]`, as `mdnn.generation.windows.encode_prompts` returns
            it.
        filled: int32 `[texts]`, the lengths of the prompts.
        settings: dict of `seed`, int32, `temperature`, float32, `top_k`, int32, and `top_p`,
            float32, each `[texts]`.
    """

    def __init__(self, decoder, window, filled, settings):
        order = np.argsort(filled, kind="stable")
        size = group_size(len(filled))
        self.groups = [
            _Group(decoder, order[start : start + size], window, filled, settings)
            for start in range(0, len(order), size)
        ]

    def decode(self, count, active=None):
        """Continues the texts.

        Args:
            count: int, tokens, at most the decoder's `chunk`.
            active: booleans `[texts]`; a group without an active text is left as it is.

        Returns:
            List of int32 arrays `[n, 4]`, what was decoded of each text: `count` tokens, fewer at
            first of a text with a longer prompt than others of its group, none of a group that
            was left.
        """
        decoded = [np.zeros((0, 4), "int32")] * sum(len(group.texts) for group in self.groups)
        groups = self.groups
        if active is not None:
            groups = [group for group in groups if any(active[text] for text in group.texts)]
        if len(groups) > 1 and keras.backend.backend() == "tensorflow":
            results = _pool().map(lambda group: group.decode(count), groups)
        else:
            # Keras' `predict_on_batch` on JAX sets the model's variables: one after another.
            results = (group.decode(count) for group in groups)
        for group, tokens in zip(groups, results, strict=True):
            for text, of_text in zip(group.texts, tokens, strict=True):
                decoded[text] = of_text
        return decoded


class _Group:
    """Texts that one call of the decoder continues.

    Args:
        texts: numbers of the texts.
        others: see `BatchGroups`.
    """

    def __init__(self, decoder, texts, window, filled, settings):
        self.decoder, self.texts = decoder, texts
        # The longest prompt once more, up to the size of a group: no text has to wait for it.
        size = _next_size(len(texts))
        rows = np.concatenate([texts, np.repeat(texts[-1:], size - len(texts))])
        filled = filled[rows]
        # Tokens of its prompt that each text is given before its own turn comes.
        self.delays, self.done = filled - filled.min(), 0
        self.settings = {name: values[rows] for name, values in settings.items()}
        self.state, self.started = {"window": window[rows], "filled": filled}, False

    def decode(self, count):
        """Returns what the texts are continued by, a list of int32 `[n, 4]`."""
        if not self.started:
            self.state["written"] = np.zeros_like(self.state["filled"])
            self.state, self.started = self.decoder.predict_on_batch(self.state), True
        inputs = self.state | self.settings | {"count": np.array([count], "int32")}
        self.state = self.decoder.predict_on_batch(inputs)
        tokens = np.asarray(self.state.pop("units"))[:count]
        done, self.done = self.done, self.done + count
        return [tokens[max(0, self.delays[k] - done) :, k] for k in range(len(self.texts))]


def group_size(texts):
    """Returns the size of a group of so many texts: there are two groups at least, or one text."""
    return _next_size(-(-texts // 2))


def _next_size(texts):
    return next((size for size in GROUP_SIZES if size >= texts), GROUP_SIZES[-1])


@functools.cache
def _pool():
    """Returns threads, one for each core that this process may use."""
    return concurrent.futures.ThreadPoolExecutor(cores(), thread_name_prefix="mdnn-decode")
