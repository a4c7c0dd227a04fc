"""How well a network predicts a text, or items."""

import dataclasses
import math

import numpy as np

from mdnn.data.batches import Batches, windows
from mdnn.data.corpus import open_data
from mdnn.data.sources import read_text
from mdnn.errors import MdnnError
from mdnn.models.compiling import without_xla
from mdnn.models.loss import nats_model
from mdnn.models.run import cached_run
from mdnn.models.solving import check_halts, check_refeeds
from mdnn.models.training_tables import Objectives
from mdnn.models.vocabulary import decoding
from mdnn.training.ways import wired


def evaluate(
    run,
    text=None,
    sliding=True,
    progress=None,
    lines=None,
    puzzles=None,
    refeeds=None,
    restarts=1,
    halt=False,
):
    """Nats per character of a text, or per unit of items, under a trained network.

    Of a text two figures in turn. `nats`: consecutive windows of the context's length, every
    position counted, the convention behind nanoGPT's figures. `nats_sliding`: windows that
    overlap by half, each counting its last half only, so that every character has at least half
    a context before it.

    Args:
        run: a run folder.
        text: the text; None for the run's own validation text.
        sliding: whether the second figure is computed, too.
        progress: function called with the part that is done, 0 to 1.
        lines: list of `mdnn.data.lines.Line` for a network of items; None for the run's own
            validation lines.
        puzzles: task, puzzles and solutions for a network of puzzles; None for the run's own that
            are held out.
        refeeds: int, or a list of ints: how many times the network is run on its own output;
            None for the config's number.
        restarts: int, of puzzles alone, with `refeeds`: random states that each begins in, of
            which the one that settles best gives the answer.
        halt: boolean, of puzzles alone: whether the halting head says when it is enough.

    Returns:
        dict, with a list of `refeeds` alone `curve`, a list of dicts, one for each number, with
        `refeeds` and what follows: `nats`, `bits_per_character`, `characters` (how many were
        predicted: all but the text's first), and `nats_sliding`, `bits_per_character_sliding` and
        `characters_sliding` where asked for. Where another way to write is trained, too (or
        alone), `ways`: a dict from each way's name to its own `nats`, `bits_per_character` and
        `characters`; the figures above are those of the first of them. Of items: what
        `mdnn.training.item_scores.ItemScorer.figures` gives; of puzzles: what
        `mdnn.training.puzzle_scores.PuzzleScorer.figures` gives.

    Raises:
        MdnnError: no run folder, a text of fewer than two units, a text for a network of items
            or the other way round.
    """
    run = cached_run(run)
    listed = None if refeeds is None else check_refeeds(refeeds)
    if listed and halt:
        raise MdnnError("halt: expected no refeeds beside it, received both")
    if halt:
        check_halts(run.config)
    networks = wired(run.model, run.config)
    if run.config.context.layout == "puzzle":
        # imported late: a text needs no puzzles
        from mdnn.training.puzzle_scores import PuzzleScorer, open_other_puzzles

        if text is not None or lines is not None:
            raise MdnnError("a network of puzzles is evaluated on puzzles, received others")
        cases = puzzles or open_other_puzzles(run.config, run.config.data.source)
        scorer = PuzzleScorer(networks, run.config)
        if listed is None:
            if restarts != 1:
                raise MdnnError(f"restarts: expected refeeds, too, received restarts = {restarts}")
            return scorer.figures(*cases, progress, halt)
        curve = scorer.curve(*cases, listed, restarts, progress)
        return curve[0] if isinstance(refeeds, int) else {"curve": curve}
    if puzzles is not None:
        raise MdnnError("expected a network of puzzles, received puzzles for another")
    if restarts != 1:
        raise MdnnError("restarts: expected a network of puzzles, received another")
    if listed is not None:
        data = {"text": text, "sliding": sliding, "lines": lines}
        curve = []
        for steps in listed:
            own = {way: m.with_options(way == "turn", steps) for way, m in networks.items()}
            curve.append({"refeeds": steps} | _figures(run, own, **data, progress=progress))
        return curve[0] if isinstance(refeeds, int) else {"curve": curve}
    return _figures(run, networks, text, sliding, lines, progress)


def _figures(run, networks, text, sliding, lines, progress):
    """The figures of a network of texts or items."""
    if run.config.context.layout == "items":
        # imported late: a text needs no items
        from mdnn.training.item_scores import ItemScorer, validation_lines

        if text is not None:
            raise MdnnError("a network of items is evaluated on lines, received a text")
        lines = validation_lines(run.config) if lines is None else lines
        return ItemScorer(networks, run.config, run.item_codec).figures(lines, progress)
    if lines is not None:
        raise MdnnError("a network of text is evaluated on a text, received lines of items")
    if text is None:
        data = run.config.data
        units = open_data(data.source, data.validation, run.codec).validation
    else:
        units = run.codec.units(text)
    return StreamScorer(networks, run.config, run.codec).figures(units, sliding, progress)


def open_text_or_lines(config, source):
    """The whole of another source, as arguments of `evaluate`: a dict.

    Args:
        config: the run's config; of items all lines are taken, both sides of their split.
        source: as `data.source` of a config.
    """
    if config.context.layout == "puzzle":
        from mdnn.training.puzzle_scores import open_other_puzzles

        return {"puzzles": open_other_puzzles(config, source)}
    if config.context.layout == "items":
        # imported late: a text needs no items
        from mdnn.training.item_scores import open_config_lines

        data = dataclasses.replace(config.data, source=source, validation=0.0)
        corpus = open_config_lines(dataclasses.replace(config, data=data))
        return {"lines": corpus.train + corpus.validation}
    return {"text": read_text(source)}


def figures(nats, characters):
    """The figures of a total of nats over so many characters."""
    mean = nats / characters
    return {
        "nats": mean,
        "bits_per_character": mean / math.log(2),
        "characters": int(characters),
    }


def nats_models(networks, config):
    """A compiled model that returns nats for each way, a dict; see `nats_model`."""
    made = {id(model): nats_model(model, **decoding(config)) for model in networks.values()}
    for model in made.values():
        without_xla(model)
    return {name: made[id(model)] for name, model in networks.items()}


class StreamScorer:
    """Sums of nats over texts, compiled once.

    Args:
        networks: dict from ways to networks, as `mdnn.training.ways.wired` gives it.
        config: their config.
        codec: `mdnn.tokens.text.TextCodec`.
        batch: windows in one call.
    """

    def __init__(self, networks, config, codec, batch=32):
        self.models = nats_models(networks, config)
        self.config, self.codec, self.batch = config, codec, batch
        self.slots = config.context.slots

    def figures(self, units, sliding=True, progress=None):
        """What `evaluate` says of a text of units."""
        least = 2 if list(self.models) == ["turn"] else self.slots + 1
        if len(units) < least:
            kind = "characters or words" if self.codec.words else "characters"
            number = {2: "two"}.get(least, least)
            raise MdnnError(
                f"expected a text of at least {number} {kind} to evaluate, received {len(units)}"
            )
        sliding = sliding and "turn" in self.models
        # The sliding figure looks at every character about twice.
        whole = len(self.models) + 2 * sliding
        tell = progress or (lambda part: None)
        ways = self.ways(units, progress=lambda p: tell(p * len(self.models) / whole))
        result = dict(next(iter(ways.values())))
        if sliding:
            start = len(self.models) / whole
            stride = max(1, self.slots // 2)
            total = self.total(units, stride, lambda p: tell(start + p * (1 - start)))
            for name, value in figures(*total).items():
                result[f"{name}_sliding"] = value
        if list(ways) != ["turn"]:
            result["ways"] = ways
        return result

    def ways(self, units, most=None, progress=None):
        """The figures of every way on a text of units (of at most `most`, spread): a dict."""
        found = {}
        for number, name in enumerate(self.models):

            def tell(part, done=number):
                if progress is not None:
                    progress((done + part) / len(self.models))

            if name == "turn":
                own = units if most is None else spread(units, most)
                found[name] = figures(*self.total(own, self.slots, tell))
            else:
                found[name] = figures(*self.blank_total(units, name, most, tell))
        return found

    def total(self, units, stride, progress=None):
        """Nats in all and characters predicted over a text of units, in turn."""
        nats, characters, done = 0.0, 0, 0
        for window in windows(units, self.codec, self.slots, stride, self.batch):
            counted = window.pop("counted")
            found = np.asarray(self.models["turn"].predict_on_batch(window), dtype="float64")
            nats += float(found[counted].sum())
            predicted = self.codec.units_from_tokens(window["targets"][counted])
            characters += int(self.codec.lengths(predicted).sum())
            done += int(counted.sum())
            if progress is not None:
                progress(done / (len(units) - 1))
        return nats, characters

    def blank_total(self, units, way, most=None, progress=None):
        """Nats and characters of blanks in random windows of a text, always the same ones.

        As many windows as read about as many units as the text has, or `most`. With `"unmask"`
        blanks weigh the inverse of their share, so that nats per character are those of a bound.
        """
        one = Objectives(**{"turn": 0.0, way: 1.0})
        batches = Batches(
            units, self.codec, self.slots, self.batch, self.config.seed, objectives=one
        )
        steps = max(1, round(min(len(units), most or len(units)) / (self.slots * self.batch)))
        nats = characters = 0.0
        for step in range(steps):
            batch = batches.at(step)
            weights = batch.pop("weights").astype("float64")
            found = np.asarray(self.models[way].predict_on_batch(batch), dtype="float64")
            nats += float((weights * found).sum())
            counted = batch["targets"][..., 0] > 0
            predicted = self.codec.units_from_tokens(batch["targets"][counted])
            characters += float((weights[counted] * self.codec.lengths(predicted)).sum())
            if progress is not None:
                progress((step + 1) / steps)
        return nats, characters


def spread(units, most, pieces=16):
    """At most `most` units: `pieces` runs at even distances (the seams are hard to predict)."""
    if len(units) <= most:
        return units
    starts = np.linspace(0, len(units) - most // pieces, pieces).astype(int)
    return np.concatenate([units[start : start + most // pieces] for start in starts])
