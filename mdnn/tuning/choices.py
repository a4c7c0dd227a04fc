"""Reads which values of which config keys a search tries."""

import itertools
import json
import math

from mdnn.config.load import check_keys, load_config
from mdnn.errors import MdnnError

MAX_VALUES, MAX_KEYS = 100, 20


def parse_choice(text):
    """Splits `KEY=A,B,C` into a key and its values.

    Commas inside brackets, braces and quotes belong to a value: `context.grid=[16,32],[512]`.

    Args:
        text: str, as given with `--try`.

    Returns:
        Pair `(key, values)`: str and list of at least two different strings.

    Raises:
        MdnnError: no key, fewer than two values, a value twice, an open bracket.
    """
    key, equals, rest = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise MdnnError(f"--try: expected KEY=A,B,C, received {text!r}")
    values, depth, quote, start = [], 0, None, 0
    for place, character in enumerate(rest):
        if quote is not None:
            quote = None if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        elif character == "," and not depth:
            values.append(rest[start:place].strip())
            start = place + 1
    values.append(rest[start:].strip())
    if quote is not None or depth:
        raise MdnnError(f"{key}: expected closed brackets and quotes, received {rest!r}")
    return key, _checked(key, values)


def value_texts(choices):
    """Returns a dict from keys to values as strings, as `parse_choice` reads them.

    Args:
        choices: dict from config keys to sequences of values (strings, numbers, lists, bools).

    Raises:
        MdnnError: no keys, or values that `parse_choice` would refuse.
    """
    if not choices:
        raise MdnnError("expected at least one key to try, such as backbone.depth=4,6")
    if len(choices) > MAX_KEYS:
        raise MdnnError(f"expected at most {MAX_KEYS} keys to try, received {len(choices)}")
    return {
        key: _checked(key, [v if isinstance(v, str) else json.dumps(v) for v in values])
        for key, values in choices.items()
    }


def _checked(key, values):
    if not 2 <= len(values) <= MAX_VALUES or "" in values:
        raise MdnnError(
            f"{key}: expected 2 to {MAX_VALUES} values separated by commas, "
            f"received {','.join(values)!r}"
        )
    if len(set(values)) < len(values):
        raise MdnnError(f"{key}: expected no duplicate values, received {','.join(values)!r}")
    return values


def overrides_of(values):
    """Returns `KEY=VALUE` strings of a dict from keys to values."""
    return [f"{key}={value}" for key, value in values.items()]


def check_choices(path, overrides, choices):
    """Refuses keys and values that no combination of the search could use.

    Each value is tried in the first combination of the other keys that makes a valid config: a
    grid may be valid only with another wiring.

    Args:
        path: a config file or the name of a shipped one.
        overrides: strings `KEY=VALUE` for all trials.
        choices: dict from keys to lists of values.

    Raises:
        MdnnError: an unknown key, or a value that is refused in every combination.
    """
    for key, values in choices.items():
        for value in values:
            try:
                check_keys(path, [*overrides, f"{key}={value}"])
            except MdnnError as error:
                raise MdnnError(f"{key}={value}: {error}") from None
    for key, values in choices.items():
        others = {other: tried for other, tried in choices.items() if other != key}
        for value in values:
            refusal = None
            for rest in itertools.islice(itertools.product(*others.values()), 200):
                trial = {key: value} | dict(zip(others, rest, strict=True))
                try:
                    load_config(path, [*overrides, *overrides_of(trial)])
                    break
                except MdnnError as error:
                    refusal = refusal or error
            else:
                raise MdnnError(f"{key}={value}: {refusal}")


def num_combinations(choices):
    """Returns the number of combinations of values."""
    return math.prod(map(len, choices.values()))
