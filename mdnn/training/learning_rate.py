"""Defines the learning-rate schedule of a config."""

import math


def rate_at(spec, step, progress):
    """Returns the learning rate of a step.

    Linear warmup multiplied by a cosine decay to `spec.min_lr_ratio` of the full rate, which begins
    at `spec.decay_start` of the run.

    Args:
        spec: `mdnn.config.training_tables.Optimizer`.
        step: int, from 0.
        progress: float, completed fraction of the run, 0 to 1.
    """
    climb = min(1.0, (step + 1) / spec.warmup_steps) if spec.warmup_steps else 1.0
    progress = max(0.0, progress - spec.decay_start) / max(1e-9, 1 - spec.decay_start)
    fall = spec.min_lr_ratio + (1 - spec.min_lr_ratio) * 0.5 * (
        1 + math.cos(math.pi * min(progress, 1.0))
    )
    return spec.learning_rate * climb * fall
