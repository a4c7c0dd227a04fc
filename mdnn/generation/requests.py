"""Answers that are asked for: as inputs of a writer, and what it wrote."""

import dataclasses
import functools
import math

import numpy as np

from mdnn.generation.output_spec import LARGEST, OutputSpec
from mdnn.generation.turn import TurnWriter
from mdnn.tokens.features import MODALITY, WIDTH, modality

END = modality("end").index
BLANK = modality("blank").index


@dataclasses.dataclass
class Context:
    """One prompt and what is answered so far.

    Args:
        rows: int32 `[positions, 8]`.
        stop: the position behind the last item.
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
class OutputRequest:
    """One answer that is asked for, of one context.

    Args:
        output: `OutputSpec`; its shape is `None` where the network says the length or the places.
        first: the position of its first unit.
        count: units at most.
        own: names of the modalities that its units may have.
        ends: names of the modalities that end it, where the network says the length.
        least: units before it may end.
        hidden: whether the network says the kind, too: blanks then name neither kind nor place.
    """

    output: OutputSpec
    first: int
    count: int
    own: tuple[str, ...]
    ends: tuple[str, ...] = ()
    least: int = 1
    hidden: bool = False

    @property
    def open(self):
        """Whether the network says where it ends."""
        return self.output.shape is None

    @property
    def decoded(self):
        """Whether the network says the places, too."""
        return self.open and not self.output.flat

    @property
    def allowed(self):
        """Names of the modalities that may be decided for."""
        return self.own + (self.ends if self.open else ())

    def shown(self, positions):
        """How many blanks a context of so many positions holds for it: its `end`'s among them."""
        if self.hidden or self.decoded:
            return positions - self.first
        return min(self.count + 1, positions - self.first)

    def blanks(self, positions, item, tokenizer):
        """Those blanks, int32 `[shown, 8]`, as in training."""
        shown, output = self.shown(positions), self.output
        if self.hidden or self.decoded:
            rows = np.zeros((shown, WIDTH), "int32")
            rows[:, MODALITY] = BLANK
            return rows
        if output.flat:
            return tokenizer.blanks(output.kind, (shown,), item)
        rows = tokenizer.blanks(output.kind, output.shape, item)
        return np.vstack([rows, tokenizer.end_blank(output.kind, output.shape, item)])[:shown]

    def strides(self):
        """What tells the place of unit i, `i // steps % sizes`: steps and sizes, `[3]` each."""
        if self.open or self.output.flat:
            return (1, 1, 1), (LARGEST, 1, 1)
        shape = self.output.shape
        missing = [1] * (3 - len(shape))
        steps = [math.prod(shape[k + 1 :]) for k in range(len(shape))]
        return [*steps, *missing], [LARGEST, *shape[1:], *missing]


def written(writer, contexts, asks, tokenizer, settings, batch):
    """Runs a writer on contexts.

    Args:
        writer: `TurnWriter` or `BlankWriter`, as `writer_of` gives it.
        contexts: list of `Context`.
        asks: list of `OutputRequest`, one each.
        tokenizer: `mdnn.tokens.item_tokenizer.ItemTokenizer`.
        settings: `mdnn.generation.presets.Settings`.
        batch: int, contexts that are run together.

    Returns:
        List of `(rows, stopped)`: int32 `[units, 8]`, and the index of the modality that ended
        them, 0 for none.
    """
    found = []
    # Few sizes of batches, so that a writer is compiled few times.
    size = 1 if len(asks) == 1 else max(8, 2 ** math.ceil(math.log2(min(batch, len(asks)))))
    for start in range(0, len(asks), batch):
        part = slice(start, start + batch)
        found += _written(writer, contexts[part], asks[part], tokenizer, settings, size)
    return found


def _written(writer, contexts, asks, tokenizer, settings, size):
    turn, heads = isinstance(writer, TurnWriter), writer.heads.modalities
    inputs = {
        "tokens": np.zeros((size, writer.positions, WIDTH), "int32"),
        "first": np.ones(size, "int32"),
        "own": np.ones((size, len(heads)), "int32"),
        "allowed": np.ones((size, len(heads)), "int32"),
        "temperature": np.full(size, settings.temperature, "float32"),
        "top_k": np.full(size, settings.top_k, "int32"),
        "top_p": np.full(size, settings.top_p, "float32"),
    }
    for name in ("count", "least", "item", "decoded", "seed"):
        inputs[name] = np.zeros(size, "int32")
    if turn:
        inputs |= {name: np.ones((size, 3), "int32") for name in ("steps", "sizes")}
    else:
        inputs["ask"] = np.zeros((size, writer.units, WIDTH), "int32")
        inputs["shown"] = np.zeros(size, "int32")
        inputs["num_denoising_steps"] = np.full(size, settings.num_denoising_steps, "int32")
    for n, (context, ask) in enumerate(zip(contexts, asks, strict=True)):
        inputs["tokens"][n] = context.rows
        inputs["first"][n], inputs["count"][n] = ask.first, ask.count
        inputs["item"][n], inputs["seed"][n] = len(context.items), context.seed
        inputs["least"][n], inputs["decoded"][n] = ask.least, ask.decoded
        for name in ("own", "allowed"):
            inputs[name][n] = [modal in getattr(ask, name) for modal in heads]
        if turn:
            inputs["steps"][n], inputs["sizes"][n] = ask.strides()
            continue
        inputs["shown"][n] = shown = ask.shown(writer.positions)
        inputs["ask"][n, :shown] = ask.blanks(writer.positions, len(context.items), tokenizer)
        if ask.open and not ask.hidden:
            # One more than there may be units, for the `end`.
            inputs["count"][n] = min(ask.count + 1, shown)
    found = writer.predict_on_batch(inputs)
    found = {name: np.asarray(value) for name, value in found.items()}
    results = []
    for n, ask in enumerate(asks):
        units = min(int(found["written"][n]), ask.count)
        rows = found["tokens"][n, ask.first :] if turn else found["rows"][n]
        stopped = int(found["stopped"][n])
        # Blanks are ended by `end` alone.
        results.append((rows[:units].copy(), stopped if turn else stopped * END))
    return results


@functools.lru_cache(maxsize=32)
def writer_of(kind, model, **how):
    """A writer of a model, kept: compiling takes longer than most answers.

    Args:
        kind: `TurnWriter` or `BlankWriter`.
        model: a network as `mdnn.build` makes it.
        **how: the writer's other arguments.
    """
    return kind(model, **how)
