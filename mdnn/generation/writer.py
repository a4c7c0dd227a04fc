"""Writing in turn: one unit after another, each from the context before it."""

import math

import keras
import numpy as np
from keras import ops

from mdnn.generation.sampling import choose, uniform
from mdnn.models.compiling import without_xla
from mdnn.tokens.features import COLUMNS, WIDTH, modality

# The columns of a token row that say which unit it is: modality and bytes.
UNIT = 4

# Stands for half a surrogate pair, which is no character: U+FFFD as row and cell of plane 0.
REPLACEMENT = (0xFF, 0xFD)


class Writer(keras.Model):
    """A network that continues contexts, `chunk` units at a call, compiled once.

    A context that is full is left for a new one that begins with its last units, as many as
    `reread` says. A row's units depend on its own prompt and seed alone, not on the rest of the
    batch. The whole network is run for every unit; `mdnn.generation.stream.StreamWriter` writes
    the same and keeps what it computed.

    Args:
        model: a network as `mdnn.build` makes it.
        chunk: int, units written at a call.
        words: int, size of the network's table of words.
        steps: int, how often the network is run on its own output; `None`: as it was built.

    Call arguments:
        inputs: dict of
            `window` int32 `[batch, positions, 4]` (modality and bytes; zeros behind the prompt),
            `filled` int32 `[batch]` (units in the window, at least 1),
            `written` int32 `[batch]` (units written so far),
            `seed` int32, `temperature` float32, `top_k` int32, `top_p` float32, all `[batch]`
            (see `mdnn.generation.sampling.choose`).

    Returns:
        dict of `units` int32 `[batch, chunk, 4]`, and `window`, `filled` and `written` to go on
        with.
    """

    def __init__(self, model, chunk=16, words=0, steps=None, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.network, self.steps = model, steps
        self.heads = model.heads
        self.positions = model.positions
        self.keep = reread(model.grid)
        self.chunk = chunk
        self.words = words
        without_xla(self)

    def call(self, inputs):
        settings = {name: inputs[name] for name in ("seed", "temperature", "top_k", "top_p")}
        places = ops.arange(self.chunk, dtype="int32")[None, :, None]

        def write(number, carried):
            state, units = carried
            unit, state = self.step(state, settings)
            return state, ops.where(places == number, unit[:, None, :], units)

        state = tuple(inputs[name] for name in ("window", "filled", "written"))
        units = ops.zeros_like(places) + ops.zeros_like(inputs["window"][:, :1])
        state, units = ops.fori_loop(0, self.chunk, write, (state, units))
        return dict(zip(("window", "filled", "written"), state, strict=True)) | {"units": units}

    def step(self, state, settings):
        """Writes one unit per row.

        Args:
            state: `(window, filled, written)`.
            settings: dict of `seed`, `temperature`, `top_k`, `top_p`.

        Returns:
            The units, int32 `[batch, 4]`, and the new state.
        """
        window, filled, written = state
        hidden = self.network.hidden(self.tokens(window), True, self.steps, training=False)
        # Not `take_along_axis`: its 64-bit whole numbers make oneDNN complain on many computers.
        here = ops.arange(self.positions, dtype="int32")[None, :, None] == filled[:, None, None] - 1
        last = ops.sum(ops.where(here, hidden, ops.zeros_like(hidden)), axis=1)

        def decide(scores, number):
            place = uniform(settings["seed"], written, number)
            return choose(
                scores, place, settings["temperature"], settings["top_k"], settings["top_p"]
            )

        unit = known(self.heads.decode(last, decide)[:, :UNIT], self.words)
        return unit, (*self.append(window, filled, unit), written + 1)

    def append(self, window, filled, unit):
        """The window with one more unit, and how many it holds then."""
        unit = unit[:, None, :]
        positions = ops.arange(self.positions, dtype="int32")[None, :, None]
        placed = ops.where(positions == filled[:, None, None], unit, window)
        again = ops.concatenate([window[:, self.positions + 1 - self.keep :], unit], axis=1)
        again = ops.pad(again, [[0, 0], [0, self.positions - self.keep], [0, 0]])
        full = filled >= self.positions
        window = ops.where(full[:, None, None], again, placed)
        return window, ops.where(full, self.keep, filled + 1)

    def tokens(self, window):
        """Token rows of a window: places count from its first position, as in training."""
        return token_rows_at(window, 0)


def reread(grid):
    """How many units of a full context the next one begins with, the newest among them.

    Half a context, in whole rows where there are several: so every unit is predicted from half
    a context at least, as in the sliding figure of `mdnn.evaluate`, and a context is read anew
    once for every half that is written.

    Args:
        grid: tuple of ints, the sizes of the context's axes.
    """
    row, rows = grid[-1], math.prod(grid[:-1])
    return max(1, row // 2) if rows == 1 else rows // 2 * row


def token_rows_at(units, first):
    """Units `[batch, n, 4]` as token rows `[batch, n, 8]` whose places count from `first`."""
    place = ops.arange(units.shape[1], dtype="int32")[None, :, None] + first
    place = place * ops.cast(units[:, :, :1] > 0, "int32")
    rest = ops.zeros_like(ops.concatenate([units] * 2, axis=-1))[:, :, : WIDTH - UNIT - 1]
    return ops.concatenate([units, place, rest], axis=-1)


def known(unit, words=0):
    """Units `[..., 4]` with those that stand for no text replaced.

    Half a surrogate pair becomes U+FFFD, a word beyond the table of `words` words its last one.
    """
    kind, first, second, third = (unit[..., k] for k in range(UNIT))
    half = (kind == modality("text").index) & (first == 0) & (second // 8 == 0xD8 // 8)
    second = ops.where(half, REPLACEMENT[0], second)
    third = ops.where(half, REPLACEMENT[1], third)
    if words:
        word = kind == modality("word").index
        number = ops.minimum(first * 256 + second, words - 1)
        first = ops.where(word, number // 256, first)
        second = ops.where(word, number % 256, second)
    return ops.cast(ops.stack([kind, first, second, third], axis=-1), "int32")


def start_window(tokenizer, texts, positions):
    """The window and its filling for prompts.

    Args:
        tokenizer: `mdnn.tokens.characters.TextTokenizer`.
        texts: list of prompts, none empty; of a longer one than the context its end is seen.
        positions: int.

    Returns:
        int32 `[batch, positions, 4]` and int32 `[batch]`.
    """
    window = np.zeros((len(texts), positions, UNIT), "int32")
    filled = np.zeros(len(texts), "int32")
    for row, text in enumerate(texts):
        units = tokenizer.units(text)[-positions:]
        window[row, : len(units)] = tokenizer.tokens(units)[:, :UNIT]
        filled[row] = len(units)
    return window, filled


def token_rows(units):
    """Units `[..., 4]` as token rows `[..., 8]` without places."""
    rest = np.zeros((*units.shape[:-1], len(COLUMNS) - UNIT), "int32")
    return np.concatenate([units, rest], axis=-1)
