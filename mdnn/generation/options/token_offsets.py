"""Penalties and biases of single tokens: their limits and checks.

`mdnn.generation.completions.score_offsets` adds them to the scores.
"""

import argparse
import numbers

from mdnn.errors import MdnnError, shown

MAX_PENALTY = 2
"""Largest size of a penalty, as in OpenAI's API."""

MAX_BIASES = 300
"""Largest number of tokens with a bias, as in OpenAI's API."""

LARGEST_BIAS = 100
"""Largest size of a bias, as in OpenAI's API."""


def checked_biases(table):
    """Returns the biases of the option `logit_bias`, a dict from token ids to float.

    Args:
        table: dict from token ids, int or their decimal digits, to numbers; a list of such pairs;
            or `None`.

    Raises:
        MdnnError: another form, a bias out of range, or too many of them.
    """
    try:
        table = dict(table or {})
    except (TypeError, ValueError):
        _refuse("a dict from numbers of tokens to biases", table)
    if len(table) > MAX_BIASES:
        _refuse(f"at most {MAX_BIASES} tokens", len(table))
    biases = {}
    for key, bias in table.items():
        if not isinstance(bias, numbers.Real) or isinstance(bias, bool):
            _refuse("numbers", bias)
        # Not the other way about, which lets NaN pass.
        if not -LARGEST_BIAS <= bias <= LARGEST_BIAS:
            _refuse(f"biases from {-LARGEST_BIAS} to {LARGEST_BIAS}", bias)
        biases[_token_id(key)] = float(bias)
    return biases


def _token_id(key):
    if isinstance(key, str):
        known = key.isascii() and key.isdecimal() and len(key) < 10
    else:
        known = isinstance(key, numbers.Integral) and not isinstance(key, bool)
        known = known and 0 <= key < 10**9
    if not known:
        _refuse("numbers of tokens", key)
    return int(key)


def token_biases(table, tokenizer):
    """Returns pairs of a token id and the bias of its log-probability, sorted, a tuple.

    A token's id is its number in the vocabulary of subwords; of a network of characters the
    character's code point, of its words 1,114,112 and on (`mdnn.tokens.characters`).

    Args:
        table: see `checked_biases`.
        tokenizer: the tokenizer of the network's texts.

    Raises:
        MdnnError: see `checked_biases`; or a number that is not a token of the network.
    """
    biases = checked_biases(table)
    for number in biases:
        if not tokenizer.writable(number):
            _refuse(f"numbers of tokens, below {tokenizer.size}", number)
    return tuple((number, bias) for number, bias in sorted(biases.items()) if bias)


def bias_of(word):
    """Returns the pair of a token id and a bias that a word such as `"101=-100"` names.

    Raises:
        argparse.ArgumentTypeError: another word.
    """
    number, _, bias = word.partition("=")
    try:
        return next(iter(checked_biases({number: float(bias)}).items()))
    except (ValueError, MdnnError):
        expected = "expected NUMBER=BIAS, such as 101=-100"
        raise argparse.ArgumentTypeError(f"{expected}, received {word!r}") from None


def _refuse(expected, received):
    raise MdnnError(f"logit_bias: expected {expected}, received {shown(received)}") from None
