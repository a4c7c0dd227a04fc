"""Generates texts of a grammar: of a regular expression or a JSON schema."""

import functools
import json

from mdnn.constraints.automaton import compile_expression
from mdnn.constraints.expressions import sequence
from mdnn.constraints.json_schemas import schema_expression
from mdnn.constraints.regular_expressions import parse_regex
from mdnn.errors import MdnnError
from mdnn.generation.completions.completion import CompletionRequest
from mdnn.generation.completions.subword_grammar import END
from mdnn.generation.completions.text_completions import TextCompletions
from mdnn.runs.run_folder import run_of
from mdnn.strict_json import parse_json


def stream_grammar(run, prompt, length, options, settings, seed):
    """Yields the pieces of a text that fulfils `options.regex` or `options.schema`.

    Args:
        run: `mdnn.runs.run_folder.Run` of a text network.
        prompt: str.
        length: int, maximum number of tokens, the end mark included.
        options: `mdnn.generation.options.GenerationOptions`.
        settings: its `mdnn.generation.options.SamplingSettings`.
        seed: int.

    Raises:
        MdnnError: a regular expression or schema that is not supported or cannot be met, or a
            length that no text of it fits into.
    """
    completions = _completions(run.model, settings.steps)
    grammar = _tables(completions, _key(options))
    least = grammar.least
    if length < least:
        raise MdnnError(
            f"length: expected at least {least}, which the shortest text of this form and its end "
            f"take, received {length}"
        )
    request = CompletionRequest(
        prompt,
        length,
        settings.temperature,
        settings.top_k,
        settings.top_p,
        seed,
        stop=(END,),
        grammar=grammar,
    )
    for (piece,) in completions.complete([request]):
        if piece.text:
            yield piece.text


def _key(options):
    """Returns the grammar that options ask for, as JSON text."""
    if options.regex is not None:
        return json.dumps(["regex", options.regex])
    schema = options.schema
    if isinstance(schema, str):
        schema = parse_json(schema, "schema")
    try:
        return json.dumps(["schema", schema])
    except (TypeError, ValueError, RecursionError):
        raise MdnnError("schema: expected a JSON schema, as a dict or JSON text") from None


@functools.lru_cache(maxsize=4)
def _completions(model, steps):
    """Returns cached completions; to compile a decoder takes longer than many texts."""
    return TextCompletions(run_of(model), steps=steps)


@functools.lru_cache(maxsize=8)
def _tables(completions, key):
    kind, value = json.loads(key)
    make = {"regex": parse_regex, "schema": schema_expression}[kind]
    return completions.grammar(compile_expression(sequence(make(value, kind), END), kind))
