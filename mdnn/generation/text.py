"""Text from a trained network."""

import functools

import numpy as np

from mdnn.errors import MdnnError
from mdnn.generation.asks import writer_of
from mdnn.generation.stream import StreamWriter
from mdnn.generation.together import Together
from mdnn.generation.whole import BlankWriter
from mdnn.generation.writer import start_window, token_rows
from mdnn.tokens.units import BYTES, MODALITY, PLACES, WIDTH, modality


def continue_text(run, prompt, length, how, settings, seed=0, stream=None):
    """Continues a text; see `mdnn.generation.answers.generate`, which checks the arguments.

    Args:
        run: `mdnn.models.run.Run` of a network of texts.
        prompt: str, at least one character. Of a prompt longer than the context the network sees
            the end: the context slides.
        length: int, characters to write.
        how: `"turn"`, `"once"` or `"unmask"`. The latter two fill the blanks of a whole context
            behind the prompt; a longer answer is written piece by piece, each behind the last
            half of a context.
        settings: `mdnn.generation.styles.Settings`.
        seed: int.
        stream: function called with each piece of text as it is written.

    Returns:
        str: the text written, without the prompt, `length` characters.
    """
    if how == "turn":
        chosen = settings.temperature, seed, settings.top_k, settings.top_p
        pieces = write(run.model, run.codec, prompt, length, *chosen, settings.refeeds)
    else:
        pieces = fill(run, prompt, length, how, settings, seed)
    kept = []
    for piece in pieces:
        kept.append(piece)
        if stream is not None:
            stream(piece)
    return "".join(kept)


def write(model, codec, prompt, length, temperature=0.8, seed=0, top_k=0, top_p=1.0, refeeds=None):
    """Continues a text in turn: a Python generator that yields pieces of it.

    Args:
        model: a network as `mdnn.build` makes it.
        codec: its `mdnn.tokens.text.TextCodec`.
        others: as for `mdnn.generate`.
    """
    settings = temperature, seed, top_k, top_p
    return _cut(write_units(model, codec, prompt, *settings, length, refeeds), codec, length)


def _cut(found, codec, length):
    """Pieces of text, `length` characters in all, from arrays of units."""
    left = length
    if left <= 0:
        return
    for units in found:
        piece = codec.text(units)[:left]
        left -= len(piece)
        if piece:
            yield piece
        if left <= 0:
            return


# Units of a first piece, which is to be there at once; later pieces have as many as there are.
FIRST = 16


def write_units(model, codec, prompt, temperature, seed, top_k, top_p, limit, refeeds=None):
    """Yields arrays of unit numbers, at least `limit` units in all."""
    # What is compiled is the same for every temperature, so none is `"greedy"`.
    sampler = "filtered" if top_k or top_p < 1 else "plain"
    writer = _writer(model, len(codec.words), refeeds, sampler)
    window, filled = start_window(codec, [prompt], writer.slots)
    settings = {
        "seed": np.array([seed], "int32"),
        "temperature": np.array([temperature], "float32"),
        "top_k": np.array([top_k], "int32"),
        "top_p": np.array([top_p], "float32"),
    }
    together = Together(writer, window, filled, settings)
    done = 0
    while done < limit:
        count = min(writer.chunk if done else FIRST, limit - done)
        (units,) = together.write(count)
        yield codec.units_from_tokens(token_rows(units))
        done += count


@functools.lru_cache(maxsize=4)
def _writer(model, words, refeeds, sampler):
    """The compiled writer of a model, kept: compiling takes longer than many pages of text."""
    return StreamWriter(model, words=words, refeeds=refeeds, sampler=sampler)


def fill(run, prompt, length, how, settings, seed):
    """Continues a text by filling blanks: a Python generator that yields pieces of it."""
    units = run.codec.units(prompt)
    return _cut(_fill_units(run, units, length, how, settings, seed), run.codec, length)


def _fill_units(run, units, limit, how, settings, seed):
    """Yields arrays of unit numbers, at least `limit` units in all."""
    codec, slots = run.codec, run.config.context.slots
    if slots < 2:
        raise MdnnError("how: a context of 1 slot holds no blank behind a prompt")
    filler = writer_of(
        BlankWriter,
        run.model,
        units=slots,
        refeeds=settings.refeeds,
        sampler=settings.sampler,
        words=len(codec.words),
        once=how == "once",
    )
    everything = np.ones((1, len(filler.heads.modalities)), "int32")
    inputs = {
        "own": everything,
        "allowed": everything,
        "temperature": np.array([settings.temperature], "float32"),
        "top_p": np.array([settings.top_p], "float32"),
    }
    numbers = {"least": 0, "item": 0, "decoded": 0, "seed": seed, "top_k": settings.top_k}
    numbers["passes"] = settings.passes
    written = 0
    while written < limit:
        # Full contexts, as in training; the prompt's end, or the last half of a context.
        room = slots - 1 if written == 0 else slots // 2
        seen = units[-max(1, min(room, slots - min(slots // 2, limit - written))) :]
        blanks = np.zeros((slots, WIDTH), "int32")
        blanks[:, MODALITY] = modality("blank").index
        blanks[:, BYTES.start] = modality("text").index
        blanks[:, PLACES.start] = np.arange(slots)
        tokens = np.zeros((1, slots, WIDTH), "int32")
        tokens[0, : len(seen)] = codec.tokens(seen)
        count = slots - len(seen)
        # Another piece, another chance: the slots are the same ones.
        numbers |= {"first": len(seen), "count": count, "shown": count}
        numbers["seed"] = (seed + written * 0x9E3779B1 + 2**31) % 2**32 - 2**31
        scalars = {name: np.array([value], "int32") for name, value in numbers.items()}
        ask = np.roll(blanks, -len(seen), axis=0)[None]
        found = filler.predict_on_batch(inputs | scalars | {"tokens": tokens, "ask": ask})
        new = codec.units_from_tokens(np.asarray(found["rows"])[0, :count])
        yield new
        written += count
        units = np.concatenate([units, new])
