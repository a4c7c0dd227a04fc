"""Checks of the values of options."""

import functools
import numbers

from mdnn.errors import MdnnError, did_you_mean
from mdnn.generation.options.option_words import DECODINGS, ENGINE_NAMES, MAX_ALTERNATIVES
from mdnn.generation.options.presets import PRESETS
from mdnn.generation.options.token_offsets import MAX_PENALTY, checked_biases


def check_options(options):
    """Refuses values out of range, unknown words, and options that exclude each other.

    Args:
        options: `mdnn.generation.options.GenerationOptions`.

    Raises:
        MdnnError: the first option that is invalid.
    """
    check_word("decoding", options.decoding, DECODINGS)
    check_word("preset", options.preset, PRESETS)
    check_word("engine", options.engine, ENGINE_NAMES)
    for text in options.stop_texts:
        if not isinstance(text, str) or not text:
            raise MdnnError(f"stop: expected strings that are not empty, received {text!r}")
    if options.regex is not None and options.schema is not None:
        raise MdnnError("expected regex or schema, received both")
    for name, (least, most) in _WHOLE_NUMBERS.items():
        check_integer(name, getattr(options, name), least, most)
    for name, (least, most) in _NUMBERS.items():
        expected = f"{least} to {most}"
        fits = functools.partial(_between, least, most)
        check_number(getattr(options, name), numbers.Real, fits, name, expected)
    if (options.guidance_scale == 1) != (not options.negative_prompts):
        raise MdnnError(
            "expected guidance_scale, a number other than 1, and negative_prompt "
            "together, received one of them"
        )
    if not isinstance(options.adaptive, bool):
        raise MdnnError(f"adaptive: expected True or False, received {options.adaptive!r}")
    check_number(
        options.top_p, numbers.Real, lambda p: 0 < p <= 1, "top_p", "a number above 0, up to 1"
    )
    checked_biases(options.logit_bias)
    if not isinstance(options.seed, (list, tuple)):
        check_seed(options.seed)


_WHOLE_NUMBERS = {
    "length": (0, 10_000_000),
    "batch_size": (1, 65_536),
    "num_starts": (1, 1000),
    "steps": (1, 1_000_000),
    "num_denoising_steps": (1, 1_000_000),
    "revise": (0, 1_000_000),
    "top_k": (0, 2**31 - 1),
    "logprobs": (0, MAX_ALTERNATIVES),
}
"""Least and largest values of whole numbers."""

_NUMBERS = {
    "guidance_scale": (0, 100),
    "temperature": (0, 100),
    "presence_penalty": (-MAX_PENALTY, MAX_PENALTY),
    "frequency_penalty": (-MAX_PENALTY, MAX_PENALTY),
}
"""Least and largest values of numbers."""


def _between(least, most, value):
    # False for NaN.
    return least <= value <= most


def check_revise(options, decoding, objectives):
    """Refuses the option `revise` where it has no effect or the network has not learned to.

    Args:
        options: `mdnn.generation.options.GenerationOptions`.
        decoding: str as returned by `GenerationOptions.decoding_of`.
        objectives: `[train.objectives]` of the config.

    Raises:
        MdnnError: `revise` is not 0 and not possible.
    """
    if decoding == "autoregressive":
        options.refuse(("revise",), decoding)
    elif options.revise and not objectives.masked_diffusion:
        raise MdnnError(
            "revise: expected a network that was trained for masked_diffusion "
            "(train.objectives), which decides a token given all the others; this one was not"
        )


def check_word(name, value, known):
    """Refuses a value that is not a known word; accepts `None`.

    Args:
        name: str, the option, for errors.
        value: its value.
        known: sequence of str, the allowed words.

    Raises:
        MdnnError: an unknown word; suggests the nearest one.
    """
    if value is not None and (not isinstance(value, str) or value not in known):
        raise MdnnError(
            f"{name}: unknown {value!r}{did_you_mean(value, known)}; known: {', '.join(known)}"
        )


def check_integer(name, value, least, most):
    """Refuses a value that is not a whole number between two; accepts `None`.

    Args:
        name: str, the option, for errors.
        value: its value.
        least, most: int, the allowed range.

    Raises:
        MdnnError: another value.
    """
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
