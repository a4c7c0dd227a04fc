"""How well a network predicts a text, or items."""

import dataclasses
import math

import numpy as np

from mdnn.config.training_tables import Objectives
from mdnn.datasets.batches.text_batches import TextBatches, windows
from mdnn.datasets.text.text_sources import read_text
from mdnn.datasets.text.text_splits import open_text
from mdnn.errors import MdnnError
from mdnn.models.compiling import without_xla
from mdnn.models.head_options import decoding
from mdnn.models.loss import nll_model
from mdnn.models.recurrent_inference import check_halts, check_refeeds
from mdnn.runs.run_folder import cached_run
from mdnn.training.decoding_modes import networks_by_mode


def evaluate(
    run,
    text=None,
    sliding=True,
    progress=None,
    lines=None,
    puzzles=None,
    steps=None,
    num_starts=1,
    adaptive=False,
):
    """Nats per character of a text, or per unit of items, under a trained network.

    Of a text two figures in turn. `nats`: consecutive windows of the context's length, every
    position counted, the convention behind nanoGPT's figures. `loss_sliding`: windows that
    overlap by half, each counting its last half only, so that every character has at least half
    a context before it.

    Args:
        run: a run folder.
        text: the text; None for the run's own validation text.
        sliding: whether the second figure is computed, too.
        progress: function called with the part that is done, 0 to 1.
        lines: list of `mdnn.datasets.items.item_splits.Example` for a network of items; None for
            the run's own validation lines.
        puzzles: task, puzzles and solutions for a network of puzzles; None for the run's own that
            are held out.
        steps: int, or a list of ints: how many times the network is run on its own output;
            None for the config's number.
        num_starts: int, of puzzles alone, with `steps`: random states that each begins in, of
            which the one that settles best gives the answer.
        adaptive: boolean, of puzzles alone: whether the halting head says when it is enough.

    Returns:
        dict, with a list of `steps` alone `curve`, a list of dicts, one for each number, with
        `steps` and what follows: `nats`, `bits_per_character`, `characters` (how many were
        predicted: all but the text's first), and `loss_sliding`, `bits_per_character_sliding` and
        `characters_sliding` where asked for. Where another way to write is trained, too (or
        alone), `ways`: a dict from each way's name to its own `nats`, `bits_per_character` and
        `characters`; the figures above are those of the first of them. Of items: what
        `mdnn.training.item_evaluator.ItemEvaluator.figures` gives; of puzzles: what
        `mdnn.training.puzzle_evaluator.PuzzleEvaluator.figures` gives.

    Raises:
        MdnnError: no run folder, a text of fewer than two units, a text for a network of items
            or the other way round.
    """
    run = cached_run(run)
    listed = None if steps is None else check_refeeds(steps)
    if listed and adaptive:
        raise MdnnError("adaptive: expected no steps beside it, received both")
    if adaptive:
        check_halts(run.config)
    networks = networks_by_mode(run.model, run.config)
    if run.config.context.layout == "puzzle":
        # imported late: a text needs no puzzles
        from mdnn.training.puzzle_evaluator import PuzzleEvaluator, open_other_puzzles

        if text is not None or lines is not None:
            raise MdnnError("a network of puzzles is evaluated on puzzles, received others")
        cases = puzzles or open_other_puzzles(run.config, run.config.data.source)
        evaluator = PuzzleEvaluator(networks, run.config)
        if listed is None:
            if num_starts != 1:
                raise MdnnError(
                    f"num_starts: expected steps, too, received restarts = {num_starts}"
                )
            return evaluator.figures(*cases, progress, adaptive)
        curve = evaluator.curve(*cases, listed, num_starts, progress)
        return curve[0] if isinstance(steps, int) else {"curve": curve}
    if puzzles is not None:
        raise MdnnError("expected a network of puzzles, received puzzles for another")
    if num_starts != 1:
        raise MdnnError("num_starts: expected a network of puzzles, received another")
    if listed is not None:
        data = {"text": text, "sliding": sliding, "lines": lines}
        curve = []
        for steps in listed:
            own = {
                way: m.with_options(way == "autoregressive", steps) for way, m in networks.items()
            }
            curve.append({"steps": steps} | _figures(run, own, **data, progress=progress))
        return curve[0] if isinstance(steps, int) else {"curve": curve}
    return _figures(run, networks, text, sliding, lines, progress)


def _figures(run, networks, text, sliding, lines, progress):
    """The figures of a network of texts or items."""
    if run.config.context.layout == "items":
        # imported late: a text needs no items
        from mdnn.training.item_evaluator import ItemEvaluator, validation_lines

        if text is not None:
            raise MdnnError("a network of items is evaluated on lines, received a text")
        lines = validation_lines(run.config) if lines is None else lines
        return ItemEvaluator(networks, run.config, run.item_tokenizer).figures(lines, progress)
    if lines is not None:
        raise MdnnError("a network of text is evaluated on a text, received lines of items")
    if text is None:
        data = run.config.data
        units = open_text(data.source, data.validation, run.tokenizer).validation
    else:
        units = run.tokenizer.units(text)
    return TextEvaluator(networks, run.config, run.tokenizer).figures(units, sliding, progress)


def open_text_or_lines(config, source):
    """The whole of another source, as arguments of `evaluate`: a dict.

    Args:
        config: the run's config; of items all lines are taken, both sides of their split.
        source: as `data.source` of a config.
    """
    if config.context.layout == "puzzle":
        from mdnn.training.puzzle_evaluator import open_other_puzzles

        return {"puzzles": open_other_puzzles(config, source)}
    if config.context.layout == "items":
        # imported late: a text needs no items
        from mdnn.training.item_evaluator import open_config_lines

        data = dataclasses.replace(config.data, source=source, validation=0.0)
        corpus = open_config_lines(dataclasses.replace(config, data=data))
        return {"lines": corpus.train + corpus.validation}
    return {"text": read_text(source)}


def figures(nats, characters):
    """The figures of a total of nats over so many characters."""
    mean = nats / characters
    return {
        "loss": mean,
        "bits_per_character": mean / math.log(2),
        "characters": int(characters),
    }


def nll_models(networks, config):
    """A compiled model that returns nats for each way, a dict; see `nll_model`."""
    made = {id(model): nll_model(model, **decoding(config)) for model in networks.values()}
    for model in made.values():
        without_xla(model)
    return {name: made[id(model)] for name, model in networks.items()}


class TextEvaluator:
    """Sums of nats over texts, compiled once.

    Args:
        networks: dict from ways to networks, as `mdnn.training.decoding_modes.networks_by_mode`
            gives it.
        config: their config.
        tokenizer: `mdnn.tokens.characters.TextTokenizer`.
        batch: windows in one call.
    """

    def __init__(self, networks, config, tokenizer, batch=32):
        self.models = nll_models(networks, config)
        self.config, self.tokenizer, self.batch = config, tokenizer, batch
        self.positions = config.context.positions

    def figures(self, units, sliding=True, progress=None):
        """What `evaluate` says of a text of units."""
        least = 2 if list(self.models) == ["autoregressive"] else self.positions + 1
        if len(units) < least:
            kind = "characters or words" if self.tokenizer.words else "characters"
            number = {2: "two"}.get(least, least)
            raise MdnnError(
                f"expected a text of at least {number} {kind} to evaluate, received {len(units)}"
            )
        sliding = sliding and "autoregressive" in self.models
        # The sliding figure looks at every character about twice.
        whole = len(self.models) + 2 * sliding
        tell = progress or (lambda part: None)
        ways = self.ways(units, progress=lambda p: tell(p * len(self.models) / whole))
        result = dict(next(iter(ways.values())))
        if sliding:
            start = len(self.models) / whole
            stride = max(1, self.positions // 2)
            total = self.total(units, stride, lambda p: tell(start + p * (1 - start)))
            for name, value in figures(*total).items():
                result[f"{name}_sliding"] = value
        if list(ways) != ["autoregressive"]:
            result["ways"] = ways
        return result

    def ways(self, units, most=None, progress=None):
        """The figures of every way on a text of units (of at most `most`, spread): a dict."""
        found = {}
        for number, name in enumerate(self.models):

            def tell(part, done=number):
                if progress is not None:
                    progress((done + part) / len(self.models))

            if name == "autoregressive":
                own = units if most is None else spread(units, most)
                found[name] = figures(*self.total(own, self.positions, tell))
            else:
                found[name] = figures(*self.blank_total(units, name, most, tell))
        return found

    def total(self, units, stride, progress=None):
        """Nats in all and characters predicted over a text of units, in turn."""
        nats, characters, done = 0.0, 0, 0
        for window in windows(units, self.tokenizer, self.positions, stride, self.batch):
            counted = window.pop("counted")
            found = np.asarray(
                self.models["autoregressive"].predict_on_batch(window), dtype="float64"
            )
            nats += float(found[counted].sum())
            predicted = self.tokenizer.units_from_tokens(window["targets"][counted])
            characters += int(self.tokenizer.lengths(predicted).sum())
            done += int(counted.sum())
            if progress is not None:
                progress(done / (len(units) - 1))
        return nats, characters

    def blank_total(self, units, way, most=None, progress=None):
        """Nats and characters of blanks in random windows of a text, always the same ones.

        As many windows as read about as many units as the text has, or `most`. With
        `"masked_diffusion"` blanks weigh the inverse of their share, so that nats per character are
        those of a bound.
        """
        one = Objectives(**{"autoregressive": 0.0, way: 1.0})
        batches = TextBatches(
            units, self.tokenizer, self.positions, self.batch, self.config.seed, objectives=one
        )
        steps = max(1, round(min(len(units), most or len(units)) / (self.positions * self.batch)))
        nats = characters = 0.0
        for step in range(steps):
            batch = batches.at(step)
            weights = batch.pop("weights").astype("float64")
            found = np.asarray(self.models[way].predict_on_batch(batch), dtype="float64")
            nats += float((weights * found).sum())
            counted = batch["targets"][..., 0] > 0
            predicted = self.tokenizer.units_from_tokens(batch["targets"][counted])
            characters += float((weights[counted] * self.tokenizer.lengths(predicted)).sum())
            if progress is not None:
                progress((step + 1) / steps)
        return nats, characters


def spread(units, most, pieces=16):
    """At most `most` units: `pieces` runs at even distances (the seams are hard to predict)."""
    if len(units) <= most:
        return units
    starts = np.linspace(0, len(units) - most // pieces, pieces).astype(int)
    return np.concatenate([units[start : start + most // pieces] for start in starts])
