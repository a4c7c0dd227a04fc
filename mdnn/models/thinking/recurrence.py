"""Runs a stack of layers on its own output several times."""

import keras
from keras import ops

from mdnn.layers.weight_rules import RuledLayer
from mdnn.models.blocks.residual_block import run_blocks, serialized_blocks
from mdnn.models.thinking.gradient_free import run_without_gradient
from mdnn.models.thinking.refeed_checks import check_refeed_arguments, check_steps
from mdnn.models.thinking.state_noise import StateNoise
from mdnn.models.thinking.stopping import run_until_stopped


@keras.saving.register_keras_serializable(package="mdnn")
class Refeed(RuledLayer):
    """Runs a step several times and feeds its output back: the paper's refeeding.

    `y_0` is the initial state and `y_{r+1} = d y_r + (1 - d) F(x + y_r)`, with damping d; the
    output is `y_R`. Every step adds the input x again. With `inner_steps` = L there is a second
    state z: a step runs `z <- d z + (1 - d) F(x + y + z)` L times, then
    `y <- d y + (1 - d) F(y + z)` once, with the same F: the outer and inner cycles of TRM
    (arXiv 2510.04871).

    The last K steps are unrolled and have gradients (truncated backpropagation through time). The
    steps before them are one loop that keeps no activations, so that memory and the size of the
    compiled function grow with K and not with R.

    Args:
        blocks: the layers of one step F, run in order.
        steps: int, R, the default number of steps.
        bptt_steps: int, K; 0 for `steps`.
        initial_state: `"zeros"`; `"learned"`, one vector per state, the same for all positions;
            or `"random"`, a normal random number per position and channel.
        remat: bool, whether gradients recompute the activations inside a step instead of
            storing them. This needs memory for the activations of one step and the states between
            steps, and the time of one more run. Not supported with dropout, which would be drawn
            again.
        inner_steps: int, L.
        damping: float, d, at least 0 and below 1.
        noise: float, standard deviation of the noise added to a state after each update, in
            training.
        feedback: value fed back in place of `y`: `"state"`, y itself; `"answer"`, the result of
            `answer_feedback`; `"both"`, their sum. Only `"state"` with inner steps.
        seed: int, seed of random initial states and noise.
        gated_steps: int, number of last steps that have a learned gate g, initially 0: such a step
            goes from y to `y + g (y' - y)` (see `mdnn.growth`). Steps beyond `steps` have the gate
            of the last one.

    Call arguments:
        x: `[batch, t1, ..., tk, channels]`, the embedded context.
        steps: int, number of steps; `None` for the layer's own.
        state: initial state of the shape of x, in place of `y_0`; with inner steps a tuple of two.
        options: `mdnn.models.call_options.CallOptions`, passed to every layer; `steps` is ignored.
            With `adaptive` each position takes its own number of steps, see
            `mdnn.models.thinking.stopping`.
        limits: with `adaptive`: int32 `[batch or 1, t1, ..., tk, 1]`, the largest number of steps
            of each position; `None` for `steps`.

    Attributes:
        answer_feedback: function from a state to the embedded answer, for `feedback` other than
            `"state"`; see `mdnn.models.thinking.answer_feedback`.
        halts: function from a state to booleans `[batch, t1, ..., tk, 1]`, true where the halting
            head stops a position; `None` without one.

    Input shape:
        `[batch, t1, ..., tk, channels]`.

    Output shape:
        The same.

    Raises:
        ValueError: fewer than one step, K above R, or another argument is not allowed.
    """

    def __init__(
        self,
        blocks,
        steps,
        bptt_steps=0,
        initial_state="zeros",
        remat=False,
        inner_steps=0,
        damping=0.0,
        noise=0.0,
        feedback="state",
        seed=0,
        gated_steps=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.blocks = list(blocks)
        self.steps, self.bptt_steps, self.initial_state, self.remat = (
            steps,
            bptt_steps,
            initial_state,
            remat,
        )
        self.inner_steps, self.damping, self.noise, self.feedback = (
            inner_steps,
            damping,
            noise,
            feedback,
        )
        self.gated_steps, self.gates = gated_steps, None
        self.seed, self.answer_feedback, self.halts, self.first = seed, None, None, None
        check_refeed_arguments(self)
        self.generator = None
        if initial_state == "random" or noise:
            self.generator = keras.random.SeedGenerator(seed)

    @property
    def states(self):
        """The number of states, an int: 2 with inner steps, otherwise 1."""
        return 2 if self.inner_steps else 1

    def build(self, input_shape):
        for block in self.blocks:
            if not block.built:
                block.build(input_shape)
        self.first = None
        if self.initial_state == "learned":
            names = ("start", "inner_start")[: self.states]
            shape = (input_shape[-1],)
            self.first = [self.add_weight(shape, "glorot_uniform", name=name) for name in names]
        if self.gated_steps:
            self.gates = self.add_weight((self.gated_steps,), "zeros", name="step_gates")

    def call(self, x, steps=None, state=None, options=None, training=None, limits=None):
        steps = self.steps if steps is None else steps
        check_steps(steps, 0)
        if state is None:
            states = self.first_states(x, training)
        else:
            states = tuple(state) if self.inner_steps else (state,)
        if options is not None and options.adaptive:
            return run_until_stopped(self, x, states, steps, limits, options, training)[0][0]
        last = min(self.bptt_steps or self.steps, steps)
        return self.iterate(x, states, last, steps - last, options, training)[0]

    def iterate(self, x, states, steps, no_grad_steps=0, options=None, training=None, mix=None):
        """Runs steps from given states.

        Args:
            x: see the call arguments.
            states: tuple of `self.states` tensors of the shape of x, y first; `None` stands for
                zeros.
            steps: int, number of steps with gradient.
            no_grad_steps: int, or an integer scalar tensor if no layer has dropout: number of steps
                without gradient, taken before the others.
            options, training: see the call arguments.
            mix: see `mdnn.models.blocks.residual_block.run_blocks`.

        Returns:
            Tuple of the states after all steps.
        """

        def run(y):
            return run_blocks(self.blocks, y, options, training, mix)

        noise = self.noise_of(training)
        ungated = (
            no_grad_steps
            if self.gates is None
            else min(no_grad_steps, self.steps - self.gated_steps)
        )
        if not isinstance(no_grad_steps, int) or ungated:
            states = run_without_gradient(self, x, states, ungated, run, noise)
        for number in range(ungated, no_grad_steps) if self.gates is not None else ():
            states = self._gated(number, x, states, self.step(x, states, run, noise))
            states = tuple(ops.stop_gradient(state) for state in states)
        if self.remat:
            run = keras.remat(run)
        for number in range(steps):
            new = self.step(x, states, run, noise)
            states = (
                new if self.gates is None else self._gated(no_grad_steps + number, x, states, new)
            )
        return states

    def _gated(self, number, x, old, new):
        """Applies the gate of refeed step `number` (from 0), if any, to the new states."""
        gate = number - (self.steps - self.gated_steps)
        if gate < 0:
            return new
        gate = ops.cast(self.gates, x.dtype)[min(gate, self.gated_steps - 1)]
        old = tuple(_zeros(state, x) for state in old)
        return tuple(a + gate * (b - a) for a, b in zip(old, new, strict=True))

    def noise_of(self, training):
        """Returns the `StateNoise` of a call; `None` outside training or without noise."""
        return StateNoise(self.noise, self.generator) if training and self.noise else None

    def step(self, x, states, run, noise=None):
        """Returns the states after one step.

        Args:
            x, states: see `iterate`.
            run: function that computes F.
            noise: `StateNoise` or `None`.
        """
        if self.inner_steps:
            y, z = (_zeros(state, x) for state in states)
            for _ in range(self.inner_steps):
                z = self._moved(z, run(x + y + z), noise)
            return self._moved(y, run(y + z), noise), z
        (y,) = states
        if self.feedback != "state":
            y = _zeros(y, x)
            answer = self.answer_feedback(y)
            fed_back = answer if self.feedback == "answer" else y + answer
            return (self._moved(y, run(x + fed_back), noise),)
        if y is None and self.damping:
            y = _zeros(y, x)
        return (self._moved(y, run(x if y is None else x + y), noise),)

    def _moved(self, old, new, noise):
        if self.damping:
            new = self.damping * old + (1 - self.damping) * new
        return new if noise is None else noise.added(new)

    def first_states(self, x, training=None):
        """Returns the states before the first step, a tuple; `None` stands for zeros.

        Random states differ between calls in training and are the same in all other calls.
        """
        shape = ops.shape(x)
        if self.initial_state == "random":
            if training:
                drawn = [
                    keras.random.normal(shape, seed=self.generator) for _ in range(self.states)
                ]
            else:
                drawn = self.random_states(x.shape[1:])
            return tuple(ops.broadcast_to(ops.cast(y, x.dtype), shape) for y in drawn)
        if self.first is None:
            return (None,) * self.states
        return tuple(ops.broadcast_to(ops.cast(first, x.dtype), shape) for first in self.first)

    def random_states(self, shape):
        """Returns the random states outside training, `[1, *shape]`: the same for every example.

        Args:
            shape: tuple of ints, `(t1, ..., tk, channels)`.
        """
        return [keras.random.normal((1, *shape), seed=self.seed + k) for k in range(self.states)]

    def runs(self, steps):
        """Returns the number of runs of the layers in `steps` steps."""
        return steps * (1 + self.inner_steps)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def operations(self, input_shape):
        """Returns the number of multiply-adds for one example."""
        step = sum(block.operations(input_shape) for block in self.blocks)
        return self.runs(self.steps) * step

    def values(self, input_shape):
        """Returns the number of values written for one example by the steps with gradient."""
        step = sum(block.values(input_shape) for block in self.blocks)
        return (self.bptt_steps or self.steps) * (1 + self.inner_steps) * step

    def get_config(self):
        if self.feedback != "state":
            raise ValueError(
                f"a Refeed of feedback = {self.feedback!r} takes its answers from a network's "
                "heads and can only be saved as part of its network"
            )
        return {
            **super().get_config(),
            "blocks": serialized_blocks(self.blocks),
            "steps": self.steps,
            "bptt_steps": self.bptt_steps,
            "initial_state": self.initial_state,
            "remat": self.remat,
            "inner_steps": self.inner_steps,
            "damping": self.damping,
            "noise": self.noise,
            "feedback": self.feedback,
            "seed": self.seed,
            "gated_steps": self.gated_steps,
        }

    @classmethod
    def from_config(cls, config):
        blocks = [keras.saving.deserialize_keras_object(b) for b in config["blocks"]]
        return cls(**{**config, "blocks": blocks})


def _zeros(state, x):
    return ops.zeros_like(x) if state is None else state
