"""Subwords inside a TensorFlow graph: token ids to text. Text to token ids needs the tokenizer."""

import tensorflow as tf

from mdnn.tokens.modalities import modality

SUBWORD = modality("subword").index


class GraphSubwords(tf.Module):
    """Converts token ids of a subword vocabulary to text in a graph.

    It has the methods of `mdnn.serving.export.graph_text.GraphTokenizer`, but prompts are token
    ids: byte pair encoding has no operation in TensorFlow.

    Args:
        tokenizer: `mdnn.tokens.subwords.subword_tokenizer.SubwordTokenizer`.
    """

    prompt_spec = tf.TensorSpec([None, None], tf.int32, "prompt_ids")
    signature = "generate_from_ids"

    def __init__(self, tokenizer):
        super().__init__()
        self.tokens_per_character = tokenizer.tokens_per_character
        rest = [b""] * (tokenizer.size - len(tokenizer.token_bytes))
        self.bytes = tf.constant([*tokenizer.token_bytes, *rest], tf.string)
        self.counts = tf.constant(tokenizer.lengths(range(tokenizer.size)), tf.int32)
        self.ends = tf.constant(sorted(tokenizer.end_ids), tf.int32)
        self.size = tokenizer.size

    def checks(self, prompt):
        """Returns assertions that a prompt can be used."""
        counts = tf.reduce_sum(tf.cast(prompt >= 0, tf.int32), axis=1)
        return [
            tf.debugging.assert_greater(counts, 0, "prompt_ids: expected at least one token"),
            tf.debugging.assert_less(
                prompt, self.size, f"prompt_ids: expected numbers below {self.size}"
            ),
        ]

    def example(self):
        """Returns a prompt to warm up with."""
        return tf.zeros([1, 1], tf.int32)

    def window(self, prompt, positions):
        """Returns the last `positions` tokens of prompts, `[batch, positions, 4]`, and lengths."""
        ids = tf.RaggedTensor.from_tensor(
            prompt, lengths=tf.reduce_sum(tf.cast(prompt >= 0, tf.int32), axis=1)
        )[:, -positions:]
        rows = ids.with_flat_values(_rows(tf.maximum(ids.flat_values, 0)))
        return (
            rows.to_tensor(shape=[None, positions, 4]),
            tf.cast(ids.row_lengths(), tf.int32),
        )

    def lengths(self, tokens):
        """Returns the number of characters that begin in tokens `[..., 4]`."""
        return tf.gather(self.counts, self._ids(tokens))

    def is_end(self, tokens):
        """Returns which tokens `[..., 4]` end an answer."""
        return tf.reduce_any(self._ids(tokens)[..., None] == self.ends, axis=-1)

    def text(self, tokens, length):
        """Returns the strings of tokens.

        Args:
            tokens: int32 `[batch, n, 4]`.
            length: int32 `[batch]`: characters of each row; what is beyond is cut.

        Returns:
            string `[batch]`, UTF-8; bytes that are not UTF-8 become U+FFFD.
        """
        is_before = tf.cumsum(tf.cast(self.is_end(tokens), tf.int32), axis=1) == 0
        pieces = tf.where(is_before, tf.gather(self.bytes, self._ids(tokens)), "")
        whole = tf.strings.unicode_transcode(
            tf.strings.reduce_join(pieces, axis=-1), "UTF-8", "UTF-8", errors="replace"
        )
        return tf.map_fn(
            lambda pair: tf.strings.substr(pair[0], 0, pair[1], unit="UTF8_CHAR"),
            (whole, length),
            fn_output_signature=tf.string,
        )

    def _ids(self, tokens):
        ids = tokens[..., 1] * 65_536 + tokens[..., 2] * 256 + tokens[..., 3]
        return tf.minimum(tf.where(tokens[..., 0] == SUBWORD, ids, 0), self.size - 1)


def _rows(ids):
    kind = tf.fill(tf.shape(ids), SUBWORD)
    return tf.stack([kind, ids // 65_536, ids // 256 % 256, ids % 256], axis=-1)
