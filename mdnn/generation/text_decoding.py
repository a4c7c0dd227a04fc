"""Text from a trained network."""

import functools

import numpy as np

from mdnn.errors import MdnnError
from mdnn.generation.batch_groups import Together
from mdnn.generation.requests import writer_of
from mdnn.generation.stream import StreamWriter
from mdnn.generation.whole import BlankWriter
from mdnn.generation.writer import start_window, token_rows
from mdnn.tokens.features import BYTES, MODALITY, PLACES, WIDTH, modality


def continue_text(run, prompt, length, decoding, settings, seed=0, stream=None):
    """Continues a text; see `mdnn.generation.generate.generate`, which checks the arguments.

    Args:
        run: `mdnn.runs.run_folder.Run` of a network of texts.
        prompt: str, at least one character. Of a prompt longer than the context the network sees
            the end: the context slides.
        length: int, characters to write.
        decoding: `"autoregressive"`, `"parallel"` or `"masked_diffusion"`. The latter two fill the
            blanks of a whole context behind the prompt; a longer answer is written piece by piece,
            each behind the last half of a context.
        settings: `mdnn.generation.presets.Settings`.
        seed: int.
        stream: function called with each piece of text as it is written.

    Returns:
        str: the text written, without the prompt, `length` characters.
    """
    if decoding == "autoregressive":
        chosen = settings.temperature, seed, settings.top_k, settings.top_p
        pieces = write(run.model, run.tokenizer, prompt, length, *chosen, settings.steps)
    else:
        pieces = fill(run, prompt, length, decoding, settings, seed)
    kept = []
    for piece in pieces:
        kept.append(piece)
        if stream is not None:
            stream(piece)
    return "".join(kept)


def write(
    model, tokenizer, prompt, length, temperature=0.8, seed=0, top_k=0, top_p=1.0, steps=None
):
    """Continues a text in turn: a Python generator that yields pieces of it.

    Args:
        model: a network as `mdnn.build` makes it.
        tokenizer: its `mdnn.tokens.characters.TextTokenizer`.
        others: as for `mdnn.generate`.
    """
    settings = temperature, seed, top_k, top_p
    return _cut(write_units(model, tokenizer, prompt, *settings, length, steps), tokenizer, length)


def _cut(found, tokenizer, length):
    """Pieces of text, `length` characters in all, from arrays of units."""
    left = length
    if left <= 0:
        return
    for units in found:
        piece = tokenizer.text(units)[:left]
        left -= len(piece)
        if piece:
            yield piece
        if left <= 0:
            return


# Units of a first piece, which is to be there at once; later pieces have as many as there are.
FIRST = 16


def write_units(model, tokenizer, prompt, temperature, seed, top_k, top_p, limit, steps=None):
    """Yields arrays of unit numbers, at least `limit` units in all."""
    # What is compiled is the same for every temperature, so none is `"greedy"`.
    sampler = "filtered" if top_k or top_p < 1 else "plain"
    writer = _writer(model, len(tokenizer.words), steps, sampler)
    window, filled = start_window(tokenizer, [prompt], writer.positions)
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
        yield tokenizer.units_from_tokens(token_rows(units))
        done += count


@functools.lru_cache(maxsize=4)
def _writer(model, words, steps, sampler):
    """The compiled writer of a model, kept: compiling takes longer than many pages of text."""
    return StreamWriter(model, words=words, steps=steps, sampler=sampler)


def fill(run, prompt, length, decoding, settings, seed):
    """Continues a text by filling blanks: a Python generator that yields pieces of it."""
    units = run.tokenizer.units(prompt)
    return _cut(_fill_units(run, units, length, decoding, settings, seed), run.tokenizer, length)


def _fill_units(run, units, limit, decoding, settings, seed):
    """Yields arrays of unit numbers, at least `limit` units in all."""
    tokenizer, positions = run.tokenizer, run.config.context.positions
    if positions < 2:
        raise MdnnError("decoding: a context of 1 position holds no blank behind a prompt")
    filler = writer_of(
        BlankWriter,
        run.model,
        units=positions,
        steps=settings.steps,
        sampler=settings.sampler,
        words=len(tokenizer.words),
        once=decoding == "parallel",
    )
    everything = np.ones((1, len(filler.heads.modalities)), "int32")
    inputs = {
        "own": everything,
        "allowed": everything,
        "temperature": np.array([settings.temperature], "float32"),
        "top_p": np.array([settings.top_p], "float32"),
    }
    numbers = {"least": 0, "item": 0, "decoded": 0, "seed": seed, "top_k": settings.top_k}
    numbers["num_denoising_steps"] = settings.num_denoising_steps
    written = 0
    while written < limit:
        # Full contexts, as in training; the prompt's end, or the last half of a context.
        room = positions - 1 if written == 0 else positions // 2
        seen = units[-max(1, min(room, positions - min(positions // 2, limit - written))) :]
        blanks = np.zeros((positions, WIDTH), "int32")
        blanks[:, MODALITY] = modality("blank").index
        blanks[:, BYTES.start] = modality("text").index
        blanks[:, PLACES.start] = np.arange(positions)
        tokens = np.zeros((1, positions, WIDTH), "int32")
        tokens[0, : len(seen)] = tokenizer.tokens(seen)
        count = positions - len(seen)
        # Another piece, another chance: the positions are the same ones.
        numbers |= {"first": len(seen), "count": count, "shown": count}
        numbers["seed"] = (seed + written * 0x9E3779B1 + 2**31) % 2**32 - 2**31
        scalars = {name: np.array([value], "int32") for name, value in numbers.items()}
        ask = np.roll(blanks, -len(seen), axis=0)[None]
        found = filler.predict_on_batch(inputs | scalars | {"tokens": tokens, "ask": ask})
        new = tokenizer.units_from_tokens(np.asarray(found["rows"])[0, :count])
        yield new
        written += count
        units = np.concatenate([units, new])
