"""Styles: words for how an answer is chosen."""

import dataclasses
import numbers

from mdnn.errors import MdnnError
from mdnn.models.schema import nearest


@dataclasses.dataclass(frozen=True)
class Style:
    """What a style stands for; each can be set alone instead.

    Args:
        temperature: 0 for the likeliest unit each time; below 1 more careful, above 1 more daring
            than the network's own probabilities.
        top_k: choose among the k likeliest only; 0 for all.
        top_p: choose among the likeliest that together have this probability only; 1 for all.
        refeeds: how many times as many refeeds as the config has, for a network that is refed.
        passes: passes of unmasking, over which the blanks become fewer.
    """

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    refeeds: int = 1
    passes: int = 16


PLAIN = Style()
"""What holds where no style is named."""

STYLES = {
    # The likeliest unit each time: the same answer whatever the seed.
    "factual": Style(temperature=0.0),
    # The own probabilities but for the unlikeliest twentieth: another seed, another answer.
    "creative": Style(temperature=1.0, top_p=0.95),
    # The likeliest unit after twice the refeeds, unmasked in four times as many passes.
    "reasoning": Style(temperature=0.0, refeeds=2, passes=64),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """How units are chosen, all decided: a style with what was set alone.

    Args:
        temperature, top_k, top_p, passes: as of `Style`.
        refeeds: how many times the network is run on its own output; `None`: as trained.
    """

    temperature: float
    top_k: int
    top_p: float
    passes: int
    refeeds: int | None = None

    @property
    def sampler(self):
        """The cheapest of `mdnn.generation.sampling.SAMPLERS` that does it."""
        if self.temperature == 0:
            return "greedy"
        return "filtered" if self.top_k or self.top_p < 1 else "plain"


def settings(
    style=None, temperature=None, top_k=None, top_p=None, passes=None, refeeds=None, trained=1
):
    """The `Settings` of a style and of what is set alone, which wins.

    Args:
        style: one of `STYLES`, or `None`.
        temperature, top_k, top_p, passes: as of `Style`; `None`: the style's.
        refeeds: how many times the network is run on its own output; `None`: the style's multiple
            of `trained`. A network that is not refed in training (`trained` 1) is not by a style.
        trained: the config's refeeds.

    Raises:
        MdnnError: an unknown style, or a number beyond its limits.
    """
    if style is not None and (not isinstance(style, str) or style not in STYLES):
        near = nearest(style, STYLES) if isinstance(style, str) else ""
        raise MdnnError(f"style: unknown {style!r}{near}; known: {', '.join(STYLES)}")
    base = STYLES.get(style, PLAIN)
    temperature = base.temperature if temperature is None else temperature
    top_k = base.top_k if top_k is None else top_k
    top_p = base.top_p if top_p is None else top_p
    passes = base.passes if passes is None else passes
    if not is_number(numbers.Real, temperature) or not 0 <= temperature <= 100:
        raise MdnnError(f"temperature: expected 0 to 100, received {temperature!r}")
    if not is_number(numbers.Integral, top_k) or not 0 <= top_k < 2**31:
        raise MdnnError(f"top_k: expected a whole number from 0 (all) on, received {top_k!r}")
    if not is_number(numbers.Real, top_p) or not 0 < top_p <= 1:
        raise MdnnError(f"top_p: expected a number above 0, up to 1 (all), received {top_p!r}")
    if not is_number(numbers.Integral, passes) or not 1 <= passes <= 1_000_000:
        raise MdnnError(f"passes: expected a whole number from 1 on, received {passes!r}")
    if refeeds is None:
        refeeds = base.refeeds * trained if trained > 1 else None
    elif not is_number(numbers.Integral, refeeds) or not 1 <= refeeds <= 1000:
        raise MdnnError(f"refeeds: expected a whole number from 1 to 1000, received {refeeds!r}")
    refeeds = None if refeeds in (None, trained) else int(refeeds)
    return Settings(float(temperature), int(top_k), float(top_p), int(passes), refeeds)


def check_seed(seed):
    """Refuses a seed that is no 32-bit whole number; returns it."""
    if not is_number(numbers.Integral, seed) or not -(2**31) <= seed < 2**31:
        raise MdnnError(f"seed: expected a 32-bit whole number, received {seed!r}")
    return int(seed)


def is_number(kind, value):
    """Whether a value is a number of a kind, of Python or of numpy, and no truth value."""
    return isinstance(value, kind) and not isinstance(value, bool)
