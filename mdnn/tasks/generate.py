"""Provides `generate`, the answer of a trained network to a prompt."""

from mdnn.generation.options import options_of
from mdnn.runs.cached_runs import cached_run
from mdnn.tasks.density_rule import AUTO, answers_at_densities, run_for
from mdnn.tasks.registry import task_for


def generate(
    run,
    prompt,
    output=None,
    stream=None,
    density=None,
    identity=None,
    progress=None,
    **options,
):
    """Answers a prompt with a trained network.

    The same network, prompt, options and seed give the same answer, independent of other prompts
    in the batch. Omitted options take their values from the preset
    (`mdnn.generation.options.PRESETS`).

    Args:
        run: a run folder or a `.keras` file, which is opened and compiled once and cached until it
            changes; a network; or the `Run` returned by `mdnn.runs.run_folder.open_run`.
        prompt: the prompt. Text networks: a str to continue, or a list of any number of them, of
            which `batch_size` are in memory at a time. Item networks: a list of items in
            order, each a str, an array (uint8 `[h, w]`, `[h, w, 3]` or `[n, h, w, 3]`, int16
            `[n]`), an `Item` or the `pathlib.Path` of a file; or a list of such lists. Puzzle
            networks: a str or a list of str.
        output: output specification such as `"text"`, `"text 5"`, `"grey 8x8"` or `"audio 800"`;
            see `mdnn.generation.options.GenerationOptions`.
        stream: function called with each piece of a generated text, with each item of the answer
            to a single prompt, or with the number of steps and the current answer to a puzzle.
        density: float, a trained density (`train.density`): a narrower, faster network answers.
            `"auto"` for texts: the density that each prompt's difficulty needs (docs/density.md).
            `None`: the whole network.
        identity: a file that `mdnn.adapt` made for this network (docs/identity.md), or `None`.
        progress: function called with the completed fraction, 0 to 1, of a list of texts, or of the
            reading of a text that is longer than `backbone.slab`; or `None`.
        **options: other fields of `mdnn.generation.options.GenerationOptions`: `length`, `stop`,
            `regex`, `schema`, `decoding`, `preset`, `temperature`, `top_k`, `top_p`, `seed`,
            `presence_penalty`, `frequency_penalty`, `logit_bias`, `logprobs`, `steps`,
            `num_denoising_steps`, `revise`, `guidance_scale`, `negative_prompt`, `engine`,
            `batch_size`, `num_starts` and `adaptive`.

    Returns:
        Text networks: a str, the generated text without the prompt, or a list of them; with
        `logprobs` a `ScoredText`, a str whose attribute `tokens` has their log-probabilities. Item
        networks: a str, uint8 or int16 array if `output` is one specification, a list of these if
        it is a list, and a list of `Item`s if it is `None`; for several prompts a list of such
        answers. Puzzle networks: a str, or a list of str.

    Raises:
        MdnnError: a prompt that leaves no room for the answer; a kind of item that the network
            does not have; a decoding mode that it was not trained for; an option that is unknown,
            out of range or without effect on the network; not a run folder.

    Example:

    >>> mdnn.generate("runs/text", "The ", length=100, preset="creative", seed=3)
    """
    run, more = cached_run(run), {} if progress is None else {"progress": progress}
    options = options_of({"output": output, **options})
    several = (
        isinstance(prompt, (list, tuple)) and prompt and all(isinstance(p, str) for p in prompt)
    )
    if density == AUTO and identity is None and several:

        def answer(run, prompts, options):
            return task_for(run.config, run.words).generate(run, prompts, options, stream, **more)

        return answers_at_densities(run, list(prompt), options, answer)
    run = run_for(run, density, prompt, identity)
    return task_for(run.config, run.words).generate(run, prompt, options, stream, **more)
