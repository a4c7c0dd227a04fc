"""Evaluates networks on batches, for any task whose validation data are batches."""

import math

import keras
import numpy as np

from mdnn.models.compiling import predicted, without_xla
from mdnn.models.loss_model import TargetNLL
from mdnn.models.thinking.step_limits import steps_taken

# Batches of a quick evaluation.
QUICK_BATCHES = 8
# Largest number of evaluators of a network; the least recently used is dropped.
MAX_EVALUATORS = 4

MAX_SCORES = 1 << 27
"""Most scores that are computed at once, 0.5 GB: large vocabularies are evaluated in smaller
batches."""

MAX_POSITIONS = 1 << 17
"""Most positions that are computed at once: long contexts are evaluated few at a time."""


def contexts_at_once(config, most):
    """Returns the number of contexts to evaluate in one call, an int of at least 1.

    Members in tandem are computed side by side: they share what one network takes.

    Args:
        config: `mdnn.Config`.
        most: int, the number for short contexts of one network.
    """
    positions = min(MAX_POSITIONS, MAX_SCORES // max(1, config.tokens.subwords))
    contexts = min(most, positions // config.context.positions)
    return max(1, contexts // max(1, config.tandem.members))


class BatchEvaluator:
    """Computes the mean loss of the targets in batches, for each decoding mode.

    Args:
        networks: dict from decoding modes to networks, as returned by
            `mdnn.tasks.base.Task.networks`.
        config: their config.
    """

    def __init__(self, networks, config):
        self.models, self.config = compile_models(networks, TargetNLL), config

    def metrics(self, data, progress=None):
        """Returns the metrics of batches.

        Args:
            data: `mdnn.datasets.batches.step_batches.StepBatches`; steps 0 to `data.steps - 1` are
                evaluated.
            progress: function called with the completed fraction, 0 to 1.

        Returns:
            Dict with `loss` (nats per token) and `tokens` (number of targets) of the first mode,
            and `modes`, a dict from each mode to its metrics.
        """
        totals = self._totals(data, data.steps, progress)
        modes = {
            mode: {"loss": nll / max(weight, 1e-9), "tokens": tokens}
            for mode, (nll, weight, tokens) in totals.items()
        }
        return next(iter(modes.values())) | {"modes": modes}

    def quick(self, data):
        """Returns a dict from modes to losses, in nats per token, on the first few batches."""
        totals = self._totals(data, min(QUICK_BATCHES, data.steps))
        return {mode: nll / max(weight, 1e-9) for mode, (nll, weight, _) in totals.items()}

    def _totals(self, data, steps, progress=None):
        """Returns sums over batches.

        Returns:
            Dict from modes to `(weighted nats, sum of weights, number of targets)`; modes without
            targets are omitted.
        """
        totals = dict.fromkeys(self.models, (0.0, 0.0, 0))
        for step in range(steps):
            batch, mode = data.at(step), data.objective(step)
            nll = self.models[mode].nll(batch["tokens"], batch["targets"])
            counted = batch["targets"][..., 0] > 0
            weights = batch.get("weights", np.ones(counted.shape)) * counted
            sums = float((weights * nll).sum()), float(weights.sum()), int(counted.sum())
            totals[mode] = tuple(map(sum, zip(totals[mode], sums, strict=True)))
            if progress is not None:
                progress((step + 1) / steps)
        return {mode: sums for mode, sums in totals.items() if sums[2]}


class StepCounter(keras.Model):
    """Maps tokens int32 `[batch, positions, 8]` to numbers of steps, int32 `[batch, positions]`.

    Args:
        network: `mdnn.models.network.Network`.
    """

    def __init__(self, network):
        super().__init__(dtype="float32")
        self.network = network
        self.built = True
        without_xla(self)

    @classmethod
    def of(cls, network):
        """Returns the counter of a network; `None` where all positions take the same steps."""
        return cls(network) if network.options.adaptive else None

    def call(self, tokens):
        return steps_taken(self.network, tokens)

    def mean(self, batches):
        """Returns the mean number of steps of counted positions, a float.

        Args:
            batches: iterable of pairs of tokens `[batch, positions, 8]` and booleans
                `[batch, positions]`, true for the positions to count.
        """
        total = count = 0
        for tokens, counted in batches:
            steps = np.asarray(predicted(self, tokens))
            total, count = total + int(steps[counted].sum()), count + int(counted.sum())
        return total / max(1, count)


def compile_models(networks, make):
    """Builds one model per network; modes that share a network share its model.

    Args:
        networks: dict from modes to networks.
        make: function from a network to a model.

    Returns:
        Dict from modes to models, which TensorFlow compiles without XLA.
    """
    made = {id(network): make(network) for network in networks.values()}
    for model in made.values():
        without_xla(model)
    return {mode: made[id(network)] for mode, network in networks.items()}


def per_character(nll, characters):
    """Returns the metrics for a total of nats over a number of characters, a dict."""
    mean = nll / characters
    return {
        "loss": mean,
        "bits_per_character": mean / math.log(2),
        "characters": int(characters),
    }


def cached_evaluator(task, model, steps=None):
    """Returns the evaluator of a network, the same object while the arguments are equal.

    Args:
        task: `mdnn.tasks.base.Task`.
        model: `mdnn.models.network.Network`.
        steps: int, number of refeed steps; `None`: as the network was built.

    Returns:
        The result of `task.evaluator`.
    """
    cache = vars(model).get("evaluators")
    if cache is None:
        cache = []
        # Bypass Keras' attribute tracking: the evaluators are models around this one.
        object.__setattr__(model, "evaluators", cache)
    key = type(task), task.config, task.words, steps
    for number, (other, evaluator) in enumerate(cache):
        if other == key:
            cache.append(cache.pop(number))
            return evaluator
    evaluator = task.evaluator(task.networks(model, steps))
    cache.append((key, evaluator))
    del cache[:-MAX_EVALUATORS]
    return evaluator
