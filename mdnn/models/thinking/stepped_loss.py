"""The loss after refeed steps: sampled numbers of steps, deep supervision, the halting head."""

import dataclasses

from keras import ops

from mdnn.models.loss_model import LossModel
from mdnn.models.thinking.carried_states import are_finite
from mdnn.tokens.features import BYTES, MODALITY


class SteppedLoss(LossModel):
    """Computes the loss of a network with the refeed steps of its config, for one training step.

    With `refeed.supervision_steps` above 1 the states of a batch are carried from call to call
    without gradient: deep supervision (HRM, arXiv 2506.21734; TRM, arXiv 2510.04871). The states
    are variables of this model, not of the network. A halting head learns at each position whether
    the likeliest token is the right one.

    Args:
        model: `mdnn.Network`.
        loss: its `mdnn.TokenCrossEntropy`.
        config: its `mdnn.Config`.
        memory: `mdnn.models.thinking.carried_states.CarriedStates`, which the loss models of all
            decoding modes share; `None` if no states are carried.

    Call arguments:
        batch: see `LossModel`. In addition, if states are carried, `reset`, boolean `[batch]`, true
            for examples that start over; if the number of steps varies between batches,
            `no_grad_steps`, int32 `[batch or 1]`, the number of steps without gradient before the
            last `refeed.bptt_steps`, equal for all examples.

    Attributes:
        carried: list of variables, the carried states.

    Returns:
        The loss, a scalar; NaN if a state is not finite.
    """

    def __init__(self, model, loss, config, memory=None, **kwargs):
        super().__init__(model, loss, **kwargs)
        self.spec, self.halt, self.memory = config.refeed, model.halt, memory
        self.carried = [] if memory is None else memory.states
        # Carried states belong to the whole batch.
        self.divisible = memory is None

    def call(self, batch, training=None):
        network, spec = self.network, self.spec
        # In training no position stops: each learns to answer after every number of steps.
        options = dataclasses.replace(network.options, adaptive=False)
        x = network.embed(batch["tokens"])
        states = network.first_states(x, training)
        if self.carried:
            states = self.memory.resumed(batch["reset"], states, x)
        last = spec.bptt_steps or (1 if "no_grad_steps" in batch else spec.steps)
        no_grad_steps = batch["no_grad_steps"][0] if "no_grad_steps" in batch else spec.steps - last
        found = network.iterate(x, states, last, no_grad_steps, options, training)
        loss, answer = self.loss_after(found[0], batch)
        if spec.progressive < 1:
            (whole, *_) = network.iterate(x, states, spec.steps, 0, options, training)
            rest = self.loss_after(whole, batch)[0]
            loss = spec.progressive * loss + (1 - spec.progressive) * rest
        finite = are_finite(found)
        if self.carried:
            loss = loss + self.supervise(batch, answer, finite)
            self.memory.store(found, finite)
        return ops.where(ops.all(finite), loss, float("nan"))

    def loss_after(self, state, batch):
        """Returns the loss of a state of the backbone, and the argument `answer` of `supervise`."""
        hidden = self.network.read_out(state)
        return self.loss_of(hidden, batch), hidden

    def supervise(self, batch, hidden, finite):
        """Returns the halting head's loss, 0.0 without one.

        Args:
            batch: see `call`.
            hidden: `[batch, positions, width]`, the input of the heads.
            finite: boolean `[batch]`, whether the states are finite.
        """
        if self.halt is None:
            return 0.0
        right, counted = likeliest_is_right(self.heads, ops.stop_gradient(hidden), batch["targets"])
        wrong = ops.binary_crossentropy(right, self.halt.stop(hidden), from_logits=True)
        mean = ops.sum(wrong * counted) / ops.maximum(ops.sum(counted), 1.0)
        return self.spec.halt_weight * mean


def likeliest_is_right(heads, hidden, targets):
    """Compares the likeliest token of each position with its target.

    Args:
        heads: `mdnn.layers.ModalityHeads`.
        hidden: `[batch, positions, width]`.
        targets: int32 `[batch, positions, 8]`.

    Returns:
        Two tensors float32 `[batch, positions]`: 1 where modality and bytes agree, and 1 where
        there is a target.
    """
    targets = ops.cast(targets, "int32")
    tokens = heads.decode(hidden, lambda scores, _: ops.argmax(scores, axis=-1))
    same = ops.equal(tokens[..., : BYTES.stop], targets[..., : BYTES.stop])
    right = ops.cast(ops.all(same, axis=-1), "float32")
    return ops.stop_gradient(right), ops.cast(targets[..., MODALITY] > 0, "float32")
