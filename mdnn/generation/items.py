"""Items from a trained network: prompts into contexts, answers out of them, one after another."""

import dataclasses
import functools
import math

import numpy as np

from mdnn.errors import MdnnError
from mdnn.generation.turn import TurnWriter
from mdnn.generation.wants import LARGEST, Want, check_kind
from mdnn.generation.whole import BlankWriter
from mdnn.tokens.units import ITEM, MODALITIES, MODALITY, WIDTH, modality

END = modality("end").index
BLANK = modality("blank").index

MOST_ITEMS = 64
"""Items of an answer whose end the network is to say itself, at most."""


@dataclasses.dataclass
class Context:
    """One prompt and what is answered so far.

    Args:
        rows: int32 `[slots, 8]`.
        stop: the slot behind the last item.
        items: list of `Item`, the prompt's and the answers.
        prompt: how many of them are the prompt's.
        seed: int.
        done: whether the network has said that nothing follows.
    """

    rows: np.ndarray
    stop: int
    items: list
    prompt: int
    seed: int
    done: bool = False


@dataclasses.dataclass(frozen=True)
class Ask:
    """One answer that is asked for, of one context.

    Args:
        want: `Want`; its shape is `None` where the network says the length or the places.
        first: the slot of its first unit.
        count: units at most.
        ends: names of the modalities that end it.
    """

    want: Want
    first: int
    count: int
    ends: tuple[str, ...] = ()

    @property
    def open(self):
        """Whether the network says where it ends."""
        return self.want.shape is None

    @property
    def decoded(self):
        """Whether the network says the places, too."""
        return self.open and not self.want.flat


class Answering:
    """Answers of one network in one way.

    Args:
        run: `mdnn.models.run.Run` of a network with the layout "items".
        how: `"turn"`, `"once"` or `"unmask"`.
        settings: `mdnn.generation.styles.Settings`.
        length: int, units at most of a text or sound whose length is not said; `None`: as long as
            the longest that the network was trained on.
        batch: int, contexts that are written together.
    """

    def __init__(self, run, how, settings, length=None, batch=32):
        self.run, self.how, self.settings = run, how, settings
        self.length, self.batch = length, batch
        self.codec, self.config = run.item_codec, run.config
        self.slots, self.align = self.config.context.slots, self.config.context.align
        self.modalities = self.config.tokens.modalities
        self.heads = tuple(run.model.get_layer("heads").modalities)

    def answer(self, prompts, wants, seeds, tell=None):
        """Answers prompts.

        Args:
            prompts: list of lists of `Item`.
            wants: list of `Want`, answered one after another; `None`: the network says what.
            seeds: list of ints, one per prompt.
            tell: function called with the number of a prompt and each `Item` that answers it.

        Returns:
            List of lists of `Item`.
        """
        contexts = [self._context(items, seed) for items, seed in zip(prompts, seeds, strict=True)]
        if wants is None:
            for number in range(MOST_ITEMS):
                going = [context for context in contexts if self._goes_on(context, number)]
                if not going:
                    break
                kinds = self._kinds(going, number)
                going = [context for context in going if not context.done]
                self._stage(going, [Want(kind) for kind in kinds if kind], None, tell, contexts)
        else:
            for want, follows in zip(wants, [*wants[1:], None], strict=True):
                self._stage(contexts, [want] * len(contexts), follows, tell, contexts)
        return [context.items[context.prompt :] for context in contexts]

    def _context(self, items, seed):
        rows, stop = np.zeros((self.slots, WIDTH), "int32"), 0
        for number, item in enumerate(items):
            name = item.name or f"item {number + 1} of the prompt"
            check_kind(item.kind, self.modalities, name)
            start, count = self._next(stop) if stop else 0, self.codec.count(item)
            if start + count >= self.slots:
                raise MdnnError(
                    f"{name}: {item.kind} of {count} units from slot {start} on leaves no room for "
                    f"an answer in a context of {self.slots} slots"
                )
            stop = start + count
            rows[start:stop] = self.codec.tokens(item, number)
        return Context(rows, stop, list(items), len(items), seed)

    def _next(self, stop):
        """The first slot of an item behind `stop`. Nothing answers the context's first slot."""
        return max(-(-stop // self.align), 1) * self.align

    def _goes_on(self, context, number):
        """Whether there is room for one more item that nobody asked for."""
        full = self._next(context.stop) >= self.slots
        if full and number == 0:
            self._room(context, "an answer", 1)
        return not (context.done or full)

    def _room(self, context, what, needed):
        """Slots that are left; an error where they are fewer than `needed`."""
        first = self._next(context.stop)
        if first + needed > self.slots:
            listed = ", ".join(
                f"{item.name or item.kind} ({self.codec.count(item)} units)"
                for item in context.items
            )
            raise MdnnError(
                f"{what} takes {needed} slots: a context of {self.slots} slots has "
                f"{max(0, self.slots - first)} left behind {listed or 'its first slot'}"
            )
        return self.slots - first

    def _ask(self, context, want, ends):
        """What is asked for, with the shape that is known of what was trained."""
        first, kind = self._next(context.stop), want.kind
        shapes = self.run.seen["shapes"].get(kind, [])
        if want.shape is None and not want.flat and len(shapes) == 1:
            want = Want(kind, tuple(shapes[0]))
        if want.shape is not None:
            self._room(context, f"{kind} {'x'.join(map(str, want.shape))}", want.units)
            return Ask(want, first, want.units)
        if not want.flat and not self.config.tokens.answer_places:
            seen = ", ".join("x".join(map(str, shape)) for shape in shapes[:4])
            sizes = "8x8" if modality(kind).places == 2 else "4x8x8"
            raise MdnnError(
                f"want: say the size of {kind}, such as '{kind} {sizes}': the network was trained "
                f"on {seen or 'none'} and does not answer places (tokens.answer_places)"
            )
        room = self._room(context, kind, 1)
        longest = self.run.seen["longest"].get(kind, room)
        if want.flat and self.length is not None:
            longest = self.length
        return Ask(want, first, max(1, min(room, longest)), ends)

    def _own(self, want):
        """Names of the modalities that units of an item may have."""
        kinds = ("text", "word") if want.kind == "text" else (want.kind,)
        return tuple(name for name in self.heads if name in kinds)

    def _kinds(self, contexts, number):
        """The kind of the next item of each context; of one where none follows `None`."""
        units = tuple(name for name in self.heads if name != "end")
        undecided = Want(units[0])
        asks = [Ask(undecided, self._next(c.stop), 1) for c in contexts]
        # The first answer is an item; behind it there may be nothing.
        others = units if number == 0 else self.heads
        if self.config.train.objectives.turn:
            writer = self._turn(self.heads)
            extra = [{"own": units, "allowed": others, "least": min(1, 1 - number)} for _ in asks]
        elif self.config.tokens.answer_places:
            writer = self._blank(self.heads, self.slots, once=True)
            extra = [{"own": units, "allowed": others, "least": min(1, 1 - number)} for _ in asks]
        else:
            raise MdnnError(
                "want: say what is wanted, such as 'text': this network was not trained to decide "
                "(train.objectives.turn, tokens.answer_places)"
            )
        found = self._write(writer, contexts, asks, extra, hidden=True)
        kinds = []
        for context, rows in zip(contexts, found, strict=True):
            name = None if not len(rows[0]) else _name(rows[0][0, MODALITY])
            context.done = name is None
            kinds.append("text" if name == "word" else name)
        return kinds

    def _stage(self, contexts, wants, follows, tell, everyone):
        """Writes one more item into each context."""
        asks, extra = [], []
        chosen = follows is None and len(set(wants)) != 1
        for context, want in zip(contexts, wants, strict=True):
            own = self._own(want)
            ends = ("end",)
            if follows is not None and self.align == 1:
                ends += tuple(name for name in self._own(follows) if name not in own)
            asks.append(self._ask(context, want, ends))
            allowed = own + (ends if asks[-1].open else ())
            extra.append({"own": own, "allowed": allowed, "least": 1})
        kinds = self.heads
        if not chosen and len({ask.open for ask in asks}) == 1 and extra:
            kinds = tuple(name for name in self.heads if name in extra[0]["allowed"])
        if not asks:
            return
        if self.how == "turn":
            writer = self._turn(kinds)
        else:
            units = max(self._shown(ask) for ask in asks)
            # Few lengths, so that few writers are compiled.
            units = min(self.slots, max(16, 2 ** math.ceil(math.log2(units))))
            places = any(ask.decoded for ask in asks)
            writer = self._blank(kinds, units, self.how == "once", places)
        found = self._write(writer, contexts, asks, extra)
        numbers = {id(context): number for number, context in enumerate(everyone)}
        for context, ask, (rows, stopped) in zip(contexts, asks, found, strict=True):
            number = len(context.items)
            rows[:, ITEM] = number
            context.rows[ask.first : ask.first + len(rows)] = rows
            context.stop = ask.first + len(rows)
            context.done = stopped == END
            context.items.append(self._item(rows, ask))
            if tell is not None:
                tell(numbers[id(context)], context.items[-1])

    def _item(self, rows, ask):
        try:
            item = self.codec.item(rows)
        except MdnnError as error:
            if not ask.decoded:
                raise
            raise MdnnError(
                f"the network's places make no {ask.want.kind} ({error}); say its size with want="
            ) from None
        if item.kind == "text" and ask.want.shape is not None:
            # A word is one unit of several characters.
            item = dataclasses.replace(item, value=item.value[: ask.want.units])
        return item

    def _turn(self, kinds):
        return writer(
            TurnWriter,
            self.run.model,
            prompts=self.config.context.prompts,
            kinds=kinds,
            refeeds=self.settings.refeeds,
            sampler=self.settings.sampler,
            words=len(self.run.words),
        )

    def _blank(self, kinds, units, once, places=False):
        made = writer(
            BlankWriter,
            self.run.model,
            prompts=self.config.context.prompts,
            kinds=kinds,
            refeeds=self.settings.refeeds,
            sampler=self.settings.sampler,
            words=len(self.run.words),
            once=once,
            places=places,
            name=f"blanks_{units}",
        )
        made.units = units
        return made

    def _shown(self, ask):
        """How many blanks a context holds for an answer: its `end`'s among them."""
        if ask.decoded:
            return self.slots - ask.first
        return min(ask.count + 1, self.slots - ask.first)

    def _write(self, writer, contexts, asks, extra, hidden=False):
        """Runs a writer; returns `(rows [units, 8], stopped)` of each context.

        `hidden`: whether blanks name neither kind nor place.
        """
        found = []
        for start in range(0, len(asks), self.batch):
            part = slice(start, start + self.batch)
            found += self._write_batch(writer, contexts[part], asks[part], extra[part], hidden)
        return found

    def _write_batch(self, writer, contexts, asks, extra, hidden):
        count = len(asks)
        # Few sizes of batches, so that a writer is compiled few times.
        size = 2 ** math.ceil(math.log2(count))
        settings = self.settings
        inputs = {
            "tokens": np.zeros((size, self.slots, WIDTH), "int32"),
            "first": np.ones(size, "int32"),
            "own": np.ones((size, len(self.heads)), "int32"),
            "allowed": np.ones((size, len(self.heads)), "int32"),
            "temperature": np.full(size, settings.temperature, "float32"),
            "top_k": np.full(size, settings.top_k, "int32"),
            "top_p": np.full(size, settings.top_p, "float32"),
        }
        inputs |= {
            name: np.zeros(size, "int32") for name in ("count", "least", "item", "decoded", "seed")
        }
        turn = isinstance(writer, TurnWriter)
        if turn:
            inputs |= {name: np.ones((size, 3), "int32") for name in ("steps", "sizes")}
        else:
            inputs["ask"] = np.zeros((size, writer.units, WIDTH), "int32")
            inputs["shown"] = np.zeros(size, "int32")
            inputs["passes"] = np.full(size, settings.passes, "int32")
        for n, (context, ask, more) in enumerate(zip(contexts, asks, extra, strict=True)):
            inputs["tokens"][n] = context.rows
            inputs["first"][n], inputs["count"][n] = ask.first, ask.count
            inputs["item"][n], inputs["seed"][n] = len(context.items), context.seed
            inputs["least"][n] = more["least"]
            inputs["decoded"][n] = ask.decoded
            for name in ("own", "allowed"):
                inputs[name][n] = [modal in more[name] for modal in self.heads]
            if turn:
                inputs["steps"][n], inputs["sizes"][n] = _strides(ask)
                continue
            shown = self.slots - ask.first if hidden else self._shown(ask)
            inputs["shown"][n] = shown
            inputs["ask"][n, :shown] = self._blanks(ask, shown, len(context.items), hidden)
            if ask.open and not hidden:
                # One more than there may be units, for the `end`.
                inputs["count"][n] = min(ask.count + 1, shown)
        found = writer.predict_on_batch(inputs)
        found = {name: np.asarray(value)[:count] for name, value in found.items()}
        results = []
        for n, ask in enumerate(asks):
            written = min(int(found["written"][n]), ask.count)
            if turn:
                rows = found["tokens"][n, ask.first : ask.first + written]
            else:
                rows = found["rows"][n, :written]
            stopped = int(found["stopped"][n])
            # Blanks are ended by `end` alone.
            results.append((rows.copy(), stopped if turn else stopped * END))
        return results

    def _blanks(self, ask, shown, item, hidden):
        if hidden or ask.decoded:
            rows = np.zeros((shown, WIDTH), "int32")
            rows[:, MODALITY] = BLANK
            return rows
        want = ask.want
        if want.flat:
            return self.codec.blanks(want.kind, (shown,), item)
        rows = self.codec.blanks(want.kind, want.shape, item)
        return np.vstack([rows, self.codec.end_blank(want.kind, want.shape, item)])[:shown]


def _strides(ask):
    """What tells the place of unit i: `i // steps % sizes`, each `[3]`."""
    if ask.open or ask.want.flat:
        return (1, 1, 1), (LARGEST, 1, 1)
    shape = ask.want.shape
    steps = [math.prod(shape[k + 1 :]) for k in range(len(shape))]
    missing = 3 - len(shape)
    return [*steps, *[1] * missing], [LARGEST, *shape[1:], *[1] * missing]


def _name(index):
    return MODALITIES[int(index)].name


@functools.lru_cache(maxsize=32)
def writer(kind, model, **how):
    """A writer of a model, kept: compiling takes longer than most answers."""
    return kind(model, **how)
