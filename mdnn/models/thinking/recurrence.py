"""Runs a stack of layers on its own output several times."""

import functools

import keras
from keras import ops

from mdnn.layers.weight_rules import RuledLayer

# Smallest number of runs of F without gradient that is compiled as a loop instead of unrolled;
# largest number of noise draws per iteration of that loop.
UNROLLED, MOST_DRAWN = 4, 128


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
        branches: the layers of one step F, run in order.
        steps: int, R, the default number of steps.
        bptt_steps: int, K; 0 for `steps`.
        initial_state: `"zeros"`; `"learned"`, one vector per state, the same for all positions;
            or `"random"`, a normal random number per position and channel.
        remat: boolean, whether gradients recompute the activations inside a step instead of
            storing them. This needs memory for the activations of one step and the states between
            steps, and the time of one more run. Not supported with dropout, which would be drawn
            again.
        inner_steps: int, L.
        damping: float, d, at least 0 and below 1.
        noise: float, standard deviation of the noise added to a state after each update, in
            training.
        feedback: value fed back in place of `y`: `"state"`, y itself; `"answer"`, the result of
            `echo`; `"both"`, their sum. Only `"state"` with inner steps.
        seed: int, seed of random initial states and noise.

    Call arguments:
        x: `[batch, t1, ..., tk, channels]`, the embedded context.
        steps: int, number of steps; `None` for the layer's own.
        state: initial state of the shape of x, in place of `y_0`; with inner steps a tuple of two.
        causal: boolean, passed to every layer.

    Attributes:
        echo: function from a state to the embedded answer, for `feedback` other than `"state"`;
            see `mdnn.models.thinking.answer_feedback`.

    Input shape:
        `[batch, t1, ..., tk, channels]`.

    Output shape:
        The same.

    Raises:
        ValueError: fewer than one step, K above R, or another argument is not allowed.
    """

    def __init__(
        self,
        branches,
        steps,
        bptt_steps=0,
        initial_state="zeros",
        remat=False,
        inner_steps=0,
        damping=0.0,
        noise=0.0,
        feedback="state",
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.branches = list(branches)
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
        self.seed, self.echo, self.first = seed, None, None
        _check_steps(steps, bptt_steps)
        for name, word, known in (
            ("initial_state", initial_state, ("zeros", "learned", "random")),
            ("feedback", feedback, ("state", "answer", "both")),
        ):
            if word not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}, received {word!r}")
        if not isinstance(inner_steps, int) or inner_steps < 0:
            raise ValueError(f"inner_steps is a number from 0, received {inner_steps!r}")
        if inner_steps and feedback != "state":
            raise ValueError(f"expected feedback='state' with inner steps, received {feedback!r}")
        if not 0 <= damping < 1 or not noise >= 0:
            raise ValueError(
                "damping is from 0 up to 1 and noise at least 0, received "
                f"damping={damping}, noise={noise}"
            )
        if remat and any(branch.dropout is not None for branch in self.branches):
            raise ValueError("expected branches without dropout: remat would draw it anew")
        self.generator = None
        if initial_state == "random" or noise:
            self.generator = keras.random.SeedGenerator(seed)

    @property
    def states(self):
        """The number of states, an int: 2 with inner steps, otherwise 1."""
        return 2 if self.inner_steps else 1

    def build(self, input_shape):
        for branch in self.branches:
            if not branch.built:
                branch.build(input_shape)
        self.first = None
        if self.initial_state == "learned":
            names = ("start", "inner_start")[: self.states]
            shape = (input_shape[-1],)
            self.first = [self.add_weight(shape, "glorot_uniform", name=name) for name in names]

    def call(self, x, steps=None, state=None, causal=None, training=None):
        steps = self.steps if steps is None else steps
        _check_steps(steps, 0)
        if state is None:
            states = self.first_states(x, training)
        else:
            states = tuple(state) if self.inner_steps else (state,)
        last = min(self.bptt_steps or self.steps, steps)
        call = {"causal": causal, "training": training}
        return self.think(x, states, last, steps - last, **call)[0]

    def think(self, x, states, steps, free=0, causal=None, training=None, run_block=None):
        """Runs steps from given states.

        Args:
            x: see the call arguments.
            states: tuple of `self.states` tensors of the shape of x, y first; `None` stands for
                zeros.
            steps: int, number of steps with gradient.
            free: int, or an integer scalar tensor if no layer has dropout: number of steps
                without gradient, taken before the others.
            causal, training: see the call arguments.
            run_block: see `run_blocks`.

        Returns:
            Tuple of the states after all steps.
        """

        def run(y):
            return run_blocks(self.branches, y, causal, training, run_block)

        noise = _Noise(self.noise, self.generator) if training and self.noise else None
        if not isinstance(free, int) or free:
            states = tuple(_zeros(state, x) for state in states)
            states = self._free(x, states, free, run, noise)
            states = tuple(ops.stop_gradient(state) for state in states)
        if self.remat:
            run = keras.remat(run)
        for _ in range(steps):
            states = self._step(x, states, run, noise)
        return states

    def _free(self, x, states, count, run, noise):
        """Runs steps without gradient: as a loop, or unrolled if there are few or with dropout."""
        dropout = any(branch.dropout is not None for branch in self.branches)
        if isinstance(count, int) and (count * (1 + self.inner_steps) < UNROLLED or dropout):
            for _ in range(count):
                states = self._without_gradient(x, states, run, noise)
            return states
        shape = ops.shape(x)

        def step(number, states):
            found = self._without_gradient(x, states, run, noise and noise.at(number))
            return tuple(ops.cast(ops.reshape(state, shape), x.dtype) for state in found)

        if noise is not None:
            noise.begin()
        return ops.fori_loop(0, count, step, states)

    def _without_gradient(self, x, states, run, noise):
        """Runs one step and stops its gradients, which frees the graph recorded by PyTorch."""
        found = self._step(x, states, run, noise)
        return tuple(ops.stop_gradient(state) for state in found)

    def _step(self, x, states, run, noise):
        if self.inner_steps:
            y, z = (_zeros(state, x) for state in states)
            for _ in range(self.inner_steps):
                z = self._moved(z, run(x + y + z), noise)
            return self._moved(y, run(y + z), noise), z
        (y,) = states
        if self.feedback != "state":
            y = _zeros(y, x)
            echo = self.echo(y)
            return (
                self._moved(y, run(x + (echo if self.feedback == "answer" else y + echo)), noise),
            )
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
        """Returns the number of runs of the layers in a number of steps."""
        return steps * (1 + self.inner_steps)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def operations(self, input_shape):
        """Returns the number of multiply-adds for one example."""
        step = sum(branch.operations(input_shape) for branch in self.branches)
        return self.runs(self.steps) * step

    def values(self, input_shape):
        """Returns the number of values written for one example by the steps with gradient."""
        step = sum(branch.values(input_shape) for branch in self.branches)
        return (self.bptt_steps or self.steps) * (1 + self.inner_steps) * step

    def get_config(self):
        if self.feedback != "state":
            raise ValueError(
                f"a Refeed of feedback = {self.feedback!r} takes its answers from a network's "
                "heads and is saved with the network alone"
            )
        branches = [keras.saving.serialize_keras_object(branch) for branch in self.branches]
        for branch in branches:
            # This layer builds them under its own name.
            branch.pop("build_config", None)
        return {
            **super().get_config(),
            "branches": branches,
            "steps": self.steps,
            "bptt_steps": self.bptt_steps,
            "initial_state": self.initial_state,
            "remat": self.remat,
            "inner_steps": self.inner_steps,
            "damping": self.damping,
            "noise": self.noise,
            "feedback": self.feedback,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        branches = [keras.saving.deserialize_keras_object(b) for b in config["branches"]]
        return cls(**{**config, "branches": branches})


class _Noise:
    """Adds normal noise to the states of a step.

    Args:
        size: float, standard deviation.
        generator: `keras.random.SeedGenerator`.
    """

    def __init__(self, size, generator):
        self.size, self.generator = size, generator

    def added(self, state):
        drawn = keras.random.normal(ops.shape(state), stddev=self.size, seed=self.generator)
        return state + ops.cast(drawn, state.dtype)

    def begin(self):
        """Draws the base seed of a loop, inside which the generator cannot advance."""
        self.base = self.generator.next()

    def at(self, number):
        """Returns the noise of one iteration of the loop."""
        return _Noise(self.size, _Turn(self.base, number))


class _Turn(keras.random.SeedGenerator):
    """Derives seeds from a base seed and an iteration number, without variables."""

    def __init__(self, base, number):
        self.base, self.number, self.drawn = base, number, 0

    def next(self, ordered=True):
        self.drawn += 1
        number = ops.cast(self.number, "int32") * MOST_DRAWN + self.drawn
        return self.base + ops.cast(ops.stack([number, number]), self.base.dtype)


def _zeros(state, x):
    return ops.zeros_like(x) if state is None else state


def run_blocks(blocks, x, causal=None, training=None, run_block=None):
    """Runs blocks one after another.

    Args:
        blocks: layers.
        x: `[batch, t1, ..., tk, channels]`.
        causal: boolean; `None` for each block's own wiring.
        training: boolean.
        run_block: function `(block, input)` that returns the output and replaces a block's call;
            `None` to call the blocks.

    Returns:
        A tensor of x's shape.
    """
    if run_block is None:
        run_block = functools.partial(_run_block, causal=causal, training=training)
    for block in blocks:
        x = run_block(block, x)
    return x


def _run_block(block, x, causal, training):
    return block(x, causal=causal, training=training)


def _check_steps(steps, bptt_steps):
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"Refeed takes at least 1 step, received {steps!r}")
    if not isinstance(bptt_steps, int) or not 0 <= bptt_steps <= steps:
        raise ValueError(
            f"bptt_steps is a number from 0 (all) to steps = {steps}, received {bptt_steps!r}"
        )
