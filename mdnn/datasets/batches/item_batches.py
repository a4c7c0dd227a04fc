"""Builds batches of items as pure functions of (seed, step), and validation contexts."""

import numpy as np

from mdnn.config.data_tables import Augment
from mdnn.datasets.batches.context_plan import planned_contexts
from mdnn.datasets.batches.item_contexts import WORDS, ItemContexts, positions_needed
from mdnn.datasets.batches.objectives import OBJECTIVES, normalised, objective_at, objective_weights
from mdnn.datasets.batches.step_batches import StepBatches
from mdnn.datasets.items.augment import DRAWS as VARY_DRAWS
from mdnn.datasets.items.example import load_item
from mdnn.datasets.items.example_sequence import remembered
from mdnn.datasets.random_bits import BATCH, MASKS, VALIDATION, VARIED, raw_bits
from mdnn.errors import MdnnError


class ItemBatches(StepBatches):
    """Builds batches of random contexts of items, pure functions of the seed and the step.

    `at(step)` does not depend on earlier batches, so training resumes exactly and workers need no
    coordination. Each context is an example drawn uniformly, with its items in the order of
    `order`; the last item is the answer. All items are read once on construction to count their
    tokens.

    Can be passed to `model.fit` (see `StepBatches`). Training `parallel` or `masked_diffusion`
    needs a training loop that calls `objective(step)`.

    Args:
        examples: sequence of `mdnn.datasets.items.example.Example`.
        tokenizer: `mdnn.tokens.item_tokenizer.ItemTokenizer`.
        context: `mdnn.config.data_tables.Context`: positions, padding, alignment.
        batch_size: int, contexts per batch.
        seed: int.
        objectives: `mdnn.config.training_tables.Objectives`, the training shares of the decoding
            modes.
        order: `"given"`, `"any"` or `"pairs"` (see `Example.draw`).
        truncate: bool, whether to truncate items that do not fit.
        prompt_weight: float, loss weight of prompt tokens in `autoregressive` training; with 0
            they are not targets.
        steps: int, batches per epoch; `None` for about as many contexts as the examples'
            longest parts have alternatives.
        first_step: int, the step of the first epoch's first batch.
        repeat: bool; `True` repeats the same batches in every epoch.
        hide: bool, whether some answers are masked without modality and coordinates (for
            networks that predict coordinates).
        augment: `mdnn.config.data_tables.Augment`, the random changes of items.
        **kwargs: Arguments of `keras.utils.PyDataset`.

    Raises:
        MdnnError: there is no example, the largest draw of one does not fit the context (and
            `truncate` is `False`), an example does not support the order, a file cannot be read,
            or an argument is out of range.

    Example:

    >>> splits = open_dataset("digits")
    >>> batches = ItemBatches(
    ...     splits.train, ItemTokenizer(), Context((8, 16)), 12, 0, Objectives(parallel=1.0), "any"
    ... )
    >>> batches.objective(7), batches.at(7)["tokens"].shape
    ('parallel', (12, 128, 8))
    """

    def __init__(
        self,
        examples,
        tokenizer,
        context,
        batch_size,
        seed,
        objectives,
        order="given",
        truncate=False,
        prompt_weight=1.0,
        steps=None,
        first_step=0,
        repeat=False,
        hide=False,
        augment=None,
        **kwargs,
    ):
        for name, value in (("batch_size", batch_size), ("steps", steps)):
            if value is not None and value < 1:
                raise MdnnError(f"{name} must be at least 1; received {value}")
        if not prompt_weight >= 0:
            raise MdnnError(f"prompt_weight must be at least 0; received {prompt_weight}")
        objective_weights(objectives)
        longest = check_lengths(examples, tokenizer, context, order, truncate)
        steps = steps or max(1, sum(map(_rounds, examples)) // batch_size)
        parts = max(len(example.parts) for example in examples)
        super().__init__(steps, first_step, repeat, **kwargs)
        self.examples = examples
        self.batch_size, self.seed, self.order = int(batch_size), int(seed), order
        self.objectives = objectives
        self.augment = augment
        self.contexts = ItemContexts(
            tokenizer, context, truncate, prompt_weight, hide, longest, augment
        )
        self._draws, self._most_parts = 2 * parts, parts

    def objective(self, step):
        """Returns a step's objective: autoregressive, parallel or masked_diffusion."""
        return objective_at(self.seed, step, self.objectives)

    def at(self, step):
        """Returns the batch of a step.

        Args:
            step: int from 0.

        Returns:
            A dictionary: `"tokens"`, int32 `[batch, positions, 8]`; `"targets"`, of the same
            shape, at position s the token of position s + 1, zeros at positions without a target;
            and `"weights"`, float32 `[batch, positions]`, with mean 1 over the targets.
        """
        objective, number = self.objective(step), self.batch_size
        bits = raw_bits(self.seed, step, (number, 1 + WORDS + self._draws), BATCH)
        keys = None
        if self.contexts.needs_keys(objective):
            keys = raw_bits(self.seed, step, (number, self.contexts.positions), MASKS)
        chosen = (bits[:, 0] % np.uint64(len(self.examples))).tolist()
        drawn = [
            self.examples[index].draw(words, self.order)[0]
            for index, words in zip(chosen, bits[:, 1 + WORDS :], strict=True)
        ]
        varied = None
        if self.augment is not None and self.augment != Augment():
            shape = (number, self._most_parts, VARY_DRAWS)
            varied = raw_bits(self.seed, step, shape, VARIED)
        tokens, targets, weights = self.contexts.fill(
            drawn, objective, bits[:, 1:], keys, varied=varied
        )
        weights = normalised(weights, targets)
        return {"tokens": tokens, "targets": targets, "weights": weights}


def item_windows(
    examples,
    tokenizer,
    context,
    batch_size,
    objective="autoregressive",
    seed=0,
    order="given",
    truncate=False,
    hide=False,
    most=None,
):
    """Yields validation batches that include every alternative of every example.

    An example has as many contexts as its longest part has alternatives; shorter parts are
    repeated. With `order="pairs"` this holds for each pair, with `"any"` the order is random.
    Contexts have no padding before the first item. Mask tokens depend only on the seed and the
    index of the context, so all calls yield the same batches.

    Args:
        examples: sequence of `mdnn.datasets.items.example.Example`.
        tokenizer: `mdnn.tokens.item_tokenizer.ItemTokenizer`.
        context: `mdnn.config.data_tables.Context`.
        batch_size: int, contexts per batch. The last batch is filled with padding.
        objective: `"autoregressive"`, `"parallel"` or `"masked_diffusion"`.
        seed: int.
        order: `"given"`, `"any"` or `"pairs"`.
        truncate: bool, whether to truncate items that do not fit.
        hide: As in `ItemBatches`.
        most: int, maximum number of contexts, spread evenly over the examples; `None` for all.

    Yields:
        Dictionaries: `"tokens"` and `"targets"` int32 `[batch, positions, 8]`, `"counted"`
        boolean `[batch, positions]`, and `"weights"`, float32 of that shape: 1 at counted
        positions (with `"masked_diffusion"` the inverse of the masked share), 0 elsewhere. The
        loss per token is sum(weights * losses) / sum(weights) over all batches.

    Raises:
        MdnnError: as in `ItemBatches`.
    """
    if objective not in OBJECTIVES:
        raise MdnnError(f"expected an objective: {', '.join(OBJECTIVES)}; received {objective!r}")
    for name, value in (("batch_size", batch_size), ("most", most)):
        if value is not None and value < 1:
            raise MdnnError(f"{name} must be at least 1; received {value}")
    longest = check_lengths(examples, tokenizer, context, order, truncate)
    contexts = ItemContexts(tokenizer, context, truncate, hide=hide, longest=longest)
    plan = planned_contexts(examples, order)
    numbers = range(len(plan))
    if most is not None and len(plan) > most:
        numbers = [number * len(plan) // most for number in range(most)]
    return _item_windows(plan, numbers, contexts, batch_size, objective, seed, order)


def _item_windows(plan, numbers, contexts, batch_size, objective, seed, order):
    """Yields the batches; a separate generator, so that `item_windows` validates when called."""
    for start in range(0, len(numbers), batch_size):
        drawn, bits = [], []
        for number, index in enumerate(numbers[start : start + batch_size], start):
            example, turn, pair = plan[index]
            words = raw_bits(seed, number, WORDS + contexts.positions + len(pair), VALIDATION)
            bits.append(words[: WORDS + contexts.positions])
            if example.order_of(order) == "any":
                pair = np.argsort(words[WORDS + contexts.positions :], kind="stable").tolist()
            parts = [example.parts[part] for part in pair]
            drawn.append([load_item(part[turn % len(part)]) for part in parts])
        bits = np.array(bits)
        tokens, targets, weights = contexts.fill(
            drawn, objective, bits[:, :WORDS], bits[:, WORDS:], padding="none"
        )
        counted = targets[..., 0] != 0
        weights = np.where(counted, weights, 0.0).astype(np.float32)
        missing = batch_size - len(drawn)
        yield {
            name: np.concatenate([rows, np.zeros((missing, *rows.shape[1:]), rows.dtype)])
            for name, rows in (
                ("tokens", tokens),
                ("targets", targets),
                ("counted", counted),
                ("weights", weights),
            )
        }


def check_lengths(examples, tokenizer, context, order="given", truncate=False):
    """Counts the tokens of all items and refuses examples that do not fit the context.

    Args:
        examples: sequence of `mdnn.datasets.items.example.Example`.
        tokenizer: `mdnn.tokens.item_tokenizer.ItemTokenizer`.
        context: `mdnn.config.data_tables.Context`.
        order: `"given"`, `"any"` or `"pairs"`.
        truncate: bool; `True` accepts examples that do not fit, since they are truncated.

    Returns:
        A dictionary from kinds to the token count of the longest item.

    Raises:
        MdnnError: a draw does not fit (the message names the example and its largest item),
            there is no example, one does not support the order, or an item cannot be read.
    """
    arguments = (tokenizer, context, order, truncate)
    return remembered(examples, ("fit", *arguments), lambda: _longest(examples, *arguments))


def _longest(examples, tokenizer, context, order, truncate):
    """Implements `check_lengths`; same arguments and result."""
    if not examples:
        raise MdnnError("expected at least one example; received none")
    longest = {}
    for example in examples:
        example_order = example.order_of(order)
        example.check(example_order)
        largest = [_largest(part, tokenizer, longest) for part in example.parts]
        if truncate:
            continue
        counts = [count for count, _ in largest]
        chosen = max(
            _orders(example, example_order, counts, context.pad_to_multiple_of),
            key=lambda parts: positions_needed(
                [counts[part] for part in parts], context.pad_to_multiple_of
            ),
        )
        needed = positions_needed([counts[part] for part in chosen], context.pad_to_multiple_of)
        if needed > context.positions:
            count, item = max((largest[part] for part in chosen), key=lambda pair: pair[0])
            raise MdnnError(
                f"{example.name or 'an example'}: its items and the end token need up to {needed} "
                f"positions, a context has {context.positions}; the largest item, "
                f"{item.name or item.kind}, has "
                f"{count} tokens"
            )
    return longest


def _largest(part, tokenizer, longest):
    """Returns the token count and the item of a part's longest alternative; updates `longest`."""
    most, largest = -1, None
    for entry in part:
        item = load_item(entry)
        count = tokenizer.count(item)
        if item.rate not in (None, tokenizer.rate):
            tokenizer.tokens(item)  # raises the error about the sample rate
        longest[item.kind] = max(longest.get(item.kind, 0), count)
        if count > most:
            most, largest = count, item
    return most, largest


def _orders(example, order, counts, align):
    """Returns orders of an example's parts that include the one with the most positions."""
    if order == "pairs":
        return example.pairs
    parts = list(range(len(counts)))
    if order == "given":
        return [parts]
    # Only the last item is not followed by padding to a multiple of `align`.
    return [[*parts[:last], *parts[last + 1 :], last] for last in parts]


def _rounds(example):
    """Returns the number of contexts that include every alternative of an example."""
    return max(map(len, example.parts))
