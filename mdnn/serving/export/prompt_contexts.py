"""Texts, pictures and sounds as contexts that wait for an answer, inside a graph."""

import tensorflow as tf

from mdnn.serving.export.graph_files import require
from mdnn.tokens.features import NUM_FEATURES
from mdnn.tokens.packing import aligned

PROMPT = ("text", "image", "audio")
"""The inputs of every network's prompt, in its order; those of other modalities follow."""


def require_of_prompts(good, *message):
    """Returns an op that fails on an invalid prompt and names the first one.

    Args:
        good: boolean `[batch]`.
        message: as `mdnn.serving.export.graph_files.require` takes it, after the prompt's number.
    """
    number = tf.range(tf.size(good)) + 1
    return require(good, "prompt ", number, *message)


class PromptContexts:
    """Lays prompts out as contexts.

    Args:
        codecs: dict from kinds of items to their `GraphCodec`.
        positions: int, of a context.
        align: int, an item begins at a multiple of it.

    Attributes:
        inputs: names of the inputs of a prompt, in its order.
    """

    def __init__(self, codecs, positions, align):
        self.kinds, self.positions, self.align = tuple(codecs), positions, align
        # Kinds with one key share their files.
        self.codecs = {codec.form.key: codec for codec in reversed(codecs.values())}
        keys = [codec.form.key for codec in codecs.values()]
        self.inputs = tuple(dict.fromkeys((*PROMPT, *keys)))

    def __call__(self, prompt):
        """Returns prompts as contexts.

        Args:
            prompt: dict from `inputs` to string `[batch]`.

        Returns:
            int32 `[batch, positions, 8]`, the position after the last item `[batch]` and the
            number of items `[batch]`.
        """
        text = prompt["text"]
        batch = tf.shape(text)[0]
        tokens = tf.zeros([batch, self.positions, NUM_FEATURES], tf.int32)
        stop = item = tf.zeros([batch], tf.int32)
        for name in self.inputs:
            rows = self._rows(name, prompt[name])
            count = tf.cast(rows.row_lengths(), tf.int32)
            # An item begins at a multiple of `align`.
            start = aligned(stop, self.align)
            left = require_of_prompts(
                (count == 0) | (start + count < self.positions),
                f": {name}: ",
                count,
                " tokens from position ",
                start,
                f" on leave no room for an answer in a context of {self.positions} positions",
            )
            with tf.control_dependencies([left]):
                context = tf.cast(rows.value_rowids(), tf.int32)
            position = tf.gather(start, context) + tf.ragged.range(count).values
            number = tf.gather(item, context)[:, None]
            tokens = tf.tensor_scatter_nd_update(
                tokens,
                tf.stack([context, position], axis=1),
                tf.concat([rows.values, number], axis=1),
            )
            stop = tf.where(count > 0, start + count, stop)
            item += tf.cast(count > 0, tf.int32)
        return tokens, stop, item

    def _rows(self, name, data):
        """Returns the prompts' files of one kind as tokens, ragged int32 `[batch, (tokens), 7]`."""
        if name in self.codecs:
            return self.codecs[name].tokens(data)
        absent = require_of_prompts(
            data == "",
            f": {name}: expected an item of the kinds {', '.join(self.kinds)}, received {name}",
        )
        with tf.control_dependencies([absent]):
            lengths = tf.zeros_like(tf.strings.length(data))
        return tf.RaggedTensor.from_row_lengths(tf.zeros([0, NUM_FEATURES - 1], tf.int32), lengths)
