"""Refeed steps that each position takes until it stops: by length, or by the halting head."""

from keras import ops

from mdnn.models.blocks.residual_block import run_blocks


def run_until_stopped(refeed, x, states, steps, limits=None, options=None, training=None, mix=None):
    """Runs refeed steps, each position until it stops.

    A position stops after its limit of steps, or, outside training, where the halting head says so
    after a multiple of `refeed.steps`. Then it keeps its states, and other positions see of it what
    they saw in its last step: the inputs of its mixers are kept, too. Whether a position stops
    depends on its own state alone, so causal networks stay causal, and a network that runs position
    by position computes the same. All steps have gradients.

    Args:
        refeed: `mdnn.models.thinking.recurrence.Refeed`.
        x: `[batch, t1, ..., tk, channels]`.
        states: tuple of states, see `Refeed.iterate`.
        steps: int, the largest number of steps.
        limits: int32 `[batch or 1, t1, ..., tk, 1]`, at least 1; `None` for `steps`.
        options: `mdnn.models.call_options.CallOptions` or `None`.
        training: bool.
        mix: object that replaces the mixers, with the methods of `WholePass`; `None` to apply the
            mixers.

    Returns:
        Tuple of the states, a tuple, and the number of steps that each position took, int32
        `[batch, t1, ..., tk, 1]`.
    """
    run = _StepsOfPositions(refeed, x, mix or WholePass(options), options, training)
    # All positions take the first step.
    states, inputs = run.step(states)
    active, taken = None, ops.ones_like(x[..., :1], dtype="int32")
    for number in range(1, steps):
        active = run.still_active(active, states[0], number, limits)
        if active is None:
            states, inputs = run.step(states)
            taken = taken + 1
            continue
        states, inputs = run.step_of_active(states, inputs, active)
        taken = taken + ops.cast(active, "int32")
    return states, taken


class WholePass:
    """Applies mixers to whole contexts.

    Args:
        options: `mdnn.models.call_options.CallOptions` or `None`.
    """

    def __init__(self, options=None):
        self.options = options

    def __call__(self, layer, mixer, x):
        """Returns a mixer's output for its input."""
        return mixer.apply(layer, x, self.options)

    def show(self, layer, mixer, x):
        """Lets other positions see the input of a mixer whose output is unused.

        Args:
            layer, mixer, x: see `__call__`.
        """

    def either(self, condition, run, keep):
        """Returns the result of one of two functions without arguments, by a boolean scalar.

        Args:
            condition: bool scalar tensor.
            run, keep: functions without arguments, for true and for false.
        """
        return ops.cond(condition, run, keep)


class _StepsOfPositions:
    """Runs single steps of some positions; see `run_until_stopped`."""

    def __init__(self, refeed, x, mix, options, training):
        self.refeed, self.x, self.mix = refeed, x, mix
        self.options, self.training = options, training
        self.noise = refeed.noise_of(training)
        self.halts = None if training else refeed.halts
        uses = [use for block in refeed.blocks for use in block.mixing_uses()]
        self.uses = uses * refeed.runs(1)

    def still_active(self, active, state, number, limits):
        """Returns which positions go on after a number of steps, or `None` for all."""
        if limits is not None:
            active = limits > number
        if self.halts is not None and number % self.refeed.steps == 0:
            goes_on = ops.logical_not(self.halts(state))
            active = goes_on if active is None else ops.logical_and(active, goes_on)
        return active

    def step(self, states, inputs=None, active=None):
        """Returns the states and the inputs of the mixers after a step of the active positions."""
        seen = []

        def mix(layer, mixer, x):
            if active is not None:
                x = ops.where(active, x, inputs[len(seen)])
            seen.append(x)
            return self.mix(layer, mixer, x)

        def run(y):
            return run_blocks(self.refeed.blocks, y, self.options, self.training, mix)

        new = self.refeed.step(self.x, states, run, self.noise)
        if active is not None:
            new = tuple(ops.where(active, y, z) for y, z in zip(new, states, strict=True))
        return new, tuple(seen)

    def step_of_active(self, states, inputs, active):
        """Returns the result of `step`; computes nothing if no position is active."""

        def keep():
            for (layer, mixer), x in zip(self.uses, inputs, strict=True):
                self.mix.show(layer, mixer, x)
            return states, inputs

        def run():
            return self.step(states, inputs, active)

        # Noise and dropout draw from generators, which do not advance inside a conditional.
        return run() if self.training else self.mix.either(ops.any(active), run, keep)
