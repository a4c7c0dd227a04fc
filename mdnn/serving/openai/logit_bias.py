"""Reads `logit_bias`, the biases of a request for the scores of single tokens."""

import numbers

from mdnn.errors import shown
from mdnn.serving.openai.parameters import ApiError

MAX_BIASES = 300
"""Largest number of tokens with a bias, as in OpenAI's API."""

LARGEST_BIAS = 100


def token_biases(values, completions):
    """Returns pairs of a token id and the bias of its log-probability, a tuple.

    A token's id is its number in the vocabulary of subwords; of a network of characters the
    character's code point, of its words 1,114,112 and on (`mdnn.tokens.characters`).

    Args:
        values: dict, the checked parameters of a request.
        completions: what answers completions, `mdnn.generation.completions.completion`.

    Raises:
        ApiError: no such token, a bias out of range, or too many of them.
    """
    table = values.get("logit_bias", {})
    if not table:
        return ()
    if len(table) > MAX_BIASES:
        _refuse(f"at most {MAX_BIASES} tokens", len(table))
    if not completions.variants:
        raise ApiError(
            "logit_bias: not supported by a SavedModel; serve the run folder",
            "logit_bias",
            "unsupported_parameter",
        )
    tokenizer, biases = completions.tokenizer, {}
    for key, bias in table.items():
        known = key.isascii() and key.isdecimal() and len(key) < 10
        if not known or not tokenizer.writable(int(key)):
            _refuse(f"numbers of tokens, below {tokenizer.size}", key)
        if not isinstance(bias, numbers.Real) or isinstance(bias, bool):
            _refuse("numbers", bias)
        # Not the other way about, which lets NaN pass.
        if not -LARGEST_BIAS <= bias <= LARGEST_BIAS:
            _refuse(f"biases from {-LARGEST_BIAS} to {LARGEST_BIAS}", bias)
        biases[int(key)] = float(bias)
    return tuple((number, bias) for number, bias in sorted(biases.items()) if bias)


def _refuse(expected, received):
    message = f"logit_bias: expected {expected}, received {shown(received)}"
    raise ApiError(message, "logit_bias", "invalid_value")
