"""Answers as lines: of the prompts of a file, and the scores of an answer's tokens."""

import json

from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.files import read_small_text, write_text

MAX_PROMPTS_BYTES = 1 << 28


def write_answer_lines(run, options, generation):
    """Answers the prompts of a file; lines of JSON go to `--out` or the screen.

    Args:
        run: `mdnn.runs.run_folder.Run` of a text network; `--density` and `--identity` are
            applied to it.
        options: the command line as parsed by `mdnn.cli.parser`.
        generation: `mdnn.generation.options.GenerationOptions`.

    Raises:
        MdnnError: no prompts, options that do not go with them, or a network of another kind.
    """
    # Imported late: they need Keras.
    from mdnn.generation.text_decoding import generate_text
    from mdnn.serving.openai.completion_answers import token_scores
    from mdnn.tasks.density_rule import AUTO, answers_at_densities, run_for
    from mdnn.tasks.registry import task_for
    from mdnn.training.progress import Ticker

    for name, given in (("--prompt", options.items), ("--samples", options.samples > 1)):
        if given:
            raise MdnnError(f"--prompts: expected no {name} with it, received both")
    if not task_for(run.config, run.words).streams_text:
        raise MdnnError("--prompts: expected a network of text")
    text = read_small_text(as_path(options.prompts, "--prompts"), MAX_PROMPTS_BYTES)
    prompts = [line for line in text.splitlines() if line]
    if not prompts:
        raise MdnnError(f"--prompts: no prompts in {options.prompts!r}")

    def answer(run, prompts, generation):
        return generate_text(run, prompts, generation, progress=Ticker("answering"))

    if options.density == AUTO and options.identity is None:
        answers = answers_at_densities(run, prompts, generation, answer)
    else:
        run = run_for(run, options.density, None, options.identity)
        answers = answer(run, prompts, generation)
    lines = []
    for prompt, answer in zip(prompts, answers, strict=True):
        line = {"prompt": prompt, "answer": answer}
        if generation.logprobs is not None:
            line["logprobs"] = token_scores(answer.tokens)["content"]
        lines.append(json.dumps(line, ensure_ascii=False))
    if options.out is None:
        print("\n".join(lines))
        return
    write_text(as_path(options.out, "--out"), "\n".join(lines) + "\n")


def score_lines(text):
    """Yields a line for each token: its log-probability, itself, and the likeliest tokens.

    Args:
        text: `mdnn.generation.completions.completion.ScoredText`.
    """
    for token in text.tokens:
        words = [f"{token.log_probability:9.4f}  {token.text!r:8}"]
        words += [f"{other!r} {score:.4f}" for other, score, _ in token.alternatives]
        yield "  ".join(words).rstrip()
