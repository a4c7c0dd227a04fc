"""`generate`: what a trained network answers to texts, pictures, films, sounds and puzzles."""

from mdnn.generation.options import options_of
from mdnn.runs.run_folder import cached_run
from mdnn.tasks.registry import task_for


def generate(run, prompt, output=None, stream=None, **options):
    """Answers a prompt with a trained network.

    The same network, prompt, options and seed give the same answer, whatever else is answered
    beside it. Options that are not given are those of the preset
    (`mdnn.generation.options.PRESETS`).

    Args:
        run: a run folder or a `.keras` file, which is opened and compiled once and kept until it
            changes; a network; or what `mdnn.runs.run_folder.open_run` returns.
        prompt: of networks of texts a text to continue; of items a list of what belongs together,
            in order: strings, arrays (uint8 `[h, w]`, `[h, w, 3]` and `[n, h, w, 3]`, int16
            `[n]`), `Item`s, and `pathlib.Path`s of files, or a list of such lists; of puzzles a
            string, or a list of strings.
        output: what comes back, such as `"text"`, `"text 5"`, `"grey 8x8"` or `"audio 800"`; see
            `mdnn.generation.options.GenerationOptions`.
        stream: function called with each piece of a text that is continued, with each item of a
            single prompt's answer, or with the number of steps and the answer so far of a puzzle.
        **options: the others of `mdnn.generation.options.GenerationOptions`: `length`, `stop`,
            `decoding`, `preset`, `temperature`, `top_k`, `top_p`, `seed`, `steps`,
            `num_denoising_steps`, `batch_size`, `num_starts` and `adaptive`.

    Returns:
        The text written, without the prompt. Of items: a string, uint8 or int16 array where
        `output` is one specification, a list of those where it is a list, a list of `Item`s where
        it is `None`; for several prompts a list of these. Of puzzles: a string, or a list of them.

    Raises:
        MdnnError: a prompt that leaves no room for the answer, kinds that the network does not
            have, a decoding mode that it was not trained for, an option that is unknown, beyond
            its limits or without effect on the network, no run folder.

    Example:

    >>> mdnn.generate("runs/text", "The ", length=100, preset="creative", seed=3)
    """
    run = cached_run(run)
    options = options_of({"output": output, **options})
    return task_for(run.config, run.words).generate(run, prompt, options, stream)
