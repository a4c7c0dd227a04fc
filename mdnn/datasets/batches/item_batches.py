"""Batches of items as a pure function of (seed, step), and all items once for validation."""

import dataclasses

import numpy as np

from mdnn.datasets.batches.item_contexts import WORDS, ItemContexts, positions_needed
from mdnn.datasets.batches.objectives import OBJECTIVES, normalised, objective_at, objective_weights
from mdnn.datasets.batches.text_batches import StepBatches
from mdnn.datasets.items.augment import DRAWS as VARY_DRAWS
from mdnn.datasets.items.example import load
from mdnn.datasets.random_bits import BATCH, BLANKS, VALIDATION, VARIED, raw_bits
from mdnn.errors import MdnnError


class ItemBatches(StepBatches):
    """Random contexts of items, each batch a pure function of the seed and the step.

    `at(step)` needs no earlier batch, so training resumes exactly and several workers need no
    coordination. Each context is a line drawn at random, all equally often, its items in the
    order that `order` says; the last is the answer. All items are counted, so read, at the
    beginning.

    Can be given to `model.fit` (see `StepBatches`); a network that is to train ways that see the
    whole context needs a loop that asks for `objective(step)`.

    Args:
        lines: List of `mdnn.datasets.items.example.Example`.
        tokenizer: `mdnn.tokens.item_tokenizer.ItemTokenizer`.
        context: `mdnn.config.data_tables.Context`: positions, padding, align.
        batch: Integer, contexts of a batch.
        seed: Integer.
        objectives: `mdnn.config.training_tables.Objectives`, how often each way to write is
            trained.
        order: `"given"`, `"any"` or `"pairs"` (see `Example.draw`).
        cut: Boolean; whether items that do not fit are cut.
        prompt_weight: Float, what a unit that is not the answer's weighs, in turn; with 0 it is no
            target.
        steps: Integer, batches of an epoch; `None` for as many as hold about as many contexts as
            the lines' longest parts have alternatives.
        first_step: Integer, the step of the first epoch's first batch.
        repeat: Boolean; `True` gives every epoch the same batches.
        hide: Boolean; whether some answers are asked for without their modality and places (for
            networks that answer places).
        augment: `mdnn.config.data_tables.Augment`: how much the items of a prompt are changed at
            random.
        **kwargs: Passed on to `keras.utils.PyDataset`.

    Raises:
        MdnnError: If there is no line, the largest draw of one does not fit the context (and
            `cut` is not set), a line cannot have the order, a file cannot be read, or an argument
            is out of its range.

    Example:

    >>> corpus = open_dataset("digits")
    >>> batches = ItemBatches(
    ...     corpus.train, ItemTokenizer(), Context((8, 16)), 12, 0, Objectives(parallel=1.0), "any"
    ... )
    >>> batches.objective(7), batches.at(7)["tokens"].shape
    ('parallel', (12, 128, 8))
    """

    def __init__(
        self,
        lines,
        tokenizer,
        context,
        batch,
        seed,
        objectives,
        order="given",
        cut=False,
        prompt_weight=1.0,
        steps=None,
        first_step=0,
        repeat=False,
        hide=False,
        augment=None,
        **kwargs,
    ):
        for name, value in (("batch", batch), ("steps", steps)):
            if value is not None and value < 1:
                raise MdnnError(f"{name} must be at least 1; received {value}")
        if not prompt_weight >= 0:
            raise MdnnError(f"prompt_weight must be at least 0; received {prompt_weight}")
        objective_weights(objectives)
        longest = check_fit(lines, tokenizer, context, order, cut)
        steps = steps or max(1, sum(map(_rounds, lines)) // batch)
        super().__init__(steps, first_step, repeat, **kwargs)
        self.lines = list(lines)
        self.batch, self.seed, self.order = int(batch), int(seed), order
        self.objectives = objectives
        self.augment = augment
        self.contexts = ItemContexts(tokenizer, context, cut, prompt_weight, hide, longest, augment)
        self._draws = max(line.draws for line in self.lines)

    def objective(self, step):
        """Returns `"autoregressive"`, `"parallel"` or `"masked_diffusion"`: what a step trains."""
        return objective_at(self.seed, step, self.objectives)

    def at(self, step):
        """Returns the batch of a step.

        Args:
            step: Integer from 0.

        Returns:
            A dictionary: `"tokens"`, int32 `[batch, positions, 8]`; `"targets"`, the same,
            at position s the right row of position s + 1, zeros where nothing is to be answered;
            and `"weights"`, float32 `[batch, positions]`, whose mean over the targets is 1.
        """
        objective, number = self.objective(step), self.batch
        bits = raw_bits(self.seed, step, (number, 1 + WORDS + self._draws), BATCH)
        keys = None
        if objective == "masked_diffusion":
            keys = raw_bits(self.seed, step, (number, self.contexts.positions), BLANKS)
        chosen = (bits[:, 0] % np.uint64(len(self.lines))).tolist()
        drawn = [
            self.lines[line].draw(own, self.order)[0]
            for line, own in zip(chosen, bits[:, 1 + WORDS :], strict=True)
        ]
        varied = None
        if self.augment is not None and any(dataclasses.astuple(self.augment)):
            most = max(len(line.parts) for line in self.lines)
            varied = raw_bits(self.seed, step, (number, most, VARY_DRAWS), VARIED)
        tokens, targets, weights = self.contexts.fill(
            drawn, objective, bits[:, 1:], keys, varied=varied
        )
        weights = normalised(weights, targets)
        return {"tokens": tokens, "targets": targets, "weights": weights}


def item_windows(
    lines,
    tokenizer,
    context,
    batch,
    objective="autoregressive",
    seed=0,
    order="given",
    cut=False,
    hide=False,
    most=None,
):
    """Yields batches in which every alternative of every line comes, the same ones each time.

    A line takes as many contexts as its longest part has alternatives; shorter parts begin again
    from their first. With `order="pairs"` each of its pairs does, with `"any"` the order is
    drawn. Contexts begin at their first position. What is blank depends on the seed and the
    context's number alone.

    Args:
        lines: List of `mdnn.datasets.items.example.Example`.
        tokenizer: `mdnn.tokens.item_tokenizer.ItemTokenizer`.
        context: `mdnn.config.data_tables.Context`.
        batch: Integer, contexts of a batch. The last batch is filled with padding.
        objective: `"autoregressive"`, `"parallel"` or `"masked_diffusion"`.
        seed: Integer.
        order: `"given"`, `"any"` or `"pairs"`.
        cut: Boolean; whether items that do not fit are cut.
        hide: As in `ItemBatches`.
        most: Integer, contexts to yield at most, from all over the lines; `None` for all.

    Yields:
        Dictionaries: `"tokens"` and `"targets"` int32 `[batch, positions, 8]`, `"counted"`
        boolean `[batch, positions]`, and `"weights"`, float32 of that shape: 1 where
        counted, with `"masked_diffusion"` the inverse share of the blanks, 0 elsewhere. The mean
        nats of a unit are sum(weights * nats) / sum(weights) over all batches.

    Raises:
        MdnnError: As `ItemBatches`.
    """
    if objective not in OBJECTIVES:
        raise MdnnError(f"expected an objective: {', '.join(OBJECTIVES)}; received {objective!r}")
    for name, value in (("batch", batch), ("most", most)):
        if value is not None and value < 1:
            raise MdnnError(f"{name} must be at least 1; received {value}")
    longest = check_fit(lines, tokenizer, context, order, cut)
    contexts = ItemContexts(tokenizer, context, cut, hide=hide, longest=longest)
    plan = list(planned_contexts(lines, order))
    if most is not None and len(plan) > most:
        plan = [plan[number * len(plan) // most] for number in range(most)]
    return _item_windows(plan, contexts, batch, objective, seed, order)


def planned_contexts(lines, order):
    """Yields the contexts in which every alternative of every line comes.

    Yields:
        `(line, turn, pair)`: the line, the number of the alternatives, the numbers of the parts.
    """
    for line in lines:
        for pair in line.pairs if line.order_of(order) == "pairs" else (range(len(line.parts)),):
            for turn in range(max(len(line.parts[part]) for part in pair)):
                yield line, turn, pair


def _item_windows(plan, contexts, batch, objective, seed, order):
    """Yields what `item_windows` promises; apart, so that its errors come first."""
    for start in range(0, len(plan), batch):
        drawn, bits = [], []
        for number, (line, turn, pair) in enumerate(plan[start : start + batch], start):
            own = raw_bits(seed, number, WORDS + contexts.positions + len(pair), VALIDATION)
            bits.append(own[: WORDS + contexts.positions])
            if line.order_of(order) == "any":
                pair = np.argsort(own[WORDS + contexts.positions :], kind="stable").tolist()
            parts = [line.parts[part] for part in pair]
            drawn.append([load(part[turn % len(part)]) for part in parts])
        bits = np.array(bits)
        tokens, targets, weights = contexts.fill(
            drawn, objective, bits[:, :WORDS], bits[:, WORDS:], padding="none"
        )
        counted = targets[..., 0] != 0
        weights = np.where(counted, weights, 0.0).astype(np.float32)
        missing = batch - len(drawn)
        yield {
            name: np.concatenate([rows, np.zeros((missing, *rows.shape[1:]), rows.dtype)])
            for name, rows in (
                ("tokens", tokens),
                ("targets", targets),
                ("counted", counted),
                ("weights", weights),
            )
        }


def check_fit(lines, tokenizer, context, order="given", cut=False):
    """Counts all items, and refuses lines whose largest draw does not fit the context.

    Args:
        lines: List of `mdnn.datasets.items.example.Example`.
        tokenizer: `mdnn.tokens.item_tokenizer.ItemTokenizer`.
        context: `mdnn.config.data_tables.Context`.
        order: `"given"`, `"any"` or `"pairs"`.
        cut: Boolean; whether items that do not fit are cut: nothing is refused then.

    Returns:
        A dictionary from kinds of items to the units of the longest.

    Raises:
        MdnnError: If a draw does not fit, naming its line and its largest item; if there is no
            line, or a line cannot have the order; if an item cannot be read.
    """
    if not lines:
        raise MdnnError("expected at least one line of items; received none")
    longest = {}
    for line in lines:
        own = line.order_of(order)
        line.check(own)
        largest = [_largest(part, tokenizer, longest) for part in line.parts]
        if cut:
            continue
        counts = [count for count, _ in largest]
        chosen = max(
            _orders(line, own, counts, context.pad_to_multiple_of),
            key=lambda parts: positions_needed(
                [counts[part] for part in parts], context.pad_to_multiple_of
            ),
        )
        needed = positions_needed([counts[part] for part in chosen], context.pad_to_multiple_of)
        if needed > context.positions:
            count, item = max((largest[part] for part in chosen), key=lambda pair: pair[0])
            raise MdnnError(
                f"{line.name or 'a line'}: its items and the end take up to {needed} positions, a "
                f"context has {context.positions}; the largest item, {item.name or item.kind}, has "
                f"{count} units"
            )
    return longest


def _largest(part, tokenizer, longest):
    """Returns the units of a part's longest alternative, and it; raises `longest` by kind."""
    most, largest = -1, None
    for entry in part:
        item = load(entry)
        count = tokenizer.count(item)
        if item.kind == "audio" and item.rate not in (None, tokenizer.rate):
            tokenizer.tokens(item)  # says what is wrong
        longest[item.kind] = max(longest.get(item.kind, 0), count)
        if count > most:
            most, largest = count, item
    return most, largest


def _orders(line, order, counts, align):
    """Returns orders of a line's parts, among them the one that takes the most positions."""
    if order == "pairs":
        return line.pairs
    parts = list(range(len(counts)))
    if order == "given":
        return [parts]
    # only the item that comes last is not followed by padding up to a multiple of align
    return [[*parts[:last], *parts[last + 1 :], last] for last in parts]


def _rounds(line):
    """Returns how many contexts hold every alternative of a line."""
    return max(map(len, line.parts))
