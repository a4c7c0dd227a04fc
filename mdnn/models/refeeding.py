"""Running a stack of layers on its own output several times."""

import keras
from keras import ops

from mdnn.models.folding import FoldBranch


@keras.saving.register_keras_serializable(package="mdnn")
class Refeed(keras.layers.Layer):
    """Runs a step several times, its output fed back in: the paper's refeeding.

    `y_0` is the start state and `y_{r+1} = F(x + y_r)`; the answer is `y_R`. The input is
    injected again at every step. The steps are unrolled in `call`, so that gradients through
    it are backpropagation through time on every Keras backend; with `backprop` = K they stop
    before the last K of the R steps.

    Args:
        branches: the layers of one step F, run in order.
        steps: int, R, the number of steps where `call` is not told another.
        backprop: int, K; 0 for all steps.
        start: `"zeros"`, or `"learned"`: one vector, the same for every slot.
        remat: whether what a step computes inside is computed again for gradients instead of
            being kept: memory for one step's insides and the states between steps, for the
            time of one more run. Not with dropout, which would be drawn anew.

    Call arguments:
        x: `[batch, t1, ..., tk, channels]`, the embedded context.
        steps: int, another number of steps than the layer's own.
        state: a state to begin with, of x's shape, instead of `y_0`.
        causal: handed on to every branch.

    Input shape:
        `[batch, t1, ..., tk, channels]`.

    Output shape:
        The same.

    Raises:
        ValueError: fewer than one step, or K above R.
    """

    def __init__(self, branches, steps, backprop=0, start="zeros", remat=False, **kwargs):
        super().__init__(**kwargs)
        self.branches = list(branches)
        self.steps, self.backprop, self.start, self.remat = steps, backprop, start, remat
        _check_steps(steps, backprop)
        if start not in ("zeros", "learned"):
            raise ValueError(f"start is 'zeros' or 'learned', received {start!r}")
        if remat and any(branch.dropout is not None for branch in self.branches):
            raise ValueError("expected branches without dropout: remat would draw it anew")

    def build(self, input_shape):
        for branch in self.branches:
            if not branch.built:
                branch.build(input_shape)
        self.first = None
        if self.start == "learned":
            self.first = self.add_weight(name="start", shape=(input_shape[-1],))

    def call(self, x, steps=None, state=None, causal=None, training=None):
        steps = self.steps if steps is None else steps
        backprop = self.backprop if steps >= self.backprop else 0
        _check_steps(steps, backprop)
        first = self.first_state(x) if state is None else state
        call = {"causal": causal, "training": training, "remat": self.remat}
        return refed(self.branches, x, steps, first, backprop, **call)

    def first_state(self, x):
        """The state before the first step for an input `x`, `None` for zeros."""
        if self.first is None:
            return None
        return ops.broadcast_to(ops.cast(self.first, x.dtype), ops.shape(x))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def operations(self, input_shape):
        """Multiply-adds for one example."""
        return self.steps * sum(branch.operations(input_shape) for branch in self.branches)

    def values(self, input_shape):
        """Values written for one example."""
        step = sum(branch.values(input_shape) for branch in self.branches)
        return self.steps * step

    def get_config(self):
        branches = [keras.saving.serialize_keras_object(branch) for branch in self.branches]
        for branch in branches:
            # They are built with this layer, under its name.
            branch.pop("build_config", None)
        return {
            **super().get_config(),
            "branches": branches,
            "steps": self.steps,
            "backprop": self.backprop,
            "start": self.start,
            "remat": self.remat,
        }

    @classmethod
    def from_config(cls, config):
        branches = [keras.saving.deserialize_keras_object(b) for b in config["branches"]]
        return cls(**{**config, "branches": branches})


def refed(
    branches,
    x,
    steps,
    first=None,
    backprop=0,
    causal=None,
    training=None,
    folded=None,
    kept=None,
    remat=False,
):
    """Runs branches on their own output.

    Args:
        branches: layers, run in order.
        x: `[batch, t1, ..., tk, channels]`, added before every step.
        steps: int.
        first: state before the first step; `None` for zeros.
        backprop: int, how many of the last steps gradients go through; 0 for all.
        causal, training: handed on to every branch.
        folded: additions of the folds, to be added instead of being computed: one for every fold
            in every step, in the order in which they run.
        kept: list to which the additions of the folds are appended, in the same order.
        remat: whether gradients compute a step's insides again; without `folded` and `kept`.

    Returns:
        A tensor of x's shape.
    """
    y, folded = first, None if folded is None else iter(folded)
    call = {"causal": causal, "training": training}

    def run(y):
        for branch in branches:
            y = branch(y, **call)
        return y

    if remat:
        run = keras.remat(run)
    for step in range(steps):
        if step and step == steps - backprop:
            y = ops.stop_gradient(y)
        y = x if y is None else x + y
        if folded is None and kept is None:
            y = run(y)
            continue
        for branch in branches:
            if isinstance(branch, FoldBranch):
                addition = branch.fold(y, **call) if folded is None else next(folded)
                if kept is not None:
                    kept.append(addition)
                y = branch(y, **call, folded=addition)
            else:
                y = branch(y, **call)
    return y


def _check_steps(steps, backprop):
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"Refeed takes at least 1 step, received {steps!r}")
    if not isinstance(backprop, int) or not 0 <= backprop <= steps:
        raise ValueError(
            f"backprop is a number of steps from 0 (all) to steps = {steps}, received {backprop!r}"
        )
