"""Continues any number of prompts, a batch of them at a time."""

import numpy as np

from mdnn.errors import MdnnError
from mdnn.generation.completions.completed_text import COMPLETION_OPTIONS, write_completions
from mdnn.generation.completions.completion import ScoredText
from mdnn.generation.engines import text_engine
from mdnn.generation.options.option_checks import check_seed
from mdnn.generation.text_stream import TextStream


def generate_texts(run, prompts, length, options, settings, progress=None):
    """Continues texts; see `mdnn.generate`.

    Only `options.batch_size` contexts are in memory at a time, so that it does not grow with the
    number of prompts. No prompt sees another: each text is that of its prompt alone.

    Args:
        run: `mdnn.runs.run_folder.Run` of a text network.
        prompts: list of str, each at least one character.
        length: int, number of characters to generate for each.
        options: `GenerationOptions`.
        settings: `SamplingSettings` of the options.
        progress: function called with the completed fraction, 0 to 1, or `None`.

    Returns:
        List of str, the generated texts without the prompts; of `ScoredText` with
        `options.logprobs`.

    Raises:
        MdnnError: a number of seeds other than that of the prompts.
    """
    if settings.top_k or settings.top_p < 1:
        raise MdnnError("top_k, top_p: expected one prompt, received several")
    seeds = seeds_of(options.seed, len(prompts))
    write = _writer(run, length, options, settings)
    # Prompts of similar length share a batch, in which all are read at once.
    order = np.argsort([len(prompt) for prompt in prompts], kind="stable")
    written, scored = [""] * len(prompts), [[] for _ in prompts]
    for start in range(0, len(prompts), options.batch_size):
        batch = order[start : start + options.batch_size]
        rows = zip(*((prompts[k], seeds[k], scored[k]) for k in batch), strict=True)
        for pieces in write(*map(list, rows)):
            for k, piece in zip(batch, pieces, strict=True):
                written[k] += piece or ""
        if progress is not None:
            progress(min(1.0, (start + len(batch)) / len(prompts)))
    if options.logprobs is None:
        return written
    return [ScoredText(text, tokens) for text, tokens in zip(written, scored, strict=True)]


def _writer(run, length, options, settings):
    """Returns a function of prompts, seeds and lists for scores that yields new characters."""
    if options.chosen(COMPLETION_OPTIONS):
        return lambda prompts, seeds, scored: write_completions(
            run, prompts, length, options, settings, seeds, scored
        )
    texts = TextStream(run, engine=options.engine)
    texts.engine = text_engine(run, options.engine, settings.steps, chunk=texts.engine.chunk)

    def write(prompts, seeds, scored):
        temperatures = [settings.temperature] * len(prompts)
        return texts.write(prompts, [length] * len(prompts), temperatures, seeds)

    return write


def seeds_of(seed, count):
    """Returns the seeds of prompts: those of a list, or one for all.

    Raises:
        MdnnError: a list with another number of seeds than `count`, that of the prompts.
    """
    if not isinstance(seed, (list, tuple)):
        return [check_seed(seed)] * count
    if len(seed) != count:
        raise MdnnError(f"seed: expected one or {count}, as many as prompts, received {len(seed)}")
    return [check_seed(one) for one in seed]
