"""Draws contexts in which something is to be found again: pairs, symbols to copy, a needle."""

import numpy as np

from mdnn.datasets.random_bits import RECALL, raw_bits, raw_stream
from mdnn.datasets.recall.passages import FIRST_VALUE, Passages, random_orders
from mdnn.errors import MdnnError

FIRST_KEY = 0x4E00
"""The first character of the alphabet of keys, of which there are 20,000."""

NAME_LETTERS = 5
"""Letters of a name in a needle."""


class RecallExamples:
    """Draws contexts, pure functions of the seed and the step.

    Kinds of `recall.kind`:

    - `"pairs"`: `pairs` distinct keys, each followed by its value, and after them, each at a
      random place between blanks, the keys again, in random order. The value after such a key is
      the answer (multi-query associative recall, MQAR, arXiv 2312.04927).
    - `"copying"`: symbols at random places between dots, then a bar. The symbols in their order are
      the answers (selective copying, arXiv 2312.00752).
    - `"needle"`: a piece of a text with the sentence `The number of NAME is DIGITS.` at a random
      place; it ends with the question `The number of NAME is ` and the answer. With several
      needles each name has its number, and `queries` of them are asked, one after another.
    - `"passages"`: a row of the grid each for `stored` pieces of a text, a symbol before each, and
      in the other rows questions: some words of one of the pieces, after spaces, and its symbol,
      which is the answer. The pieces are from different places, and their symbols differ.

    Args:
        recall: `mdnn.config.recall_rules.Recall`.
        positions: int, positions of a context.
        ids: int32 `[n]`, code points of the text around needles, or of passages; `None` for the
            other kinds.
        row: int, positions of a row, for passages.

    Raises:
        MdnnError: the text is shorter than a context.
    """

    def __init__(self, recall, positions, ids=None, row=0):
        self.recall, self.positions, self.ids, self.row = recall, positions, ids, row
        if recall.kind == "passages":
            self.passages = Passages(recall, positions, ids, row)
        if recall.kind == "needle" and len(ids) <= positions:
            raise MdnnError(
                f"needles in {positions} positions need a text of at least {positions + 1} "
                f"characters, received {len(ids)}"
            )

    def draw(self, seed, step, count):
        """Draws contexts.

        Args:
            seed: int.
            step: int from 0.
            count: int, number of contexts.

        Returns:
            int32 `[count, positions + 1]`, code points; and int32 `[count, answers, length]`, the
            positions whose next character belongs to an answer, answer by answer.
        """
        return getattr(self, f"_{self.recall.kind}")(seed, step, count)

    def _pairs(self, seed, step, count):
        recall, pairs, asked = self.recall, self.recall.pairs, self.recall.questions
        words = raw_stream(seed, step, RECALL)
        keys = random_orders(words, count, recall.keys)[:, :pairs]
        values = (words(count * pairs).reshape(count, pairs) % np.uint64(recall.values)).astype(int)
        order = random_orders(words, count, pairs)[:, :asked]
        # A question takes a key and its answer: two of the characters after the pairs.
        places = (self.positions + 1 - 2 * pairs) // 2
        positions = 2 * pairs + 2 * random_orders(words, count, places)[:, :asked]
        ids = np.full((count, self.positions + 1), ord(" "), dtype=np.int32)
        ids[:, 0 : 2 * pairs : 2] = FIRST_KEY + keys
        ids[:, 1 : 2 * pairs : 2] = FIRST_VALUE + values
        context = np.arange(count)[:, None]
        ids[context, positions] = FIRST_KEY + keys[context, order]
        ids[context, positions + 1] = FIRST_VALUE + values[context, order]
        return ids, positions[..., None].astype(np.int32)

    def _copying(self, seed, step, count):
        recall, symbols = self.recall, self.recall.symbols
        words = raw_stream(seed, step, RECALL)
        body = self.positions - symbols
        places = np.sort(random_orders(words, count, body)[:, :symbols], axis=1)
        drawn = words(count * symbols).reshape(count, symbols) % np.uint64(recall.values)
        ids = np.full((count, self.positions + 1), ord("."), dtype=np.int32)
        copied = FIRST_VALUE + drawn.astype(np.int32)
        ids[np.arange(count)[:, None], places] = copied
        ids[:, body] = ord("|")
        ids[:, body + 1 :] = copied
        at = np.arange(body, self.positions, dtype=np.int32)
        return ids, np.tile(at[None, :, None], (count, 1, 1))

    def _needle(self, seed, step, count):
        made = [self._with_needles(seed, step * count + k) for k in range(count)]
        last = np.arange(self.positions - self.recall.digits, self.positions, dtype=np.int32)
        # All sentences are equally long.
        behind = np.arange(self.recall.questions, dtype=np.int32)[::-1] * len(
            self._sentence("a", 0)
        )
        answers = last[None] - behind[:, None]
        return np.stack(made), np.tile(answers[None], (count, 1, 1))

    def _sentence(self, name, number):
        """Returns a needle, int32 `[n]`; the name is filled up to `NAME_LETTERS` letters."""
        digits = f"{number:0{self.recall.digits}d}"
        return _code_points(f"\nThe number of {name:{NAME_LETTERS}} is {digits}.\n")

    def _passages(self, seed, step, count):
        made = [self.passages.draw(seed, step * count + k) for k in range(count)]
        answers = np.arange(self.recall.stored, self.positions // self.row) * self.row
        answers = (answers + self.row - 2).astype(np.int32)
        return np.stack(made), np.tile(answers[None, :, None], (count, 1, 1))

    def _with_needles(self, seed, number):
        recall, n = self.recall, self.recall.needles
        words = raw_bits(seed, number, 3 + 4 * n, RECALL)
        of_needles, order = words[: 3 + 3 * n], np.argsort(words[3 + 3 * n :])
        names = _names(of_needles[3::3], NAME_LETTERS)
        digits = of_needles[4::3] % np.uint64(10**recall.digits)
        sentences = [
            self._sentence(name, number)
            for name, number in zip(names, digits.tolist(), strict=True)
        ]
        if recall.questions == 1:
            order = [int(words[0] % np.uint64(n))]
        # The last of several equal names counts: the answer is what was said last.
        asked = [
            max(k for k, name in enumerate(names) if name == names[j])
            for j in order[: recall.questions]
        ]
        question = np.concatenate([sentences[k] for k in asked])[:-2]
        free = self.positions + 1 - len(question) - sum(map(len, sentences))
        start = int(words[1] % np.uint64(len(self.ids) - free + 1))
        text = np.asarray(self.ids[start : start + free], dtype=np.int32)
        places = np.sort((of_needles[5::3] % np.uint64(free + 1)).astype(int))
        borders = [0, *places.tolist(), free]
        pieces = []
        for k, sentence in enumerate(sentences):
            pieces += [text[borders[k] : borders[k + 1]], sentence]
        return np.concatenate([*pieces, text[borders[-2] :], question]).astype(np.int32)


def _names(words, letters):
    """Returns a name of consonants and vowels in turn for each random word."""
    names = []
    for word in words.tolist():
        name = ""
        for k in range(letters):
            alphabet = "aeiou" if k % 2 else "bdfgklmnprstvz"
            word, letter = divmod(word, len(alphabet))
            name += alphabet[letter]
        names.append(name)
    return names


def _code_points(text):
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.int32)
