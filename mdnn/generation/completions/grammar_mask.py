"""Masks the classes that a grammar forbids, inside the compiled decoding loop."""

import functools

import numpy as np
from keras import ops

from mdnn.constraints.utf8_automaton import DEAD
from mdnn.errors import MdnnError
from mdnn.generation.completions.subword_grammar import subword_states
from mdnn.tokens.modalities import modality

_SIZES = {"states": 64, "classes": 32, "pages": 4}
"""Least sizes of tables; larger ones are this times a power of four, so that few are compiled."""


class GrammarTables:
    """The tables of an automaton for a decoder.

    Args:
        automaton: `mdnn.constraints.automaton.Automaton`.
        token_texts: sequence of str, the texts of tokens that are more than a character, in the
            order of their numbers; empty for characters alone.
        subwords: `mdnn.tokens.subwords.subword_tokenizer.SubwordTokenizer` of a network that writes
            subwords; `None` for others.

    Attributes:
        least: int, tokens of the shortest text.
        arrays: dict of arrays, inputs of `TextDecoder`: `grammar_next` int32 `[states, classes]`,
            `grammar_distance` int32 `[states]`, `grammar_pages` int32 `[4352]`, `grammar_classes`
            int32 `[pages, 256]`, and with token texts or subwords `grammar_tokens` int32 or int16
            `[states, tokens]`, the state after each token. Distances are numbers of tokens.
    """

    MAX_TOKEN_STATES = 1 << 26
    """Largest number of pairs of a state and a token."""

    def __init__(self, automaton, token_texts=(), subwords=None):
        self.automaton = automaton
        states, classes = automaton.next_states.shape
        after = None
        if subwords is not None:
            self._check_size(states, subwords.size)
            most = self.MAX_TOKEN_STATES // subwords.size
            after, token_distance = subword_states(automaton, subwords, most)
            states = len(after)
        # One more state, from which nothing leads on.
        rows = _padded_size(states + 1, _SIZES["states"])
        table = np.full((rows, _padded_size(classes, _SIZES["classes"])), DEAD, "int32")
        table[: automaton.states, :classes] = automaton.next_states
        distance = np.zeros(rows, "int32")
        distance[:states] = automaton.distance if after is None else token_distance
        pages = automaton.page_classes
        padded = np.zeros((_padded_size(len(pages), _SIZES["pages"]), pages.shape[1]), "int32")
        padded[: len(pages)] = pages
        self.arrays = {
            "grammar_next": table,
            "grammar_distance": distance,
            "grammar_pages": automaton.pages,
            "grammar_classes": padded,
        }
        if token_texts:
            self.arrays["grammar_tokens"] = self._token_states(table, token_texts)
        if after is not None:
            more = (0, rows - states), (0, 0)
            self.arrays["grammar_tokens"] = np.pad(after, more, constant_values=DEAD)
        self.least = int(distance[0])

    @functools.cached_property
    def tensors(self):
        """The arrays as tensors, converted once."""
        return {name: ops.convert_to_tensor(array) for name, array in self.arrays.items()}

    def _check_size(self, rows, tokens):
        if rows * tokens > self.MAX_TOKEN_STATES:
            raise MdnnError(
                f"this grammar has {self.automaton.states:,} states and the network {tokens:,} "
                f"words or subwords: expected at most {self.MAX_TOKEN_STATES:,} pairs of them"
            )

    def _token_states(self, table, texts):
        """Returns the state after each token, int32 `[states, tokens]`, tokens padded to 256s."""
        self._check_size(len(table), len(texts))
        classes = {c: self.automaton.class_of(c) for c in sorted(set("".join(texts)))}
        longest = max(map(len, texts))
        codes = np.full((len(texts), longest), -1, "int32")
        for number, text in enumerate(texts):
            codes[number, : len(text)] = [classes[c] for c in text]
        # The last state is dead and stays so.
        after = np.repeat(np.arange(len(table), dtype="int32")[:, None], len(texts), axis=1)
        follow = np.concatenate([table, np.full((1, table.shape[1]), DEAD, "int32")])
        for column in codes.T:
            after = np.where(column >= 0, follow[after, column], after)
        after[:, codes[:, 0] < 0] = DEAD
        return np.pad(after, ((0, 0), (0, -len(texts) % 256)), constant_values=DEAD)


def _padded_size(size, least):
    while least < size:
        least *= 4
    return least


class GrammarMask:
    """Restricts the next token of each context to those that a grammar allows.

    Args:
        steps: list as returned by `mdnn.generation.completions.token_picker.token_steps`.
        tables: dict of tensors, the arrays of `GrammarTables`.
        state: int32 `[batch]`, the state before the token.
        left: int32 `[batch]`, tokens that may still be written, this one included. Only characters
            are allowed from which an end can be reached with those that are left.
    """

    def __init__(self, steps, tables, state, left):
        self.steps, self.tables, self.left = steps, tables, left
        self.next = ops.take(tables["grammar_next"], state, axis=0)
        self.allowed = self._reachable(self.next)
        self.tokens = None
        if "grammar_tokens" in tables:
            tokens = ops.take(tables["grammar_tokens"], state, axis=0)
            self.tokens = ops.cast(tokens, "int32")
            self.allowed_tokens = self._reachable(self.tokens)

    def _reachable(self, states):
        distance = ops.take(self.tables["grammar_distance"], ops.maximum(states, 0), axis=0)
        return ops.logical_and(states >= 0, distance < self.left[:, None])

    def __call__(self, index, answers):
        """Returns the allowed classes of a step; see `TokenPicker`."""
        name, step = self.steps[index]
        if name is None:
            return self._modalities(step)
        before = [
            answer for (other, _), answer in zip(self.steps, answers, strict=False) if other == name
        ]
        if name == "subword":
            return self.allowed_tokens
        return (self._characters if name == "text" else self._numbers)(step, before)

    def _modalities(self, step):
        names = [name for name, _ in self.steps if name is not None]
        allowed = {}
        for name in dict.fromkeys(names):
            which = self.allowed if name == "text" else self.allowed_tokens
            allowed[modality(name).index] = ops.any(which, axis=-1, keepdims=True)
        return ops.concatenate([allowed[value] for value in step.values], axis=-1)

    def _characters(self, step, before):
        """Returns the allowed planes, rows or cells of a character; or characters as a whole."""
        pages, classes = self.tables["grammar_pages"], self.tables["grammar_classes"]
        if step.classes > 256:
            every = ops.reshape(ops.take(classes, pages, axis=0), (-1,))
            return ops.take(self.allowed, every, axis=1)
        if len(before) == 2:
            page = ops.take(pages, before[0] * 256 + before[1], axis=0)
            return _gather(self.allowed, ops.take(classes, page, axis=0))
        # Which pages hold an allowed character, `[batch, pages]`.
        shape = ops.shape(classes)
        of_cells = ops.take(self.allowed, ops.reshape(classes, (-1,)), axis=1)
        of_pages = ops.any(ops.reshape(of_cells, (-1, shape[0], shape[1])), axis=-1)
        if before:
            rows = ops.reshape(pages, (-1, 256))
            return _gather(of_pages, ops.take(rows, before[0], axis=0))
        every = ops.reshape(ops.take(of_pages, pages, axis=1), (-1, step.classes, 256))
        return ops.any(every, axis=-1)

    def _numbers(self, step, before):
        """Returns the allowed upper or lower bytes of a token's number."""
        tokens = self.allowed_tokens
        if before:
            # Upper bytes beyond the table are never chosen.
            last = ops.shape(tokens)[1] // 256 - 1
            first = ops.minimum(before[0], last) * 256
            return _gather(tokens, first[:, None] + ops.arange(256, dtype="int32")[None])
        pages = ops.reshape(tokens, (ops.shape(tokens)[0], -1, 256))
        upper = ops.any(pages, axis=-1)
        more = step.classes - ops.shape(upper)[1]
        return ops.concatenate([upper, ops.zeros((ops.shape(upper)[0], more), "bool")], axis=-1)

    def next_state(self, token):
        """Returns the state after a token, int32 `[batch]`.

        Args:
            token: int32 `[batch, 4]`, modality and bytes.
        """
        kind, first, second, third = (token[:, k] for k in range(4))
        pages, classes = self.tables["grammar_pages"], self.tables["grammar_classes"]
        page = ops.take(pages, ops.clip(first * 256 + second, 0, 4351), axis=0)
        cells = ops.take(classes, page, axis=0)
        state = _gather(self.next, _gather(cells, third[:, None]))[:, 0]
        if self.tokens is not None:
            number = first * 256 + second
            subword = ops.equal(kind, modality("subword").index)
            number = ops.where(subword, number * 256 + third, number)
            number = ops.minimum(number, ops.shape(self.tokens)[1] - 1)
            after = _gather(self.tokens, number[:, None])[:, 0]
            state = ops.where(ops.equal(kind, modality("text").index), state, after)
        dead = ops.shape(self.tables["grammar_next"])[0] - 1
        return ops.where(state >= 0, state, dead)


def _gather(values, index):
    """Gathers `values` `[batch, n]` at `index`, int32 `[batch, k]`; returns `[batch, k]`."""
    # Not `take_along_axis`: its 64-bit integers cause oneDNN warnings on many computers.
    batch, size = ops.shape(values)[0], ops.shape(values)[1]
    start = ops.arange(batch, dtype="int32")[:, None] * size
    return ops.take(ops.reshape(values, (-1,)), start + index, axis=0)
