"""A network that is refed, and its loss: what a training step of puzzles computes."""

import keras
from keras import ops

from mdnn.models.loss_model import LossModel
from mdnn.tokens.features import BYTES, MODALITY

# What a row of `DeepSupervisionLoss.verdict` says of each puzzle of the batch.
RIGHT, STOP, SOUND = range(3)


class DeepSupervisionLoss(LossModel):
    """A network of puzzles and its loss, with the steps that the config's refeeding asks for.

    With `segments` above 1 the states of a batch are carried on from call to call, without
    gradient: deep supervision (HRM, arXiv 2506.21734; TRM, arXiv 2510.04871). They are
    variables of this model, and of no network.

    Args:
        model: a network of puzzles as `mdnn.build` makes it.
        loss: its `mdnn.TokenCrossEntropy`.
        config: its config.

    Call arguments:
        batch: dict of `tokens` and `targets`, int32 `[batch, positions, 8]`, `weights`, float32
            `[batch, positions]`, and `asked`, boolean `[batch, positions]`; where states are
            carried, `fresh`, boolean `[batch]`: which puzzles begin; where the number of steps
            differs from batch to batch, `free`, int32 `[1]`: how many are taken without gradient
            before the others.

    Attributes:
        verdict: variable `[3, batch]`, after a call: whether each puzzle's answer is exact, the
            halting head's score, whether its state is finite. `None` where nothing is carried.
        carried: list of variables, the states.

    Returns:
        The loss, a scalar; not a number where a state is none.
    """

    # Its states are those of the whole batch.
    divisible = False

    def __init__(self, model, loss, config, **kwargs):
        super().__init__(model, loss, **kwargs)
        self.config = config.refeed
        self.halt = model.halt
        self.carried, self.verdict = [], None
        if self.config.supervision_steps > 1:
            self.memory = _Memory(config.train.batch_size, model)
            self.carried, self.verdict = self.memory.states, self.memory.verdict

    def call(self, batch, training=None):
        network, spec = self.network, self.config
        x = network.embed(batch["tokens"])
        states = network.first_states(x, training)
        if self.carried:
            fresh = ops.reshape(batch["fresh"], (-1, *[1] * (len(x.shape) - 1)))
            states = tuple(
                ops.where(fresh, 0.0 if first is None else first, ops.cast(y, x.dtype))
                for first, y in zip(states, self.carried, strict=True)
            )
        last = spec.bptt_steps or (1 if "free" in batch else spec.steps)
        free = batch["free"][0] if "free" in batch else spec.steps - last
        found = network.iterate(x, states, last, free, training=training)
        loss, hidden, scores = self.loss_of(found[0], batch)
        if spec.progressive < 1:
            (whole, *_) = network.iterate(x, states, spec.steps, training=training)
            rest = self.loss_of(whole, batch)[0]
            loss = spec.progressive * loss + (1 - spec.progressive) * rest
        sound = ops.all(ops.stack([_finite(state) for state in found]), axis=0)
        if self.carried:
            right = exact(batch, scores)
            stop = ops.zeros_like(right)
            if self.halt is not None:
                stop = self.halt.stop(hidden)
                wrong = ops.mean(ops.binary_crossentropy(right, stop, from_logits=True))
                loss = loss + spec.halt_weight * wrong
            self._carry(found, sound, right, stop)
        return ops.where(ops.all(sound), loss, float("nan"))

    def loss_of(self, state, batch):
        """The loss of a state of the backbone, what the heads are given, and their scores."""
        hidden = self.network.read_out(state)
        targets = ops.cast(batch["targets"], "int32")
        scores = self.heads(hidden, targets)
        return self.loss_function(targets, scores, sample_weight=batch["weights"]), hidden, scores

    def _carry(self, states, sound, right, stop):
        """Keeps what the next call goes on from; a state that is not finite begins anew."""
        rows = [right, ops.cast(stop, "float32"), ops.cast(sound, "float32")]
        self.verdict.assign(ops.stop_gradient(ops.stack(rows)))
        for variable, state in zip(self.carried, states, strict=True):
            state = ops.stop_gradient(ops.cast(state, "float32"))
            kept = ops.reshape(sound, (-1, *[1] * (len(state.shape) - 1)))
            variable.assign(ops.where(kept, state, 0.0))


def exact(batch, scores):
    """Whether each puzzle's answer is right in all positions that are asked for, float32
    `[batch]`."""
    answers = ops.cast(ops.argmax(scores, axis=-1), "int32")
    right = answers == ops.cast(batch["targets"], "int32")[..., BYTES.start]
    asked = ops.logical_and(ops.cast(batch["asked"], "bool"), batch["targets"][..., MODALITY] > 0)
    return ops.cast(ops.all(ops.logical_or(right, ops.logical_not(asked)), axis=-1), "float32")


def _finite(state):
    """Whether each row of a state is finite, boolean `[batch]`."""
    return ops.all(ops.isfinite(state), axis=tuple(range(1, len(state.shape))))


class _Memory(keras.layers.Layer):
    """What is carried from step to step: no weights of a network."""

    def __init__(self, batch, network):
        super().__init__(name="memory", dtype="float32")
        shape = (batch, *network.grid, network.width)
        self.states = [
            self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False)
            for name in ("state", "inner_state")[: network.refeed.states]
        ]
        self.verdict = self.add_weight(
            name="verdict", shape=(3, batch), initializer="zeros", trainable=False
        )
        self.built = True
