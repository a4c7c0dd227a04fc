"""Styles: words for how an answer is chosen."""

import dataclasses
import numbers

from mdnn.config.schema import nearest
from mdnn.errors import MdnnError


@dataclasses.dataclass(frozen=True)
class Preset:
    """What a style stands for; each can be set alone instead.

    Args:
        temperature: 0 for the likeliest unit each time; below 1 more careful, above 1 more daring
            than the network's own probabilities.
        top_k: choose among the k likeliest only; 0 for all.
        top_p: choose among the likeliest that together have this probability only; 1 for all.
        steps: how many times as many steps as the config has, for a network that is refed.
        num_denoising_steps: passes of unmasking, over which the blanks become fewer.
    """

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    steps: int = 1
    num_denoising_steps: int = 16


PLAIN = Preset()
"""What holds where no style is named."""

PRESETS = {
    # The likeliest unit each time: the same answer whatever the seed.
    "factual": Preset(temperature=0.0),
    # The own probabilities but for the unlikeliest twentieth: another seed, another answer.
    "creative": Preset(temperature=1.0, top_p=0.95),
    # The likeliest unit after twice the steps, unmasked in four times as many passes.
    "reasoning": Preset(temperature=0.0, steps=2, num_denoising_steps=64),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """How units are chosen, all decided: a style with what was set alone.

    Args:
        temperature, top_k, top_p, passes: as of `Style`.
        steps: how many times the network is run on its own output; `None`: as trained.
    """

    temperature: float
    top_k: int
    top_p: float
    num_denoising_steps: int
    steps: int | None = None

    @property
    def sampler(self):
        """The cheapest of `mdnn.generation.sampling.SAMPLERS` that does it."""
        if self.temperature == 0:
            return "greedy"
        return "filtered" if self.top_k or self.top_p < 1 else "plain"


def settings(
    preset=None,
    temperature=None,
    top_k=None,
    top_p=None,
    num_denoising_steps=None,
    steps=None,
    trained=1,
):
    """The `Settings` of a style and of what is set alone, which wins.

    Args:
        preset: one of `PRESETS`, or `None`.
        temperature, top_k, top_p, passes: as of `Style`; `None`: the style's.
        steps: how many times the network is run on its own output; `None`: the style's multiple
            of `trained`. A network that is not refed in training (`trained` 1) is not by a style.
        trained: the config's steps.

    Raises:
        MdnnError: an unknown style, or a number beyond its limits.
    """
    if preset is not None and (not isinstance(preset, str) or preset not in PRESETS):
        near = nearest(preset, PRESETS) if isinstance(preset, str) else ""
        raise MdnnError(f"preset: unknown {preset!r}{near}; known: {', '.join(PRESETS)}")
    base = PRESETS.get(preset, PLAIN)
    temperature = base.temperature if temperature is None else temperature
    top_k = base.top_k if top_k is None else top_k
    top_p = base.top_p if top_p is None else top_p
    num_denoising_steps = (
        base.num_denoising_steps if num_denoising_steps is None else num_denoising_steps
    )
    if not is_number(numbers.Real, temperature) or not 0 <= temperature <= 100:
        raise MdnnError(f"temperature: expected 0 to 100, received {temperature!r}")
    if not is_number(numbers.Integral, top_k) or not 0 <= top_k < 2**31:
        raise MdnnError(f"top_k: expected a whole number from 0 (all) on, received {top_k!r}")
    if not is_number(numbers.Real, top_p) or not 0 < top_p <= 1:
        raise MdnnError(f"top_p: expected a number above 0, up to 1 (all), received {top_p!r}")
    if (
        not is_number(numbers.Integral, num_denoising_steps)
        or not 1 <= num_denoising_steps <= 1_000_000
    ):
        raise MdnnError(
            "num_denoising_steps: expected a whole number from 1 on, "
            f"received {num_denoising_steps!r}"
        )
    if steps is None:
        steps = base.steps * trained if trained > 1 else None
    elif not is_number(numbers.Integral, steps) or not 1 <= steps <= 1000:
        raise MdnnError(f"steps: expected a whole number from 1 to 1000, received {steps!r}")
    steps = None if steps in (None, trained) else int(steps)
    return Settings(float(temperature), int(top_k), float(top_p), int(num_denoising_steps), steps)


def check_seed(seed):
    """Refuses a seed that is no 32-bit whole number; returns it."""
    if not is_number(numbers.Integral, seed) or not -(2**31) <= seed < 2**31:
        raise MdnnError(f"seed: expected a 32-bit whole number, received {seed!r}")
    return int(seed)


def is_number(kind, value):
    """Whether a value is a number of a kind, of Python or of numpy, and no truth value."""
    return isinstance(value, kind) and not isinstance(value, bool)
