"""Makes the grammar that options ask for: of a regular expression or a JSON schema."""

import functools
import json

from mdnn.constraints.automaton import compile_expression
from mdnn.constraints.expressions import sequence
from mdnn.constraints.json_schemas import schema_expression
from mdnn.constraints.regular_expressions import parse_regex
from mdnn.errors import MdnnError
from mdnn.generation.completions.subword_grammar import END
from mdnn.strict_json import parse_json


def option_grammar(completions, options, length):
    """Returns the `GrammarTables` of `options.regex` or `options.schema`; `None` without them.

    Every text of the grammar ends with `mdnn.generation.completions.subword_grammar.END`.

    Args:
        completions: `mdnn.generation.completions.text_completions.TextCompletions`.
        options: `mdnn.generation.options.GenerationOptions`.
        length: int, maximum number of tokens, the end mark included.

    Raises:
        MdnnError: a regular expression or schema that is not supported or cannot be met, or a
            length that no text of it fits into.
    """
    if options.regex is None and options.schema is None:
        return None
    grammar = _tables(completions, _key(options))
    if length < grammar.least:
        raise MdnnError(
            f"length: expected at least {grammar.least}, which the shortest text of this form and "
            f"its end take, received {length}"
        )
    return grammar


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


@functools.lru_cache(maxsize=8)
def _tables(completions, key):
    kind, value = json.loads(key)
    make = {"regex": parse_regex, "schema": schema_expression}[kind]
    return completions.grammar(compile_expression(sequence(make(value, kind), END), kind))
