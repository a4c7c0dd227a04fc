"""How well a network predicts items: nats per unit and per item, by mode and kind of answer."""

import dataclasses
import math

import numpy as np

from mdnn.datasets.batches.item_batches import item_windows, planned_contexts
from mdnn.models.loss_model import TargetNLL
from mdnn.tasks.batch_evaluator import compile_models
from mdnn.tokens.features import ITEM, MODALITIES, MODALITY, modality

# Positions in one call: a large context leaves room for few examples.
CALL_SLOTS = 32_768
# Positions that a quick evaluation looks at, and the fewest and most contexts that this makes.
QUICK_SLOTS, LEAST_CONTEXTS, MOST_CONTEXTS = 131_072, 64, 256

_BLANK, _END = modality("blank").index, modality("end").index
_WANTED = MODALITY + 1
_KINDS = {row.index: row.name for row in MODALITIES} | {modality("word").index: "text"}


@dataclasses.dataclass
class Total:
    """The sums over answers of one kind.

    Args:
        nats: weighted nats of all units.
        units: the sum of their weights: of all answers, the units (the end among them).
        items: how many answers.
    """

    nats: float = 0.0
    units: float = 0.0
    items: int = 0

    def __add__(self, other):
        return Total(self.nats + other.nats, self.units + other.units, self.items + other.items)

    def metrics(self):
        """Returns the metrics, a dict."""
        mean = self.nats / max(self.units, 1e-9)
        return {
            "loss": mean,
            "bits_per_unit": mean / math.log(2),
            "units": round(self.units),
            "loss_per_item": self.nats / max(self.items, 1),
            "items": self.items,
        }


class ItemEvaluator:
    """Sums the nats of items in each decoding mode, compiled once.

    In turn and at once these are the negative log-likelihoods of the answers; by unmasking an
    estimate of a bound on it, from one random share of masked positions for every answer (the
    same ones each time).

    Args:
        networks: dict from decoding modes to networks, as `mdnn.tasks.base.Task.networks`
            returns it.
        config: their config.
        tokenizer: `mdnn.tokens.item_tokenizer.ItemTokenizer`.
    """

    def __init__(self, networks, config, tokenizer):
        self.models = compile_models(networks, TargetNLL)
        self.config, self.tokenizer = config, tokenizer
        self.batch = min(32, max(1, CALL_SLOTS // config.context.positions))

    def metrics(self, lines, progress=None, most=None):
        """Returns what `mdnn.evaluate` says of lines.

        Args:
            lines: list of `mdnn.datasets.items.item_splits.Example`; every alternative of every
                line comes once.
            progress: function called with the fraction that is done, 0 to 1.
            most: contexts at most, from all over the lines; `None`: all.

        Returns:
            dict: `nats` (mean of a unit of the answers, the end being one), `bits_per_unit`,
            `units`, `loss_per_item`, `items`, all of the first mode that is trained; and `ways`, a
            dict from each mode to the same metrics of it and `kinds`, a dict from kinds of answers
            to theirs.

        Raises:
            MdnnError: no line, a line that does not fit the context.
        """
        ways = {}
        for number, name in enumerate(self.models):

            def tell(fraction, done=number):
                if progress is not None:
                    progress((done + fraction) / len(self.models))

            totals, _ = self.total(lines, name, most, tell)
            ways[name] = {
                **sum(totals.values(), Total()).metrics(),
                "kinds": {kind: total.metrics() for kind, total in sorted(totals.items())},
            }
        first = dict(next(iter(ways.values())))
        first.pop("kinds")
        return first | {"ways": ways}

    def quick(self, lines):
        """Returns nats per unit of each mode, weighted as in training, on some contexts."""
        most = QUICK_SLOTS // self.config.context.positions
        most = min(MOST_CONTEXTS, max(LEAST_CONTEXTS, most))
        losses = {}
        for name in self.models:
            totals, prompts = self.total(lines, name, most)
            answers, weight = sum(totals.values(), Total()), self.config.loss.prompt
            units = answers.units + weight * prompts.units
            losses[name] = (answers.nats + weight * prompts.nats) / max(units, 1e-9)
        return losses

    def total(self, lines, mode, most=None, progress=None):
        """Returns the sums over the answers of lines; `most` and `progress` as for `metrics`.

        Returns:
            A dict from kinds of answers to their `Total`, and the `Total` of what is predicted
            beside the answers: in turn, the items before them.
        """
        config, totals, prompts, done = self.config, {}, Total(), 0
        count = sum(1 for _ in planned_contexts(lines, config.data.order))
        count = count if most is None else min(count, most)
        for window in item_windows(
            lines,
            self.tokenizer,
            config.context,
            self.batch,
            mode,
            config.seed,
            config.data.order,
            config.data.truncate,
            most=most,
        ):
            counted, weights = window.pop("counted"), window.pop("weights")
            nats = self.models[mode].nll(window["tokens"], window["targets"])
            one = (-1, config.context.positions)
            tokens, targets = (window[key].reshape(*one, 8) for key in ("tokens", "targets"))
            nats, weights = (weights * nats).reshape(one), weights.reshape(one).astype("float64")
            kinds, answer = _answers(tokens, targets, counted.reshape(one))
            for row in np.flatnonzero(kinds):
                kind, own = _KINDS[int(kinds[row])], answer[row]
                total = Total(float(nats[row, own].sum()), float(weights[row, own].sum()), 1)
                totals[kind] = totals.get(kind, Total()) + total
                rest = Total(float(nats[row, ~own].sum()), float(weights[row, ~own].sum()))
                prompts = prompts + rest
            done += self.batch
            if progress is not None:
                progress(min(1.0, done / count))
        return totals, prompts


def _answers(tokens, targets, counted):
    """Returns the kind of each context's answer (0: none), and the positions that answer it.

    Args:
        tokens, targets: int32 `[n, positions, 8]`.
        counted: bool `[n, positions]`.
    """
    kind = targets[..., MODALITY]
    blank = tokens[..., MODALITY] == _BLANK
    if blank.any():
        # Blanks ask for the answer, and nothing else is answered.
        first = blank.argmax(axis=1)
        asked = tokens[np.arange(len(tokens)), first, _WANTED]
        return np.where(counted.any(axis=1), asked, 0), counted
    units = counted & (kind != _END)
    last = np.where(units, targets[..., ITEM], -1).max(axis=1)
    own = units & (targets[..., ITEM] == last[:, None])
    kinds = kind[np.arange(len(kind)), own.argmax(axis=1)]
    return np.where(own.any(axis=1), kinds, 0), counted & (own | (kind == _END))
