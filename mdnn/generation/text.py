"""Text from a trained network."""

import functools
import math
import numbers
import re

import numpy as np

from mdnn.errors import MdnnError
from mdnn.generation.writer import Writer, start_window, token_rows
from mdnn.models.run import open_run


def generate(run, prompt, length=200, temperature=0.8, seed=0, top_k=0, top_p=1.0, stream=None):
    """Continues a text.

    The same run, prompt and settings give the same text, in Python and from the exported
    SavedModel alike.

    Args:
        run: a run folder, or what `mdnn.models.run.open_run` returns.
        prompt: the text to continue, at least one character. Of a prompt longer than the
            context the network sees the end: the context slides.
        length: how many characters to write.
        temperature: 0 for the likeliest character each time (greedy); below 1 more careful,
            above 1 more daring than the network's own probabilities.
        seed: int; another seed, another text.
        top_k: choose among the k likeliest only; 0 for all. A character is decided in steps
            (plane, row, cell of its code point); this and `top_p` hold for each step.
        top_p: choose among the likeliest that together have this probability only.
        stream: function called with each piece of text as it is written.

    Returns:
        str: the text written, without the prompt, `length` characters.

    Raises:
        MdnnError: an empty prompt, a setting beyond its limits, no run folder.
    """
    _check(prompt, length, temperature, seed, top_k, top_p)
    run = open_run(run)
    pieces = []
    for piece in write(run.model, run.codec, prompt, length, temperature, seed, top_k, top_p):
        pieces.append(piece)
        if stream is not None:
            stream(piece)
    return "".join(pieces)


def write(model, codec, prompt, length, temperature=0.8, seed=0, top_k=0, top_p=1.0):
    """Like `generate`, but a Python generator that yields pieces of text.

    Args:
        model: a network as `mdnn.build` makes it.
        codec: its `mdnn.tokens.text.TextCodec`.
        others: as for `generate`.
    """
    left = length
    for units in write_units(model, codec, prompt, temperature, seed, top_k, top_p, limit=length):
        piece = codec.text(units)[:left]
        left -= len(piece)
        if piece:
            yield piece
        if left <= 0:
            return


def write_units(model, codec, prompt, temperature, seed, top_k, top_p, limit):
    """Yields arrays of unit numbers, at least `limit` units in all."""
    writer = _writer(model, len(codec.words))
    window, filled = start_window(codec, [prompt], writer.slots)
    settings = {
        "seed": np.array([seed], "int32"),
        "temperature": np.array([temperature], "float32"),
        "top_k": np.array([top_k], "int32"),
        "top_p": np.array([top_p], "float32"),
    }
    state = {"window": window, "filled": filled, "written": np.zeros(1, "int32")}
    for _ in range(math.ceil(limit / writer.chunk)):
        state = writer.predict_on_batch(state | settings)
        yield codec.units_from_tokens(token_rows(state.pop("units"))[0])


@functools.lru_cache(maxsize=4)
def _writer(model, words):
    """The compiled writer of a model, kept: compiling takes longer than a page of text."""
    return Writer(model, words=words)


def _check(prompt, length, temperature, seed, top_k, top_p):
    if not isinstance(prompt, str) or not prompt:
        raise MdnnError(f"prompt: expected a text of at least one character, received {prompt!r}")
    # A command line's bytes that are not UTF-8 arrive as halves of surrogate pairs.
    if re.search("[\ud800-\udfff]", prompt):
        raise MdnnError(f"prompt: expected a text of Unicode characters, received {prompt!r}")
    if not _is(numbers.Integral, length) or not 0 <= length <= 10_000_000:
        raise MdnnError(f"length: expected 0 to 10,000,000 characters, received {length!r}")
    if not _is(numbers.Real, temperature) or not 0 <= temperature <= 100:
        raise MdnnError(f"temperature: expected 0 to 100, received {temperature!r}")
    if not _is(numbers.Integral, seed) or not -(2**31) <= seed < 2**31:
        raise MdnnError(f"seed: expected a 32-bit whole number, received {seed!r}")
    if not _is(numbers.Integral, top_k) or not 0 <= top_k < 2**31:
        raise MdnnError(f"top_k: expected a whole number from 0 (all) on, received {top_k!r}")
    if not _is(numbers.Real, top_p) or not 0 < top_p <= 1:
        raise MdnnError(f"top_p: expected a number above 0, up to 1 (all), received {top_p!r}")


def _is(kind, value):
    """Whether a value is a number of a kind, of Python or of numpy, and no truth value."""
    return isinstance(value, kind) and not isinstance(value, bool)
