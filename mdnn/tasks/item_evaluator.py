"""Evaluates item networks: loss per token and per item, by decoding mode and kind of answer."""

import dataclasses
import math

import numpy as np

from mdnn.datasets.batches.context_plan import planned_contexts
from mdnn.datasets.batches.item_batches import item_windows
from mdnn.models.loss_model import TargetNLL
from mdnn.tasks.batch_evaluator import StepCounter, compile_models
from mdnn.tokens.features import ITEM, MODALITY
from mdnn.tokens.modalities import modality, modality_at

# Maximum number of positions per call, which limits the batch size for large contexts.
CALL_POSITIONS = 32_768
# Positions read by a quick evaluation, and its minimum and maximum numbers of contexts.
QUICK_POSITIONS, LEAST_CONTEXTS, MOST_CONTEXTS = 131_072, 64, 256

_MASK, _END = modality("blank").index, modality("end").index
_WANTED = MODALITY + 1


@dataclasses.dataclass
class Total:
    """Sums over the answers of one kind.

    Args:
        nll: float, weighted nats of all tokens.
        tokens: float, sum of the weights of these tokens (including end tokens).
        items: int, number of answers.
    """

    nll: float = 0.0
    tokens: float = 0.0
    items: int = 0

    def __add__(self, other):
        return Total(self.nll + other.nll, self.tokens + other.tokens, self.items + other.items)

    def metrics(self):
        """Returns the metrics, a dict."""
        mean = self.nll / max(self.tokens, 1e-9)
        return {
            "loss": mean,
            "bits_per_token": mean / math.log(2),
            "tokens": round(self.tokens),
            "loss_per_item": self.nll / max(self.items, 1),
            "items": self.items,
        }


class ItemEvaluator:
    """Computes the loss of items in each decoding mode; compiled once.

    In autoregressive and parallel decoding the nats are negative log-likelihoods of the answers.
    In masked diffusion they estimate an upper bound on it from one random fraction of masked
    positions per answer; the random numbers are the same in each evaluation.

    Args:
        networks: dict from decoding modes to networks, as returned by
            `mdnn.tasks.base.Task.networks`.
        config: `mdnn.Config` of the networks.
        tokenizer: `mdnn.tokens.item_tokenizer.ItemTokenizer`.
    """

    def __init__(self, networks, config, tokenizer):
        self.models = compile_models(networks, TargetNLL)
        self.counter = StepCounter.of(next(iter(networks.values())))
        self.config, self.tokenizer = config, tokenizer
        self.batch = min(32, max(1, CALL_POSITIONS // config.context.positions))

    def metrics(self, lines, progress=None, most=None):
        """Returns the metrics of item examples, as in `mdnn.evaluate`.

        Args:
            lines: list of `mdnn.datasets.items.item_splits.Example`; every alternative of every
                example is evaluated once.
            progress: function called with the completed fraction, 0 to 1.
            most: int, maximum number of contexts, spread over the examples; `None`: all.

        Returns:
            dict with the metrics of the first trained mode: `loss` (nats per token of the answers,
            including end tokens), `bits_per_token`, `tokens` (their number), `loss_per_item` and
            `items` (number of answers); and `modes`, a dict from each mode to the same metrics and
            `kinds`, a dict from kinds of answers to their metrics. If positions take numbers of
            steps of their own, `mean_steps` is the mean over the predicted positions of some
            contexts.

        Raises:
            MdnnError: no example, or an example that does not fit the context.
        """
        modes = {}
        for number, name in enumerate(self.models):

            def tell(fraction, done=number):
                if progress is not None:
                    progress((done + fraction) / len(self.models))

            totals, _ = self.total(lines, name, most, tell)
            modes[name] = {
                **sum(totals.values(), Total()).metrics(),
                "kinds": {kind: total.metrics() for kind, total in sorted(totals.items())},
            }
        first = dict(next(iter(modes.values())))
        first.pop("kinds")
        if self.counter is not None:
            windows = self._windows(lines, next(iter(self.models)), LEAST_CONTEXTS)
            pairs = ((window["tokens"], window["counted"]) for window in windows)
            first["mean_steps"] = self.counter.mean(pairs)
        return first | {"modes": modes}

    def _windows(self, lines, mode, most):
        """Yields batches of contexts, dicts; the arguments are those of `total`."""
        config, tokenizer = self.config, self.tokenizer
        order, truncate = config.data.order, config.data.truncate
        yield from item_windows(
            lines,
            tokenizer,
            config.context,
            self.batch,
            mode,
            config.seed,
            order,
            truncate,
            most=most,
        )

    def quick(self, lines):
        """Returns the loss of each mode on a sample of contexts, weighted as in training.

        Returns:
            dict from modes to nats per token.
        """
        most = QUICK_POSITIONS // self.config.context.positions
        most = min(MOST_CONTEXTS, max(LEAST_CONTEXTS, most))
        losses = {}
        for name in self.models:
            totals, prompts = self.total(lines, name, most)
            answers, weight = sum(totals.values(), Total()), self.config.loss.prompt
            tokens = answers.tokens + weight * prompts.tokens
            losses[name] = (answers.nll + weight * prompts.nll) / max(tokens, 1e-9)
        return losses

    def total(self, lines, mode, most=None, progress=None):
        """Returns sums over the answers of examples.

        Args:
            lines, most, progress: see `metrics`.
            mode: str, the decoding mode.

        Returns:
            A dict from kinds of answers to their `Total`, and the `Total` of the other predicted
            tokens: in autoregressive decoding, those of the items before the answer.
        """
        config, totals, prompts, done = self.config, {}, Total(), 0
        count = len(planned_contexts(lines, config.data.order))
        count = count if most is None else min(count, most)
        for window in self._windows(lines, mode, most):
            counted, weights = window.pop("counted"), window.pop("weights")
            nll = self.models[mode].nll(window["tokens"], window["targets"])
            one = (-1, config.context.positions)
            tokens, targets = (window[key].reshape(*one, 8) for key in ("tokens", "targets"))
            nll, weights = (weights * nll).reshape(one), weights.reshape(one).astype("float64")
            kinds, answer = _answers(tokens, targets, counted.reshape(one))
            for row in np.flatnonzero(kinds):
                kind, answered = modality_at(int(kinds[row])).kind, answer[row]
                total = Total(
                    float(nll[row, answered].sum()), float(weights[row, answered].sum()), 1
                )
                totals[kind] = totals.get(kind, Total()) + total
                rest = Total(float(nll[row, ~answered].sum()), float(weights[row, ~answered].sum()))
                prompts = prompts + rest
            done += self.batch
            if progress is not None:
                progress(min(1.0, done / count))
        return totals, prompts


def _answers(tokens, targets, counted):
    """Returns the kind and the positions of each context's answer.

    Args:
        tokens, targets: int32 `[n, positions, 8]`.
        counted: bool `[n, positions]`.

    Returns:
        Indices of modalities, integers `[n]` (0 without an answer), and bool `[n, positions]`.
    """
    kind = targets[..., MODALITY]
    masked = tokens[..., MODALITY] == _MASK
    if masked.any():
        # With mask tokens only the answer is predicted; the first mask token names its kind.
        first = masked.argmax(axis=1)
        asked = tokens[np.arange(len(tokens)), first, _WANTED]
        return np.where(counted.any(axis=1), asked, 0), counted
    of_items = counted & (kind != _END)
    last = np.where(of_items, targets[..., ITEM], -1).max(axis=1)
    answered = of_items & (targets[..., ITEM] == last[:, None])
    kinds = kind[np.arange(len(kind)), answered.argmax(axis=1)]
    return np.where(answered.any(axis=1), kinds, 0), counted & (answered | (kind == _END))
