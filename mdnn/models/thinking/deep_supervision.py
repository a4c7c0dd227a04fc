"""The loss of a training step of puzzle networks: refeeding and deep supervision."""

import keras
from keras import ops

from mdnn.models.loss_model import LossModel
from mdnn.tokens.features import BYTES, MODALITY

# Rows of `DeepSupervisionLoss.verdict`.
RIGHT, STOP, SOUND = range(3)


class DeepSupervisionLoss(LossModel):
    """Computes the loss of a puzzle network with the refeed steps of its config.

    With `supervision_steps` above 1 the states of a batch are carried from call to call without
    gradient: deep supervision (HRM, arXiv 2506.21734; TRM, arXiv 2510.04871). The states are
    variables of this model, not of the network.

    Args:
        model: a network of puzzles, as returned by `mdnn.build`.
        loss: its `mdnn.TokenCrossEntropy`.
        config: its `mdnn.Config`.

    Call arguments:
        batch: dict of `tokens` and `targets`, int32 `[batch, positions, 8]`; `weights`, float32
            `[batch, positions]`; `asked`, boolean `[batch, positions]`, true for the positions to
            solve; if states are carried, `fresh`, boolean `[batch]`, true for puzzles that start
            anew; if the number of steps varies between batches, `free`, int32 `[1]`, the number
            of steps without gradient before the others.

    Attributes:
        verdict: variable `[3, batch]`, set by a call: 1 for puzzles with an exact answer, the
            halting head's score, 1 for finite states. `None` if no states are carried.
        carried: list of variables, the states.

    Returns:
        The loss, a scalar; NaN if a state is not finite.
    """

    # The carried states belong to the whole batch.
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
        """Returns the loss of a state of the backbone, the input of the heads and their scores."""
        hidden = self.network.read_out(state)
        targets = ops.cast(batch["targets"], "int32")
        scores = self.heads(hidden, targets)
        return self.loss_function(targets, scores, sample_weight=batch["weights"]), hidden, scores

    def _carry(self, states, sound, right, stop):
        """Stores the states for the next call; a state that is not finite is reset to zeros."""
        rows = [right, ops.cast(stop, "float32"), ops.cast(sound, "float32")]
        self.verdict.assign(ops.stop_gradient(ops.stack(rows)))
        for variable, state in zip(self.carried, states, strict=True):
            state = ops.stop_gradient(ops.cast(state, "float32"))
            kept = ops.reshape(sound, (-1, *[1] * (len(state.shape) - 1)))
            variable.assign(ops.where(kept, state, 0.0))


def exact(batch, scores):
    """Returns 1 for each puzzle solved in all unknown positions, else 0, float32 `[batch]`."""
    answers = ops.cast(ops.argmax(scores, axis=-1), "int32")
    right = answers == ops.cast(batch["targets"], "int32")[..., BYTES.start]
    asked = ops.logical_and(ops.cast(batch["asked"], "bool"), batch["targets"][..., MODALITY] > 0)
    return ops.cast(ops.all(ops.logical_or(right, ops.logical_not(asked)), axis=-1), "float32")


def _finite(state):
    """Returns whether the state of each example is finite, boolean `[batch]`."""
    return ops.all(ops.isfinite(state), axis=tuple(range(1, len(state.shape))))


class _Memory(keras.layers.Layer):
    """Holds the variables carried from call to call; they are no weights of the network."""

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
