"""The loss of a training step of puzzle networks: refeeding and deep supervision."""

from keras import ops

from mdnn.models.thinking.carried_states import CarriedStates
from mdnn.models.thinking.stepped_loss import SteppedLoss
from mdnn.tokens.features import BYTES, MODALITY

# Rows of `DeepSupervisionLoss.verdict`.
CORRECT, HALT_LOGIT, FINITE = range(3)


class DeepSupervisionLoss(SteppedLoss):
    """Computes the loss of a puzzle network with the refeed steps of its config.

    Args:
        model: a network of puzzles, as returned by `mdnn.build`.
        loss: its `mdnn.TokenCrossEntropy`.
        config: its `mdnn.Config`.

    Call arguments:
        batch: see `SteppedLoss`; `weights` are required, and `unknown_mask`, boolean
            `[batch, positions]`, true for the positions to solve.

    Attributes:
        verdict: variable `[3, batch]`, set by a call: 1 for puzzles with an exact answer, the
            halting head's score, 1 for finite states. `None` if no states are carried.

    Returns:
        The loss, a scalar; NaN if a state is not finite.
    """

    def __init__(self, model, loss, config, **kwargs):
        memory = None
        if config.refeed.supervision_steps > 1:
            memory = CarriedStates(config.train.batch_size, model, verdict=True)
        super().__init__(model, loss, config, memory, **kwargs)
        self.verdict = None if memory is None else memory.verdict
        # A batch has one number of steps without gradient.
        self.divisible = False

    def loss_after(self, state, batch):
        hidden = self.network.read_out(state)
        targets = ops.cast(batch["targets"], "int32")
        scores = self.heads(hidden, targets)
        loss = self.loss_function(targets, scores, sample_weight=batch["weights"])
        return loss, (hidden, scores)

    def supervise(self, batch, answer, finite):
        hidden, scores = answer
        loss, right = 0.0, solved(batch, scores)
        stop = ops.zeros_like(right)
        if self.halt is not None:
            stop = self.halt.stop(hidden)
            wrong = ops.mean(ops.binary_crossentropy(right, stop, from_logits=True))
            loss = self.spec.halt_weight * wrong
        rows = [right, ops.cast(stop, "float32"), ops.cast(finite, "float32")]
        self.verdict.assign(ops.stop_gradient(ops.stack(rows)))
        return loss


def solved(batch, scores):
    """Returns 1 for each puzzle solved in all unknown positions, else 0, float32 `[batch]`."""
    answers = ops.cast(ops.argmax(scores, axis=-1), "int32")
    right = answers == ops.cast(batch["targets"], "int32")[..., BYTES.start]
    unknown = ops.logical_and(
        ops.cast(batch["unknown_mask"], "bool"), batch["targets"][..., MODALITY] > 0
    )
    return ops.cast(ops.all(ops.logical_or(right, ops.logical_not(unknown)), axis=-1), "float32")
