"""Text and tokens inside a TensorFlow graph, as `mdnn.tokens.characters.TextTokenizer` has them
outside."""

import tensorflow as tf

from mdnn.tokens.modalities import modality

TEXT, WORD = modality("text").index, modality("word").index

# A byte that no UTF-8 text contains.
MARK = b"\xff"


class GraphTokenizer(tf.Module):
    """Converts between strings and tokens in a graph.

    Args:
        words: the network's table of words, maybe empty.
    """

    prompt_spec = tf.TensorSpec([None], tf.string, "prompt")
    signature = "generate"
    tokens_per_character = 1

    def __init__(self, words=()):
        super().__init__()
        self.words = tf.constant(list(words), tf.string) if words else None
        if words:
            numbers = tf.range(len(words), dtype=tf.int32)
            self.numbers = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(self.words, numbers), default_value=-1
            )

    def checks(self, prompt):
        """Returns assertions that a prompt can be used."""
        length = tf.strings.length(prompt)
        return [tf.debugging.assert_greater(length, 0, "prompt: expected at least one character")]

    def example(self):
        """Returns a warm-up prompt."""
        return tf.constant(["The "])

    def is_end(self, tokens):
        """Returns which tokens `[..., 4]` end an answer: none."""
        return tf.zeros(tf.shape(tokens)[:-1], tf.bool)

    def tokens(self, prompt):
        """Returns the tokens of strings.

        Args:
            prompt: string `[batch]`, UTF-8. What is not UTF-8 is an InvalidArgumentError.

        Returns:
            Ragged int32 `[batch, (tokens), 4]`: modality and bytes.
        """
        points = tf.strings.unicode_decode(prompt, "UTF-8", errors="strict")
        if self.words is None:
            return points.with_flat_values(_text_rows(points.flat_values))
        # Runs of letters, and what lies between them, one piece each.
        marked = tf.strings.regex_replace(prompt, r"(\pL+)", MARK + b"\\1" + MARK)
        pieces = tf.strings.split(marked, MARK)
        number = self.numbers.lookup(pieces.values)
        points = tf.strings.unicode_decode(pieces.values, "UTF-8", errors="strict")
        lengths = points.row_lengths()
        # A known word is one token: its first letter's row is made it, the others are dropped.
        tokens = tf.where(number >= 0, tf.minimum(lengths, 1), lengths)
        number = tf.repeat(number, lengths)
        kept = (number < 0) | (tf.ragged.range(lengths).values == 0)
        rows = tf.where((number >= 0)[:, None], _word_rows(number), _text_rows(points.flat_values))
        per_text = tf.reduce_sum(pieces.with_values(tokens), axis=1)
        return tf.RaggedTensor.from_row_lengths(tf.boolean_mask(rows, kept), per_text)

    def window(self, prompt, positions):
        """Returns the last `positions` tokens of prompts; see
        `mdnn.generation.windows.encode_prompts`.

        Returns:
            int32 `[batch, positions, 4]` and int32 `[batch]`.
        """
        tokens = self.tokens(prompt)[:, -positions:]
        window = tokens.to_tensor(shape=[None, positions, 4])
        return window, tf.cast(tokens.row_lengths(), tf.int32)

    def lengths(self, tokens):
        """Returns the number of characters of tokens `[..., 4]`: 1, or the word's."""
        ones = tf.ones(tf.shape(tokens)[:-1], tf.int32)
        if self.words is None:
            return ones
        letters = tf.strings.length(self._spelled(tokens), unit="UTF8_CHAR")
        return tf.where(tokens[..., 0] == WORD, letters, ones)

    def text(self, tokens, length):
        """Returns the strings of tokens.

        Args:
            tokens: int32 `[batch, n, 4]`.
            length: int32 `[batch]`: characters of each row; what is beyond is cut.

        Returns:
            string `[batch]`, UTF-8.
        """
        points = tokens[..., 1] * 65_536 + tokens[..., 2] * 256 + tokens[..., 3]
        if self.words is None:
            cut = tf.RaggedTensor.from_tensor(
                points, lengths=tf.minimum(length, tf.shape(points)[1])
            )
            return tf.strings.unicode_encode(cut, "UTF-8")
        flat = tf.reshape(points, [-1])
        single = tf.RaggedTensor.from_row_lengths(flat, tf.ones_like(flat))
        characters = tf.reshape(tf.strings.unicode_encode(single, "UTF-8"), tf.shape(points))
        pieces = tf.where(tokens[..., 0] == WORD, self._spelled(tokens), characters)
        whole = tf.strings.reduce_join(pieces, axis=-1)
        return tf.map_fn(
            lambda pair: tf.strings.substr(pair[0], 0, pair[1], unit="UTF8_CHAR"),
            (whole, length),
            fn_output_signature=tf.string,
        )

    def _spelled(self, tokens):
        number = tokens[..., 1] * 256 + tokens[..., 2]
        number = tf.where(tokens[..., 0] == WORD, number, 0)
        return tf.gather(self.words, tf.minimum(number, tf.shape(self.words)[0] - 1))


def _text_rows(points):
    kind = tf.fill(tf.shape(points), TEXT)
    return tf.stack([kind, points // 65_536, points // 256 % 256, points % 256], axis=-1)


def _word_rows(number):
    zeros = tf.zeros_like(number)
    return tf.stack([zeros + WORD, number // 256, number % 256, zeros], axis=-1)
