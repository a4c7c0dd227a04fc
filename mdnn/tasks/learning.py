"""Provides the training defaults of tasks: decoding modes, loss, batches of the training steps."""

import functools

from mdnn.datasets.batches.objectives import OBJECTIVES, objective_weights
from mdnn.models.loss_model import LossModel
from mdnn.models.tandem.distillation import DistillationLoss
from mdnn.models.tandem.stale_members import StaleMembers
from mdnn.models.tandem.tandem_loss import TandemLoss
from mdnn.models.thinking.carried_states import CarriedStates
from mdnn.models.thinking.stepped_loss import SteppedLoss
from mdnn.recently_used import recently_used
from mdnn.runs.run_folder import open_run
from mdnn.tasks.feed import BatchFeed, ExchangeFeed, SampledDepthFeed, SupervisedBatches

MAX_VARIANTS = 4
"""Most networks with other options that a network keeps; each has symbolic calls of all layers."""


class Learning:
    """Mixin of `mdnn.tasks.base.Task` with the methods that the trainer calls."""

    @functools.cached_property
    def mode_shares(self):
        """Dict from the trained decoding modes to their shares of the training steps.

        The order is that of `mdnn.datasets.batches.objectives.OBJECTIVES`.
        """
        shares = objective_weights(self.config.train.objectives).tolist()
        return {mode: share for mode, share in zip(OBJECTIVES, shares, strict=True) if share}

    def networks(self, model, steps=None):
        """Returns the network for each trained decoding mode; all share one set of weights.

        The autoregressive network is causal; the other modes see the whole context.

        Args:
            model: a network as returned by `mdnn.build`.
            steps: int, number of refeed steps; `None`: as the network was built.

        Returns:
            Dict from modes to `keras.Model`s.
        """
        made = {}
        for causal in {mode == "autoregressive" for mode in self.mode_shares}:
            same = steps is None and causal == model.causal
            made[causal] = model if same else _variant(model, causal, steps)
        return {mode: made[mode == "autoregressive"] for mode in self.mode_shares}

    def loss_model(self, network, loss):
        """Builds the `mdnn.models.loss_model.LossModel` that maps a batch to its loss."""
        refeed = self.config.refeed
        if refeed.supervision_steps > 1 and self._memory is None:
            # All decoding modes carry the same states: a batch has one mode.
            self._memory = CarriedStates(self.config.train.batch_size, network)
        if self._memory is not None or refeed.step_schedule == "sampled":
            return SteppedLoss(network, loss, self.config, self._memory)
        if self.config.tandem.members:
            divided = self.config.tandem.data == "divided"
            if self.config.tandem.stale and self._stale is None:
                # All decoding modes learn from the same copies.
                self._stale = StaleMembers(network.members)
            return TandemLoss(network, loss, divided, self._stale)
        if self.config.distill.teacher:
            return DistillationLoss(network, loss, self._teacher, self.config.distill.weight)
        return LossModel(network, loss)

    @functools.cached_property
    def _teacher(self):
        """The network that a student learns from."""
        distill = self.config.distill
        return open_run(distill.teacher).first_members(distill.members).model

    def feed(self):
        """Returns the `mdnn.tasks.feed.BatchFeed` that supplies batches to the training steps.

        A task that carries state from step to step returns a feed that holds this state.
        """
        refeed = self.config.refeed
        if refeed.step_schedule == "sampled":
            return SampledDepthFeed(self.batches, self.config)
        if refeed.supervision_steps > 1:
            return SupervisedBatches(self.batches, refeed.supervision_steps)
        if self.config.tandem.exchange:
            return ExchangeFeed(self.batches, self.config.tandem, self._stale)
        return BatchFeed(self.batches)


def _variant(model, causal, steps):
    """Returns a network with other options, the same object while they are equal."""
    # Not as an attribute of a Keras model: the variants have the same layers.
    kept = vars(model).setdefault("variants", {})
    options = causal, steps
    return recently_used(kept, options, lambda: model.with_options(*options), MAX_VARIANTS)
