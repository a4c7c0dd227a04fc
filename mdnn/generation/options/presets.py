"""Presets: values of several options under one name; sampling settings made of them."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Preset:
    """Values of a preset; each option of `GenerationOptions` overrides one of them.

    Args:
        temperature: float, divides the logits; 0: greedy decoding. Values below 1 sharpen the
            network's probabilities, values above 1 flatten them.
        top_k: int, sample only from the k likeliest classes; 0: all.
        top_p: float, sample only from the likeliest classes with this total probability; 1: all.
        step_factor: int, multiplies the refeed steps of the config, if these are more than 1.
        num_denoising_steps: int, number of denoising steps of masked diffusion.
    """

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    step_factor: int = 1
    num_denoising_steps: int = 16


DEFAULTS = Preset()
"""Values used without a preset."""

PRESETS = {
    # Greedy decoding: the answer does not depend on the seed.
    "factual": Preset(temperature=0.0),
    # The network's probabilities without the least likely 5%: answers vary with the seed.
    "creative": Preset(temperature=1.0, top_p=0.95),
    # Greedy decoding with twice the refeed steps and four times the denoising steps.
    "reasoning": Preset(temperature=0.0, step_factor=2, num_denoising_steps=64),
}


@dataclasses.dataclass(frozen=True)
class SamplingSettings:
    """Resolved sampling settings: a preset combined with individual options.

    Args:
        temperature, top_k, top_p, num_denoising_steps: see `Preset`.
        steps: int, number of refeed steps; `None`: as in training.
        revise, guidance_scale: see `GenerationOptions`.
    """

    temperature: float
    top_k: int
    top_p: float
    num_denoising_steps: int
    steps: int | None = None
    revise: int = 0
    guidance_scale: float = 1.0

    @property
    def sampler(self):
        """The cheapest of `mdnn.generation.sampling.SAMPLERS` that implements these settings."""
        if self.temperature == 0:
            return "greedy"
        return "filtered" if self.top_k or self.top_p < 1 else "plain"
