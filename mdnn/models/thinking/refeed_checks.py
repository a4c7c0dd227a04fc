"""Checks of the arguments of `mdnn.models.thinking.recurrence.Refeed`."""


def check_refeed_arguments(refeed):
    """Refuses arguments that are out of range or exclude each other.

    Args:
        refeed: `mdnn.models.thinking.recurrence.Refeed` with its arguments as attributes.

    Raises:
        ValueError: the first argument that is not allowed.
    """
    steps, gated_steps, inner_steps = refeed.steps, refeed.gated_steps, refeed.inner_steps
    if not isinstance(gated_steps, int) or not 0 <= gated_steps < max(steps, 1):
        raise ValueError(
            f"gated_steps: expected fewer than steps = {steps}, received {gated_steps!r}"
        )
    check_steps(steps, refeed.bptt_steps)
    for name, known in _WORDS.items():
        if (word := getattr(refeed, name)) not in known:
            raise ValueError(f"{name}: expected one of {', '.join(known)}, received {word!r}")
    if not isinstance(inner_steps, int) or inner_steps < 0:
        raise ValueError(f"inner_steps: expected at least 0, received {inner_steps!r}")
    if inner_steps and refeed.feedback != "state":
        raise ValueError(
            f"feedback: expected 'state' with inner steps, received {refeed.feedback!r}"
        )
    if not 0 <= refeed.damping < 1 or not refeed.noise >= 0:
        raise ValueError(
            "damping, noise: expected damping of at least 0 and below 1 and noise of at least 0, "
            f"received damping={refeed.damping}, noise={refeed.noise}"
        )
    if refeed.remat and any(block.dropout is not None for block in refeed.blocks):
        raise ValueError("remat: expected layers without dropout, which would be drawn again")


def check_steps(steps, bptt_steps):
    """Refuses numbers of steps that are not allowed.

    Args:
        steps: int, number of steps.
        bptt_steps: int, number of last steps with gradient; 0: all.

    Raises:
        ValueError: fewer than one step, or more steps with gradient than steps.
    """
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps: expected at least 1, received {steps!r}")
    if not isinstance(bptt_steps, int) or not 0 <= bptt_steps <= steps:
        raise ValueError(
            f"bptt_steps: expected 0 (all) to steps = {steps}, received {bptt_steps!r}"
        )


_WORDS = {
    "initial_state": ("zeros", "learned", "random"),
    "feedback": ("state", "answer", "both"),
}
"""Words that arguments may have."""
