"""Passages of a text and questions about them, drawn as rows of a context."""

import numpy as np

from mdnn.datasets.random_bits import RECALL, raw_stream
from mdnn.errors import MdnnError

FIRST_VALUE = 0xAC00
"""The first character of the alphabet of values and symbols, of which there are 11,000."""

SPACE, NEWLINE = ord(" "), ord("\n")


class Passages:
    """Draws contexts of stored passages and questions, pure functions of the seed and a number.

    A text is cut into passages of `row - 1` characters, each from the beginning of a word on. In a
    context the first `stored` rows are a symbol and a passage each; each further row is a question,
    at most `words` words in a row of one of the passages, after spaces, and the symbol of the
    passage.

    Args:
        recall: `mdnn.config.recall_rules.Recall`.
        positions: int, positions of a context.
        ids: int32 `[n]`, code points of the text.
        row: int, positions of a row.

    Raises:
        MdnnError: the text has too few passages.
    """

    def __init__(self, recall, positions, ids, row):
        self.recall, self.row, self.rows = recall, row, positions // row
        text = np.asarray(ids, dtype=np.int32)
        self.text = np.where(text == NEWLINE, SPACE, text)
        blank = self.text == SPACE
        begins = np.flatnonzero(blank[:-1] & ~blank[1:]) + 1
        # A passage begins with the first word after each border.
        at = np.searchsorted(begins, np.arange(0, max(0, len(text) - 2 * row), row))
        starts = np.unique(begins[at[at < len(begins)]])
        self.starts = starts[starts + row <= len(text)]
        if len(self.starts) < recall.stored:
            raise MdnnError(
                f"recall.stored: {recall.stored} passages of {row - 1} characters need a longer "
                f"text; this one has {len(self.starts)}"
            )

    def draw(self, seed, number):
        """Returns a context: int32 `[positions + 1]`, code points.

        Args:
            seed: int.
            number: int, the number of the context.
        """
        recall, row = self.recall, self.row
        words, asked = raw_stream(seed, number, RECALL), self.rows - recall.stored
        chosen = random_orders(words, 1, len(self.starts))[0, : recall.stored]
        symbols = FIRST_VALUE + random_orders(words, 1, recall.values)[0, : recall.stored]
        passages = self.text[self.starts[chosen][:, None] + np.arange(row - 1)]
        grid = np.full((self.rows, row), SPACE, dtype=np.int32)
        grid[: recall.stored, 0], grid[: recall.stored, 1:] = symbols, passages
        about = (words(asked) % np.uint64(recall.stored)).astype(int)
        places, noise = words(asked), words(asked * row).reshape(asked, row) / 2.0**64
        letters = (words(asked * row) % np.uint64(26)).astype(np.int32).reshape(asked, row)
        for k, (item, place) in enumerate(zip(about, places, strict=True)):
            question = self._question(passages[item], int(place))
            size = len(question)
            replaced = (noise[k, :size] < recall.noise) & (question != SPACE)
            question = np.where(replaced, ord("a") + letters[k, :size], question)
            grid[recall.stored + k, row - 1 - size : row - 1] = question
        grid[recall.stored :, -1] = symbols[about]
        return np.append(grid.reshape(-1), SPACE).astype(np.int32)

    def _question(self, passage, place):
        """Returns at most `words` words in a row of a passage, whole ones where there are any."""
        letters = np.concatenate([[False], passage != SPACE, [False]])
        begins = np.flatnonzero(~letters[:-1] & letters[1:])
        ends = np.flatnonzero(letters[:-1] & ~letters[1:])
        # The last word of a passage may be cut.
        whole = max(1, len(ends) - 1)
        first = place % max(1, whole - self.recall.words + 1)
        last = min(whole, first + self.recall.words) - 1
        return passage[begins[first] : ends[last]][: self.row - 2]


def random_orders(words, count, size):
    """Returns random orders of `size` numbers, int `[count, size]`.

    Args:
        words: function of `n` that returns `n` random 64-bit words.
        count, size: ints.
    """
    return np.argsort(words(count * size).reshape(count, size), axis=1, kind="stable")
