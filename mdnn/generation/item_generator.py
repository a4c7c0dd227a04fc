"""Items from a trained network: prompts into contexts, answers out of them, one after another."""

import dataclasses
import itertools
import math

import numpy as np

from mdnn.errors import MdnnError
from mdnn.generation.output_spec import OutputSpec, check_kind
from mdnn.generation.requests import END, Context, OutputRequest, writer_of, written
from mdnn.generation.turn import TurnWriter
from mdnn.generation.whole import BlankWriter
from mdnn.tokens.features import ITEM, MODALITIES, MODALITY, WIDTH, modality

MOST_ITEMS = 64
"""Items of an answer whose end the network is to say itself, at most."""


MANY = 256
"""Units of an answer from which on it pays to compile its writer for longer."""


class ItemGenerator:
    """Answers of one network in one way.

    Args:
        run: `mdnn.runs.run_folder.Run` of a network with the layout "items".
        decoding: `"autoregressive"`, `"parallel"` or `"masked_diffusion"`.
        settings: `mdnn.generation.presets.Settings`.
        length: int, units at most of a text or sound whose length is not said; `None`: as long as
            the longest that the network was trained on.
        batch: int, contexts that are written together.
    """

    def __init__(self, run, decoding, settings, length=None, batch=32):
        self.run, self.decoding, self.settings = run, decoding, settings
        self.length, self.batch = length, batch
        self.tokenizer, self.config = run.item_tokenizer, run.config
        self.positions, self.align = (
            self.config.context.positions,
            self.config.context.pad_to_multiple_of,
        )
        self.modalities = self.config.tokens.modalities
        self.heads = tuple(run.model.get_layer("heads").modalities)

    def answer(self, prompts, outputs, seeds, tell=None):
        """Answers prompts.

        Args:
            prompts: list of lists of `Item`.
            wants: list of `OutputSpec`, answered one after another; `None`: the network says what.
            seeds: list of ints, one per prompt.
            tell: function called with the number of a prompt and each `Item` that answers it.

        Returns:
            List of lists of `Item`.
        """
        contexts = [self._context(items, seed) for items, seed in zip(prompts, seeds, strict=True)]
        if outputs is None:
            for number in range(MOST_ITEMS):
                going = [context for context in contexts if self._goes_on(context, number)]
                if not going:
                    break
                kinds = self._kinds(going, number)
                going = [context for context in going if not context.done]
                if not going:
                    break
                outputs = [OutputSpec(kind) for kind in kinds if kind]
                if number:
                    fitting = [self._fits(*pair) for pair in zip(going, outputs, strict=True)]
                    going, outputs = ([*itertools.compress(x, fitting)] for x in (going, outputs))
                    if not going:
                        break
                self._stage(going, outputs, None, tell, contexts, chosen=True)
        else:
            for output, follows in zip(outputs, [*outputs[1:], None], strict=True):
                self._stage(contexts, [output] * len(contexts), follows, tell, contexts)
        return [context.items[context.prompt :] for context in contexts]

    def _context(self, items, seed):
        rows, stop = np.zeros((self.positions, WIDTH), "int32"), 0
        for number, item in enumerate(items):
            name = item.name or f"item {number + 1} of the prompt"
            check_kind(item.kind, self.modalities, name)
            start, count = self._next(stop) if stop else 0, self.tokenizer.count(item)
            if start + count >= self.positions:
                raise MdnnError(
                    f"{name}: {item.kind} of {count} units from position {start} on leaves no "
                    "room for "
                    f"an answer in a context of {self.positions} positions"
                )
            stop = start + count
            rows[start:stop] = self.tokenizer.tokens(item, number)
        return Context(rows, stop, list(items), len(items), seed)

    def _next(self, stop):
        """The first position of an item behind `stop`. Nothing answers the context's first
        position."""
        return max(-(-stop // self.align), 1) * self.align

    def _goes_on(self, context, number):
        """Whether there is room for one more item that nobody asked for."""
        full = self._next(context.stop) >= self.positions
        if full and number == 0:
            self._room(context, "an answer", 1)
        return not (context.done or full)

    def _fits(self, context, output):
        """Whether one more item that nobody asked for fits; where it does not, the answer ends."""
        try:
            self._ask(context, output, self._own(output), ("end",))
        except MdnnError:
            context.done = True
        return not context.done

    def _room(self, context, what, needed):
        """Positions that are left; an error where they are fewer than `needed`."""
        first = self._next(context.stop)
        if first + needed > self.positions:
            listed = ", ".join(
                f"{item.name or item.kind} ({self.tokenizer.count(item)} units)"
                for item in context.items
            )
            raise MdnnError(
                f"{what} takes {needed} positions: a context of {self.positions} positions has "
                f"{max(0, self.positions - first)} left behind {listed or 'its first position'}"
            )
        return self.positions - first

    def _ask(self, context, output, own, ends):
        """What is asked for, with the shape that is known of what was trained."""
        first, kind = self._next(context.stop), output.kind
        shapes = self.run.item_statistics["shapes"].get(kind, [])
        if output.shape is None and not output.flat and len(shapes) == 1:
            output = OutputSpec(kind, tuple(shapes[0]))
        if output.shape is not None:
            self._room(context, f"{kind} {'x'.join(map(str, output.shape))}", output.units)
            return OutputRequest(output, first, output.units, own)
        if not output.flat and not self.config.tokens.answer_coordinates:
            seen = ", ".join("x".join(map(str, shape)) for shape in shapes[:4])
            sizes = "8x8" if modality(kind).places == 2 else "4x8x8"
            raise MdnnError(
                f"output: say the size of {kind}, such as '{kind} {sizes}': the network was "
                "trained "
                f"on {seen or 'none'} and does not answer places (tokens.answer_coordinates)"
            )
        room = self._room(context, kind, 1)
        return OutputRequest(output, first, max(1, min(room, self._longest(output))), own, ends)

    def _longest(self, output):
        """Units at most of a wanted item, wherever it begins."""
        if output.shape is not None:
            return output.units
        if output.flat and self.length is not None:
            return self.length
        return self.run.item_statistics["longest"].get(output.kind, self.positions)

    def _own(self, output):
        """Names of the modalities that units of an item may have."""
        kinds = ("text", "word") if output.kind == "text" else (output.kind,)
        return tuple(name for name in self.heads if name in kinds)

    def _kinds(self, contexts, number):
        """The kind of the next item of each context; of one where none follows `None`."""
        units = tuple(name for name in self.heads if name != "end")
        # The first answer is an item; behind it there may be nothing.
        least = 1 if number == 0 else 0
        asks = [
            OutputRequest(
                OutputSpec(units[0]), self._next(c.stop), 1, units, ("end",), least, hidden=True
            )
            for c in contexts
        ]
        if self.config.train.objectives.autoregressive:
            writer = self._turn(self.heads)
        elif self.config.tokens.answer_coordinates:
            writer = self._blank(self.heads, self.positions, once=True)
        else:
            raise MdnnError(
                "output: say what is wanted, such as 'text': this network was not trained to "
                "decide "
                "(train.objectives.autoregressive, tokens.answer_coordinates)"
            )
        kinds = []
        found = written(writer, contexts, asks, self.tokenizer, self.settings, self.batch)
        for context, (rows, _) in zip(contexts, found, strict=True):
            name = MODALITIES[rows[0, MODALITY]].name if len(rows) else None
            context.done = name is None
            kinds.append("text" if name == "word" else name)
        return kinds

    def _stage(self, contexts, outputs, follows, tell, everyone, chosen=False):
        """Writes one more item into each context.

        Args:
            contexts: list of `Context`.
            wants: list of `OutputSpec`, one each.
            follows: the `OutputSpec` of the item after it, or `None`.
            tell: as in `answer`.
            everyone: list of the contexts that `tell` numbers.
            chosen: whether the network chose the kinds, so that they may differ.
        """
        asks = []
        for context, output in zip(contexts, outputs, strict=True):
            own = self._own(output)
            ends = ("end",)
            if follows is not None and self.align == 1 and self.decoding == "autoregressive":
                ends += tuple(name for name in self._own(follows) if name not in own)
            asks.append(self._ask(context, output, own, ends))
        # What is compiled goes by what is asked for, so that an answer does not depend on others.
        allowed = asks[0].allowed
        kinds = self.heads if chosen else tuple(n for n in self.heads if n in allowed)
        if self.decoding == "autoregressive":
            writer = self._turn(kinds, xla=not chosen and self._longest(outputs[0]) >= MANY)
        else:
            units = max(ask.shown(self.positions) for ask in asks)
            # Few lengths, so that few writers are compiled.
            units = min(self.positions, max(16, 2 ** math.ceil(math.log2(units))))
            places = any(ask.decoded for ask in asks)
            writer = self._blank(kinds, units, self.decoding == "parallel", places)
        found = written(writer, contexts, asks, self.tokenizer, self.settings, self.batch)
        numbers = {id(context): number for number, context in enumerate(everyone)}
        for context, ask, (rows, stopped) in zip(contexts, asks, found, strict=True):
            rows[:, ITEM] = len(context.items)
            context.rows[ask.first : ask.first + len(rows)] = rows
            context.stop = ask.first + len(rows)
            context.done = stopped == END
            context.items.append(self._item(rows, ask))
            if tell is not None:
                tell(numbers[id(context)], context.items[-1])

    def _item(self, rows, ask):
        try:
            item = self.tokenizer.item(rows)
        except MdnnError as error:
            if not ask.decoded:
                raise
            raise MdnnError(
                f"the network's places make no {ask.output.kind} ({error}); say its size with "
                "output="
            ) from None
        if item.kind == "text" and ask.output.shape is not None:
            # A word is one unit of several characters.
            item = dataclasses.replace(item, value=item.value[: ask.output.units])
        return item

    def _turn(self, kinds, xla=False):
        return writer_of(TurnWriter, self.run.model, kinds=kinds, xla=xla, **self._how())

    def _blank(self, kinds, units, once, places=False):
        how = {"kinds": kinds, "units": units, "parallel": once, "places": places}
        return writer_of(BlankWriter, self.run.model, **how, **self._how())

    def _how(self):
        return {
            "steps": self.settings.steps,
            "sampler": self.settings.sampler,
            "words": len(self.run.words),
        }
