"""How well a network predicts items: nats per unit and per item, by way and by kind of answer."""

import dataclasses
import math

import numpy as np

from mdnn.datasets.batches.item_batches import item_windows
from mdnn.datasets.items.item_splits import open_dataset
from mdnn.errors import MdnnError
from mdnn.models.compiling import without_xla
from mdnn.models.loss_model import TargetNLL
from mdnn.tokens.features import ITEM, MODALITIES, MODALITY, modality

# Positions in one call: what a large context leaves of a batch.
CALL_SLOTS = 32_768

_BLANK, _END = modality("blank").index, modality("end").index
_WANTED = MODALITY + 1
_KINDS = {row.index: row.name for row in MODALITIES} | {modality("word").index: "text"}


def open_config_lines(config):
    """The `DatasetSplits` of a config of items."""
    kinds = tuple(name for name in config.tokens.modalities if name != "word")
    data, rate = config.data, config.tokens.sample_rate
    return open_dataset(data.source, data.validation, config.seed, rate, kinds)


def validation_lines(config):
    """The lines that validate a config of items.

    Raises:
        MdnnError: a source that cannot be read, or none of which validates.
    """
    return check_validation(open_config_lines(config).validation, config)


def check_validation(lines, config):
    """Refuses to go on without a line that validates; returns the lines."""
    if not lines:
        raise MdnnError(
            f"data.validation: nothing of {config.data.source!r} validates; expected a share "
            "above 0, or a manifest that says what does"
        )
    return lines


@dataclasses.dataclass
class Total:
    """A sum over answers of one kind.

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

    def figures(self):
        """The figures as `evaluate` gives them."""
        mean = self.nats / max(self.units, 1e-9)
        return {
            "loss": mean,
            "bits_per_unit": mean / math.log(2),
            "units": round(self.units),
            "loss_per_item": self.nats / max(self.items, 1),
            "items": self.items,
        }


class ItemEvaluator:
    """Nats of items under a network in each of its ways, compiled once.

    In turn and at once they are the negative log-likelihoods of the answers; by unmasking the
    estimate of a bound on it, from one random share of blanks for every answer (the same ones
    each time).

    Args:
        networks: dict from ways to networks, as `mdnn.training.decoding_modes.networks_by_mode`
            gives it.
        config: their config.
        tokenizer: `mdnn.tokens.item_tokenizer.ItemTokenizer`.
    """

    def __init__(self, networks, config, tokenizer):
        made = {id(model): TargetNLL(model) for model in networks.values()}
        for model in made.values():
            without_xla(model)
        self.models = {name: made[id(model)] for name, model in networks.items()}
        self.config, self.tokenizer = config, tokenizer
        self.batch = min(32, max(1, CALL_SLOTS // config.context.positions))

    def figures(self, lines, progress=None):
        """What `evaluate` says of lines.

        Args:
            lines: list of `mdnn.datasets.items.item_splits.Example`; every alternative of every
                line comes once.
            progress: function called with the part that is done, 0 to 1.

        Returns:
            dict: `nats` (mean of a unit of the answers, the end being one), `bits_per_unit`,
            `units`, `loss_per_item`, `items`, all of the first way that is trained; and `ways`, a
            dict from each way's name to its own such figures and `kinds`, a dict from kinds of
            answers to theirs.

        Raises:
            MdnnError: no line, a line that does not fit the context.
        """
        ways = {}
        for number, name in enumerate(self.models):
            totals, _ = self.total(lines, name)
            ways[name] = {
                **sum(totals.values(), Total()).figures(),
                "kinds": {kind: total.figures() for kind, total in sorted(totals.items())},
            }
            if progress is not None:
                progress((number + 1) / len(self.models))
        first = dict(next(iter(ways.values())))
        first.pop("kinds")
        return first | {"ways": ways}

    def check(self, lines, most):
        """Nats per unit of each way, weighted as in training, on at most `most` contexts."""
        found = {}
        for name in self.models:
            totals, prompts = self.total(lines, name, most)
            answers, weight = sum(totals.values(), Total()), self.config.loss.prompt
            units = answers.units + weight * prompts.units
            found[name] = (answers.nats + weight * prompts.nats) / max(units, 1e-9)
        return found

    def total(self, lines, way, most=None):
        """Sums over the answers of lines.

        Returns:
            A dict from kinds of answers to their `Total`, and the `Total` of what is predicted
            beside the answers: in turn, the items before them.
        """
        config, totals, prompts = self.config, {}, Total()
        for window in item_windows(
            lines,
            self.tokenizer,
            config.context,
            self.batch,
            way,
            config.seed,
            config.data.order,
            config.data.truncate,
            most=most,
        ):
            counted, weights = window.pop("counted"), window.pop("weights")
            nats = self.models[way].nll(window["tokens"], window["targets"])
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
        return totals, prompts


def _answers(tokens, targets, counted):
    """The kind of each context's answer, 0 where there is none, and the positions that answer it.

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
