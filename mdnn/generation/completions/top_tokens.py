"""Finds the likeliest tokens at positions of a text, exactly."""

import heapq
import itertools

import numpy as np
from keras import ops

from mdnn.generation.completions.score_offsets import steps_by_kind
from mdnn.generation.completions.token_picker import token_steps
from mdnn.tokens.characters import CODE_POINTS


def top_tokens(heads, tokenizer, hidden, count):
    """Returns the likeliest tokens of each position, in the order of their probabilities.

    A character is decided in several steps, and Unicode has a million: this is a best-first search.
    Of the beginnings of tokens that are still to be continued, the likeliest one is continued
    first; a token is found when no beginning is likelier. All positions are searched together.

    Args:
        heads: `mdnn.layers.modality_heads.ModalityHeads` without coordinates.
        tokenizer: the tokenizer of the network's texts.
        hidden: float array `[positions, width]`, inputs of the heads.
        count: int, number of tokens.

    Returns:
        List of lists of pairs of a token id and its log-probability, in nats.
    """
    steps = token_steps(heads)
    kinds = steps_by_kind(steps)
    search = _Scores(heads, tokenizer, hidden, steps[0][1], kinds, count)
    first = () if len(kinds) > 1 else (next(iter(kinds)),)
    searches = [_PositionSearch(kinds, count) for _ in range(len(hidden))]
    open_ = dict.fromkeys(range(len(hidden)), (first, 0.0))
    while open_:
        for rows, beginning in _grouped(open_):
            for row, scores in zip(rows, search(rows, beginning, open_), strict=True):
                searches[row].add(open_[row][0], *scores)
        open_ = {row: searches[row].next() for row in open_}
        open_ = {row: beginning for row, beginning in open_.items() if beginning is not None}
    return [search.tokens for search in searches]


def _grouped(open_):
    """Yields the rows whose beginnings have the same modality and length, with one of these."""

    def key(row):
        beginning = open_[row][0]
        return len(beginning), *beginning[:1]

    for _, rows in itertools.groupby(sorted(open_, key=key), key):
        rows = list(rows)
        yield rows, open_[rows[0]][0]


class _Scores:
    """Computes the log-probabilities of the classes that may follow beginnings of tokens."""

    def __init__(self, heads, tokenizer, hidden, first, kinds, count):
        self.heads, self.tokenizer, self.hidden = heads, tokenizer, hidden
        self.first, self.kinds, self.count = first, kinds, count

    def __call__(self, rows, beginning, open_):
        """Yields pairs of log-probabilities and values of classes, the likeliest first.

        Args:
            rows: list of int, positions.
            beginning: the beginning of one of them; the others have its modality and length.
            open_: dict from positions to their beginnings and log-probabilities.
        """
        classes = np.array([open_[row][0][1:] for row in rows], "int32")
        level, step, answers, values = len(beginning) - 1, self.first, {}, list(self.kinds)
        if beginning:
            steps = self.kinds[beginning[0]]
            step, values = steps[level], None
            answers = {steps[k].name: classes[:, k] for k in range(level)}
        answers = {name: ops.convert_to_tensor(of) for name, of in answers.items()}
        hidden = ops.convert_to_tensor(self.hidden[rows])
        scores = self.heads.scores_of(step, hidden, answers)
        scores = ops.convert_to_numpy(ops.log_softmax(ops.cast(scores, "float32"), axis=-1))
        for row, logs, before in zip(rows, scores, classes, strict=True):
            chosen = np.arange(len(logs))
            if beginning and level == len(steps) - 1:
                ids = _ids(beginning[0], before, chosen)
                chosen = chosen[self.tokenizer.writable(ids)]
                if len(chosen) > self.count:
                    most = np.argpartition(-logs[chosen], self.count - 1)[: self.count]
                    chosen = chosen[most]
            chosen = chosen[np.argsort(-logs[chosen], kind="stable")]
            logs = (logs[chosen] + open_[row][1]).tolist()
            yield logs, [values[k] for k in chosen] if values else chosen.tolist()


def _ids(kind, before, last):
    """Returns the ids of tokens of a modality with the classes `before` and `last`, integers."""
    number = 0
    for digit in (*before.tolist(), last):
        number = number * 256 + digit
    return number + (CODE_POINTS if kind == "word" else 0)


class _PositionSearch:
    """Searches for the likeliest tokens at one position.

    Args:
        kinds: dict from names of modalities to their steps.
        count: int, number of tokens to find.

    Attributes:
        tokens: list of pairs of a token id and its log-probability.
    """

    def __init__(self, kinds, count):
        self.kinds, self.count, self.tokens = kinds, count, []
        self.heap, self.order = [], itertools.count()

    def add(self, beginning, logs, classes):
        """Adds the continuations of a beginning, the likeliest first."""
        self._push(beginning, logs, classes, 0)

    def _push(self, beginning, logs, classes, rank):
        if rank < len(logs):
            # Only the likeliest of those that are left: the others cannot be found before it.
            entry = -logs[rank], next(self.order), beginning, logs, classes, rank
            heapq.heappush(self.heap, entry)

    def next(self):
        """Returns the beginning to continue next and its log-probability; `None` at the end."""
        while self.heap and len(self.tokens) < self.count:
            negative, _, beginning, logs, classes, rank = heapq.heappop(self.heap)
            self._push(beginning, logs, classes, rank + 1)
            longer = (*beginning, classes[rank])
            if len(longer) - 1 < len(self.kinds[longer[0]]):
                return longer, -negative
            last = np.array(longer[1:])
            self.tokens.append((int(_ids(longer[0], last[:-1], last[-1])), -negative))
        return None
