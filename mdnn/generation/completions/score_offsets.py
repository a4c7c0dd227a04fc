"""Adds offsets to the log-probabilities of single tokens, inside the compiled decoding loop."""

import math

import numpy as np
from keras import ops

from mdnn.generation.completions.token_picker import token_steps
from mdnn.tokens.modalities import modality

_LEAST_PREFIXES = 64
"""Least size of tables; larger ones are this times a power of four, so that few are compiled."""

TABLES = ("offset_prefixes", "offset_counts", "offset_biases")
"""Beginnings of the names of the tables; the name of the modality follows."""


class ScoreOffsets:
    """Computes the offsets of the scores of each context's next token: biases and penalties.

    A token y with log-probability log p(y) gets log p(y) + o(y), normalized again, with
    `o(y) = bias(y) - frequency * count(y) - presence * (count(y) > 0)`, where `count(y)` is how
    often the text has y already. The classes of a step get `log E[exp(o(y))]`, the expectation over
    the tokens y that begin with the class. So the result is exact also for tokens that are decided
    in several steps, at temperature 1; at other temperatures each step is sampled at it.

    Only tokens that begin as some token with an offset does are looked at: a prefix is all steps of
    a token but the last, one number; a table holds the offsets of all tokens of a prefix.

    Args:
        heads: `mdnn.layers.modality_heads.ModalityHeads` without coordinates.
        hidden: float `[batch, width]`, inputs of the heads.
        tables: dict of tensors, whose names and shapes `offset_tables` says.
        presence, frequency: float32 `[batch]`.
    """

    def __init__(self, heads, hidden, tables, presence, frequency):
        self.steps, self.tables, self.kinds = token_steps(heads), tables, {}
        several = len(heads.modalities) > 1
        penalties = presence[:, None], frequency[:, None]
        for name, steps in steps_by_kind(self.steps).items():
            own = [tables[f"{table}_{name}"] for table in TABLES]
            self.kinds[name] = _KindOffsets(heads, hidden, steps, own, penalties, several)

    def __call__(self, index, answers):
        """Returns the offsets of the scores of a step, float32 `[batch, classes]`.

        Args:
            index: int, the step's index in `token_steps`.
            answers: list of int32 `[batch]`, the classes of the steps before it.
        """
        name, step = self.steps[index]
        if name is None:
            names = {modality(name).index: kind for name, kind in self.kinds.items()}
            return ops.stack([names[value].total for value in step.values], axis=-1)
        before = [
            answer for (other, _), answer in zip(self.steps, answers, strict=False) if other == name
        ]
        return self.kinds[name].lift(len(before), before)

    def next_tables(self, token, is_new):
        """Returns the tables after a token has been written.

        Args:
            token: int32 `[batch, 4]`, modality and bytes.
            is_new: bool `[batch]`, whether the token was written; otherwise it is of a prompt.
        """
        after = {}
        for name, kind in self.kinds.items():
            belongs = ops.logical_and(is_new, ops.equal(token[:, 0], modality(name).index))
            prefixes, counts, biases = (f"{table}_{name}" for table in TABLES)
            after[prefixes], after[counts] = kind.counted(token, belongs)
            after[biases] = self.tables[biases]
        return after


class _KindOffsets:
    """Computes the offsets of the tokens of one modality.

    Args:
        heads, hidden: see `ScoreOffsets`.
        steps: list of `DecodingStep` of the modality.
        tables: the prefixes, counts and biases of the modality, see `offset_tables`.
        penalties: presence and frequency, float32 `[batch, 1]` each.
        several: bool, whether there are other modalities, so that `total` is needed.

    Attributes:
        total: float32 `[batch]`, `log E[exp(o(y))]` over all tokens y of the modality.
    """

    def __init__(self, heads, hidden, steps, tables, penalties, several):
        self.heads, self.hidden, self.steps, self.penalties = heads, hidden, steps, penalties
        self.prefixes, self.counts, self.biases = tables
        self.used = self.prefixes >= 0
        self.size, self.last = self.prefixes.shape[1], len(steps) - 1
        rest, self.digits = ops.maximum(self.prefixes, 0), []
        for step in reversed(steps[1:-1]):
            self.digits.insert(0, rest % step.classes)
            rest = rest // step.classes
        if self.last:
            self.digits.insert(0, rest)
        # `log E[exp(o(y))]` over the tokens that begin with the first steps of each prefix.
        self.values = {}
        for level in range(self.last, 0, -1):
            self.values[level] = self._values(level)
        self.total = self._value(0, []) if several else None

    def _values(self, level):
        """Returns the values of the first `level` steps of each prefix, float32 `[batch, size]`."""
        count = ops.max(ops.sum(ops.cast(self.used, "int32"), axis=1))
        number = ops.arange(self.size, dtype="int32")[None]

        def next_prefix(k, values):
            before = [ops.take(digits, k, axis=1) for digits in self.digits[:level]]
            value = self._value(level, before)[:, None]
            return k + 1, ops.where(ops.equal(number, k), value, values)

        start = ops.zeros_like(count), ops.zeros_like(ops.cast(self.prefixes, "float32"))
        return ops.while_loop(lambda k, _: k < count, next_prefix, start)[1]

    def _value(self, level, before):
        """Returns `log E[exp(o(y))]` over the tokens y that begin with `before`, `[batch]`."""
        names = (step.name for step in self.steps)
        answers = dict(zip(names, before, strict=False))
        scores = self.heads.scores_of(self.steps[level], self.hidden, answers)
        scores = ops.log_softmax(ops.cast(scores, "float32"), axis=-1)
        return ops.logsumexp(scores + self.lift(level, before), axis=-1)

    def lift(self, level, before):
        """Returns the offsets of the scores of step `level`, float32 `[batch, classes]`.

        Args:
            level: int, the number of the step.
            before: list of int32 `[batch]`, the classes of the steps before it.
        """
        same = self.used
        for digits, answer in zip(self.digits, before, strict=False):
            same = ops.logical_and(same, ops.equal(digits, answer[:, None]))
        batch = ops.arange(ops.shape(same)[0], dtype="int32")
        classes = self.steps[level].classes
        if level == self.last:
            index = batch * self.size + ops.cast(ops.argmax(ops.cast(same, "int32"), 1), "int32")
            tables = (self.counts, self.biases)
            rows = [ops.take(ops.reshape(table, (-1, classes)), index, axis=0) for table in tables]
            offsets = self._offsets(*rows)
            return ops.where(ops.any(same, axis=1, keepdims=True), offsets, 0.0)
        # One class more, for prefixes that begin otherwise. Prefixes that begin alike have the same
        # value, so that it does not matter which of them is written.
        index = ops.where(same, self.digits[level], classes) + batch[:, None] * (classes + 1)
        nothing = ops.zeros_like(ops.repeat(batch, classes + 1), "float32")
        values = ops.reshape(self.values[level + 1], (-1,))
        lifted = ops.scatter_update(nothing, ops.reshape(index, (-1, 1)), values)
        return ops.reshape(lifted, (-1, classes + 1))[:, :classes]

    def _offsets(self, counts, biases):
        """Returns the offsets of tokens, float32 `[batch, classes]`, from their counts."""
        presence, frequency = self.penalties
        return biases - frequency * counts - presence * ops.cast(counts > 0, "float32")

    def counted(self, token, belongs):
        """Returns the prefixes and counts after a token; see `ScoreOffsets.next_tables`."""
        *before, cell = (step.answer(token) for step in self.steps)
        number = ops.zeros_like(cell)
        for step, digit in zip(self.steps, before, strict=False):
            number = number * step.classes + digit
        same = ops.equal(self.prefixes, number[:, None])
        free = ops.sum(ops.cast(self.used, "int32"), axis=1)
        slot = ops.cast(ops.argmax(ops.cast(same, "int32"), axis=1), "int32")
        slot = ops.where(ops.any(same, axis=1), slot, ops.minimum(free, self.size - 1))
        here = ops.equal(ops.arange(self.size, dtype="int32")[None], slot[:, None])
        here = ops.logical_and(here, belongs[:, None])
        prefixes = ops.where(here, number[:, None], self.prefixes)
        batch, classes = ops.arange(ops.shape(slot)[0], dtype="int32"), self.steps[-1].classes
        index = (batch * self.size + slot) * classes + cell
        flat = ops.reshape(self.counts, (-1,))
        values = ops.take(flat, index, axis=0) + ops.cast(belongs, "float32")
        flat = ops.scatter_update(flat, index[:, None], values)
        return prefixes, ops.reshape(flat, (-1, self.size, classes))


def steps_by_kind(steps):
    """Returns the steps of each modality, a dict of lists, from those of `token_steps`."""
    kinds = {}
    for name, step in steps:
        if name is not None:
            kinds.setdefault(name, []).append(step)
    return kinds


def offset_tables(heads, tokenizer, requests):
    """Returns the tables of `ScoreOffsets` before the first token.

    Args:
        heads: see `ScoreOffsets`.
        tokenizer: the tokenizer of the network's texts.
        requests: list of `mdnn.generation.completions.completion.CompletionRequest`.

    Returns:
        dict of arrays for each modality: `offset_prefixes_*` int32 `[batch, size]`, the prefixes
        that have offsets, -1 after them; `offset_counts_*` float32 `[batch, size, classes]`,
        zeros; `offset_biases_*`, the same shape.
    """
    tables = {}
    for name, steps in steps_by_kind(token_steps(heads)).items():
        biases = [_biases(name, steps, tokenizer, request.logit_bias) for request in requests]
        # A token that is written has at most one prefix that is new.
        most = max(len(of) + r.max_tokens for of, r in zip(biases, requests, strict=True))
        every = math.prod(step.classes for step in steps[:-1])
        size = min(every, _LEAST_PREFIXES)
        while size < min(most, every):
            size = min(size * 4, every)
        shape = len(requests), size
        prefixes, values = np.full(shape, -1, "int32"), (*shape, steps[-1].classes)
        values = np.zeros(values, "float32")
        if len(steps) == 1:
            prefixes[:] = 0
        for row, of_row in enumerate(biases):
            for slot, (prefix, cells) in enumerate(of_row.items()):
                prefixes[row, slot] = prefix
                for cell, bias in cells:
                    values[row, slot, cell] = bias
        arrays = prefixes, np.zeros_like(values), values
        tables |= {f"{table}_{name}": array for table, array in zip(TABLES, arrays, strict=True)}
    return tables


def _biases(name, steps, tokenizer, logit_bias):
    """Returns the biases of tokens of a modality: a dict from prefixes to lists of pairs."""
    if not logit_bias:
        return {}
    ids, biases = zip(*logit_bias, strict=True)
    tokens = tokenizer.tokens(np.array(ids))
    digits = [ops.convert_to_numpy(step.answer(ops.convert_to_tensor(tokens))) for step in steps]
    prefixes = np.zeros(len(ids), int)
    for step, digit in zip(steps[:-1], digits, strict=False):
        prefixes = prefixes * step.classes + digit
    tables = {}
    for k in np.flatnonzero(tokens[:, 0] == modality(name).index):
        tables.setdefault(int(prefixes[k]), []).append((int(digits[-1][k]), float(biases[k])))
    return tables
