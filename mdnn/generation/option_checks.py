"""Checks of the values of options."""

import numbers

from mdnn.errors import MdnnError, did_you_mean


def check_word(name, value, known):
    """Refuses a value that is no known word; accepts `None`."""
    if value is not None and (not isinstance(value, str) or value not in known):
        raise MdnnError(
            f"{name}: unknown {value!r}{did_you_mean(value, known)}; known: {', '.join(known)}"
        )


def check_integer(name, value, least, most):
    """Refuses a value that is no whole number between two; accepts `None`."""
    expected = f"a whole number from {least:,} to {most:,}"
    check_number(value, numbers.Integral, lambda v: least <= v <= most, name, expected)


def check_number(value, kind, fits, name, expected):
    """Refuses a value of another numeric type (Python or NumPy) or out of range; accepts `None`.

    Args:
        value: the value of the option.
        kind: abstract base class of `numbers`.
        fits: function from a value to bool, the range check.
        name: str, name of the option in the error message.
        expected: str, description of valid values in the error message.
    """
    if value is None:
        return
    if not isinstance(value, kind) or isinstance(value, bool) or not fits(value):
        raise MdnnError(f"{name}: expected {expected}, received {value!r}")


def check_seed(seed):
    """Converts a seed to int.

    Raises:
        MdnnError: not a 32-bit integer.
    """
    check_number(
        seed, numbers.Integral, lambda s: -(2**31) <= s < 2**31, "seed", "a 32-bit whole number"
    )
    if seed is None:
        raise MdnnError("seed: expected a 32-bit whole number, received None")
    return int(seed)
