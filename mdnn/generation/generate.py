"""`generate`: what a trained network answers to texts, pictures, films and sounds."""

import numbers
import os
import re

from mdnn.config.schema import nearest
from mdnn.errors import MdnnError
from mdnn.generation.item_generator import ItemGenerator
from mdnn.generation.output_spec import parse_output_spec
from mdnn.generation.presets import check_seed, is_number
from mdnn.generation.presets import settings as settings_of
from mdnn.generation.text_decoding import continue_text
from mdnn.runs.run_folder import cached_run
from mdnn.tokens.items import as_item

WAYS = ("autoregressive", "parallel", "masked_diffusion")
LENGTH = 200


def generate(
    run,
    prompt,
    output=None,
    decoding="autoregressive",
    preset=None,
    length=None,
    temperature=None,
    seed=0,
    top_k=None,
    top_p=None,
    steps=None,
    num_denoising_steps=None,
    stream=None,
    batch=32,
    num_starts=1,
    adaptive=False,
):
    """Answers a prompt.

    The same run, prompt, settings and seed give the same answer, whatever else is answered with
    it. Settings that are not given are those of the style (`mdnn.generation.presets.PRESETS`).

    Args:
        run: a run folder, or what `mdnn.runs.run_folder.open_run` returns.
        prompt: a text to continue; or, for networks of items, a list of what belongs together, in
            order: strings, arrays (uint8 `[h, w]`, `[h, w, 3]` and `[n, h, w, 3]`, int16 `[n]`),
            `Item`s, and `pathlib.Path`s of files. A list of such lists: several prompts at once.
        output: what comes back: `"text"`, `"text 5"` (characters), `"grey 8x8"`, `"image 16x16"`
            (height, width), `"audio"`, `"audio 800"` (samples), `"video 4x8x8"`,
            `"grey_video 4x8x8"`; or a list of those, answered one after another. A size that is
            left out is the one that was trained on, or, of a text or sound, the network's own
            choice. `None`: the network decides what comes back.
        decoding: `"autoregressive"`, one unit after another; `"parallel"`, all in one pass;
            `"masked_diffusion"`, over several passes, the most certain units first.
        preset: `"factual"`, `"creative"` or `"reasoning"`.
        length: characters of a text that is continued (200), or units at most of a text or sound
            whose size is not said (as many as the longest one in training).
        temperature: 0 for the likeliest unit each time (greedy); below 1 more careful, above 1
            more daring than the network's own probabilities.
        seed: int, another seed, another answer; for several prompts perhaps a list of ints.
        top_k: choose among the k likeliest only; 0 for all. A unit is decided in steps (as
            plane, row, cell of a code point); this and `top_p` hold for each step.
        top_p: choose among the likeliest that together have this probability only.
        steps: how many times the network is run on its own output.
        num_denoising_steps: passes of `"masked_diffusion"`.
        stream: function called with each piece of a text that is continued, with each item of a
            single prompt's answer, or with the number of steps and the answer so far of a puzzle.
        batch: int, prompts that are answered together.
        restarts, adaptive: of puzzles alone, see `mdnn.generation.puzzle_solving.solve`; a puzzle
            is a string, several a list of strings. Settings of writing are refused there.

    Returns:
        The text written, without the prompt. Of items: a string, uint8 or int16 array where
        `output` is one word, a list of those where it is a list, a list of `Item`s where it is
        `None`; for several prompts a list of these.

    Raises:
        MdnnError: a prompt that leaves no room for the answer, kinds that the network does not
            have, a way that it was not trained for, a setting beyond its limits, no run folder.
    """
    if not isinstance(decoding, str) or decoding not in WAYS:
        near = nearest(decoding, WAYS) if isinstance(decoding, str) else ""
        raise MdnnError(f"decoding: unknown {decoding!r}{near}; known: {', '.join(WAYS)}")
    run = cached_run(run)
    if run.config.context.layout == "puzzle":
        # imported late: texts need no puzzles
        from mdnn.generation.puzzle_solving import solve

        given = {"output": output, "preset": preset, "length": length, "temperature": temperature}
        given |= {"top_k": top_k, "top_p": top_p, "num_denoising_steps": num_denoising_steps}
        for name, value in given.items():
            if value is not None:
                raise MdnnError(f"{name}: it says nothing to a puzzle, received {value!r}")
        if decoding == "masked_diffusion":
            raise MdnnError("decoding: a puzzle is answered at once, received 'masked_diffusion'")
        return solve(run, prompt, steps, num_starts, adaptive, stream, check_seed(seed))
    if num_starts != 1 or adaptive:
        raise MdnnError("restarts, adaptive: settings of puzzles, received another network")
    settings = settings_of(
        preset, temperature, top_k, top_p, num_denoising_steps, steps, run.config.refeed.steps
    )
    check_length(length)
    if not is_number(numbers.Integral, batch) or not 1 <= batch <= 65_536:
        raise MdnnError(f"batch: expected a whole number from 1 on, received {batch!r}")
    if run.config.context.layout == "stream":
        length = _text_length(output, length)
        check_text(prompt)
        seed = check_seed(seed)
        check_way(run.config, decoding)
        return continue_text(run, prompt, length, decoding, settings, seed, stream)
    check_way(run.config, decoding)
    several = _several(prompt)
    prompts = list(prompt) if several else [prompt]
    prompts = [_items(run, items) for items in prompts]
    seeds = _seeds(seed, len(prompts), several)
    words = [output] if isinstance(output, str) else output
    if words is not None:
        if not isinstance(words, (list, tuple)) or not words:
            raise MdnnError(f"output: expected a word or a list of words, received {output!r}")
        words = [parse_output_spec(word, run.config.tokens.modalities) for word in words]
    tell = None
    if stream is not None and not several:
        tell = _teller(stream, output)
    answering = ItemGenerator(run, decoding, settings, length, int(batch))
    answers = answering.answer(prompts, words, seeds, tell)
    if output is not None:
        answers = [[item.value for item in items] for items in answers]
    if isinstance(output, str):
        answers = [items[0] for items in answers]
    return answers if several else answers[0]


def check_way(config, decoding):
    """Refuses a way to write that a network was not trained for."""
    trained = [way for way in WAYS if getattr(config.train.objectives, way)]
    if decoding not in trained:
        raise MdnnError(
            f"decoding: this network was not trained for {decoding!r} (train.objectives); it was "
            "for "
            f"{', '.join(trained)}"
        )


def check_text(prompt):
    """Refuses a prompt that is no text of at least one Unicode character."""
    if not isinstance(prompt, str) or not prompt:
        raise MdnnError(f"prompt: expected a text of at least one character, received {prompt!r}")
    # A command line's bytes that are not UTF-8 arrive as halves of surrogate pairs.
    if re.search("[\ud800-\udfff]", prompt):
        raise MdnnError(f"prompt: expected a text of Unicode characters, received {prompt!r}")


def check_length(length):
    """Refuses a length that is no number of characters or units."""
    if length is None:
        return
    if not is_number(numbers.Integral, length) or not 0 <= length <= 10_000_000:
        raise MdnnError(f"length: expected 0 to 10,000,000 characters, received {length!r}")


def _text_length(output, length):
    """How many characters a text is continued by."""
    if output is None:
        return LENGTH if length is None else length
    output = parse_output_spec(output, ("text",))
    if output.shape is not None:
        return output.units
    return LENGTH if length is None else length


def _several(prompt):
    """Whether a prompt is a list of prompts."""
    return (
        isinstance(prompt, (list, tuple))
        and len(prompt) > 0
        and all(isinstance(items, (list, tuple)) for items in prompt)
    )


def _items(run, prompt):
    """The `Item`s of one prompt."""
    if not isinstance(prompt, (list, tuple)):
        prompt = [prompt]
    items = []
    for number, value in enumerate(prompt):
        if isinstance(value, os.PathLike):
            items.append(read_prompt_file(run, value))
            continue
        item = as_item(value, f"item {number + 1} of the prompt")
        if item.kind == "text":
            check_text(item.value)
        items.append(item)
    return items


def read_prompt_file(run, path, convert=False):
    """Returns the `Item` in a file, as the network of a run takes it.

    Args:
        run: an opened run of items.
        path: the file.
        convert: whether conversions that lose something are made although the run was trained
            without them (`data.convert`); see `mdnn.datasets.media.media_files.read_item`.
    """
    # imported late: most prompts need no decoder
    from mdnn.datasets.media.media_files import read_item

    config = run.config
    kinds = tuple(name for name in config.tokens.modalities if name != "word")
    convert = convert or config.data.convert
    return read_item(path, run.item_tokenizer.rate, convert, config.data.encoding, kinds)


def _seeds(seed, count, several):
    if several and isinstance(seed, (list, tuple)):
        if len(seed) != count:
            raise MdnnError(f"seed: expected one for each of {count} prompts, received {len(seed)}")
        return [check_seed(one) for one in seed]
    return [check_seed(seed)] * count


def _teller(stream, output):
    return lambda _, item: stream(item if output is None else item.value)
