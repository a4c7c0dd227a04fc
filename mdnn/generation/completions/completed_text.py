"""Continues texts whose options need a `CompletionRequest`: grammars, penalties, scores."""

import functools
import sys

from mdnn.errors import MdnnError
from mdnn.generation.completions.completion import CompletionRequest
from mdnn.generation.completions.grammar_text import option_grammar
from mdnn.generation.completions.subword_grammar import END
from mdnn.generation.completions.text_completions import TextCompletions
from mdnn.generation.options.option_words import GRAMMAR_OPTIONS, OFFSET_OPTIONS
from mdnn.generation.options.token_offsets import token_biases
from mdnn.runs.run_folder import run_of

COMPLETION_OPTIONS = (*GRAMMAR_OPTIONS, *OFFSET_OPTIONS, "logprobs")
"""Options that need a `CompletionRequest`."""


def check_completion(options, decoding):
    """Returns whether options need a `CompletionRequest`, and refuses options that exclude it.

    Args:
        options: `mdnn.generation.options.GenerationOptions`.
        decoding: str, the decoding of the texts.

    Raises:
        MdnnError: another decoding than autoregressive, or the native library as the engine.
    """
    names = ", ".join(options.chosen(COMPLETION_OPTIONS))
    if names and decoding != "autoregressive":
        raise MdnnError(f"{names}: expected autoregressive decoding, received {decoding}")
    if names and options.engine.startswith("native"):
        raise MdnnError(
            f"engine: expected 'keras' or 'auto' with {names}, which only Keras computes, "
            f"received {options.engine!r}"
        )
    return bool(names)


def write_completions(run, prompts, length, options, settings, seeds, scored=None):
    """Continues texts; the arguments are those of `mdnn.generate`, checked.

    Args:
        run: `mdnn.runs.run_folder.Run` of a text network.
        prompts: list of str.
        length: int, maximum number of characters of each text; with a grammar of tokens, the end
            mark included.
        options: `mdnn.generation.options.GenerationOptions`.
        settings: its `mdnn.generation.options.SamplingSettings`.
        seeds: list of int, one per prompt.
        scored: list of lists, one per prompt, to which the `ScoredToken`s of the texts are added if
            `options.logprobs` asks for them; `None`: not needed.

    Yields:
        Lists of str, the new characters of each text.

    Raises:
        MdnnError: a bias of a number that is not a token, or a grammar that cannot be met, see
            `mdnn.generation.completions.grammar_text.option_grammar`.
    """
    completions = _completions(run.model, settings.steps)
    grammar, tokenizer = option_grammar(completions, options, length), completions.tokenizer
    requests = [
        CompletionRequest(
            prompt,
            length if grammar else length * tokenizer.tokens_per_character,
            settings.temperature,
            settings.top_k,
            settings.top_p,
            seed,
            stop=(END,) if grammar else (),
            grammar=grammar,
            log_probabilities=options.logprobs is not None,
            alternatives=options.logprobs or 0,
            **offsets_of(options, tokenizer),
        )
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]
    # A text of a grammar is not cut.
    left = [length if grammar is None else sys.maxsize] * len(requests)
    for pieces in completions.complete(requests):
        texts = []
        for number, (request, piece) in enumerate(zip(requests, pieces, strict=True)):
            texts.append(piece.text[: left[number]])
            left[number] -= len(texts[-1])
            request.cancelled = left[number] <= 0
            if scored is not None:
                scored[number] += piece.log_probabilities
        yield texts


def offsets_of(options, tokenizer):
    """Returns the fields of a `CompletionRequest` that say the offsets of tokens, a dict.

    Args:
        options: `mdnn.generation.options.GenerationOptions`.
        tokenizer: the tokenizer of the network's texts.

    Raises:
        MdnnError: a bias of a number that is not a token.
    """
    return {
        "presence_penalty": float(options.presence_penalty or 0),
        "frequency_penalty": float(options.frequency_penalty or 0),
        "logit_bias": token_biases(options.logit_bias, tokenizer),
    }


@functools.lru_cache(maxsize=4)
def _completions(model, steps):
    """Returns cached completions; compiling a decoder takes longer than writing many texts."""
    return TextCompletions(run_of(model), steps=steps)
