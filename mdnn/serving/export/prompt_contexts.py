"""Texts, pictures and sounds as contexts that wait for an answer, inside a graph."""

import tensorflow as tf

from mdnn.serving.export.graph_files import png_rows, require, wav_rows
from mdnn.tokens.features import WIDTH, modality
from mdnn.tokens.packing import aligned

PROMPT = ("text", "image", "audio")
"""The inputs that a prompt is made of, in its order."""


def require_of_prompts(good, *message):
    """Returns an op that fails where a prompt is not good, and names the first such one.

    Args:
        good: boolean `[batch]`.
        message: as `mdnn.serving.export.graph_files.require` takes it, behind the prompt's number.
    """
    number = tf.range(tf.size(good)) + 1
    return require(good, "prompt ", number, *message)


class PromptContexts:
    """Lays prompts out as contexts.

    Args:
        text: `mdnn.serving.export.graph_text.GraphTokenizer`.
        kinds: names of the kinds of items that the network knows.
        positions: int, of a context.
        align: int, an item begins at a multiple of it.
        rate: int, samples a second.
    """

    def __init__(self, text, kinds, positions, align, rate):
        self.text, self.kinds = text, kinds
        self.positions, self.align, self.rate = positions, align, rate

    def __call__(self, prompt):
        """Returns prompts as contexts.

        Args:
            prompt: dict from `PROMPT` to string `[batch]`.

        Returns:
            int32 `[batch, positions, 8]`, the position behind the last item `[batch]` and the
            number of items `[batch]`.
        """
        text = prompt["text"]
        batch = tf.shape(text)[0]
        tokens = tf.zeros([batch, self.positions, WIDTH], tf.int32)
        stop = item = tf.zeros([batch], tf.int32)
        for name in PROMPT:
            rows = self._rows(name, prompt[name])
            count = tf.cast(rows.row_lengths(), tf.int32)
            # An item begins at a multiple of `align`.
            start = aligned(stop, self.align)
            left = require_of_prompts(
                (count == 0) | (start + count < self.positions),
                f": {name}: ",
                count,
                " units from position ",
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
        """Returns the prompts' texts, pictures or sounds, ragged int32 `[batch, (tokens), 7]`."""
        kinds = ("image", "grey") if name == "image" else (name,)
        indices = {kind: modality(kind).index for kind in kinds if kind in self.kinds}
        known = ", ".join(self.kinds)
        if not indices:
            absent = require_of_prompts(
                data == "", f": {name}: this network knows {known}, not {name}"
            )
            with tf.control_dependencies([absent]):
                lengths = tf.zeros_like(tf.strings.length(data))
            return tf.RaggedTensor.from_row_lengths(tf.zeros([0, WIDTH - 1], tf.int32), lengths)
        if name == "text":
            units = self.text.units(data)
            offset = tf.ragged.range(tf.cast(units.row_lengths(), tf.int32)).values
            places = tf.stack([offset, offset * 0, offset * 0], axis=1)
            return units.with_values(tf.concat([units.values, places], axis=1))

        def decode(row):
            number, data = row
            if name == "audio":
                return wav_rows(data, number, self.positions, indices["audio"], self.rate)
            return png_rows(data, number, self.positions, indices, known)

        def one(row):
            nothing = tf.zeros([0, WIDTH - 1], tf.int32)
            return tf.cond(row[1] == "", lambda: nothing, lambda: decode(row))

        # One more that is empty: of no prompts at all `map_fn` makes no ragged rows.
        data = tf.concat([data, [""]], axis=0)
        spec = tf.RaggedTensorSpec([None, WIDTH - 1], tf.int32, ragged_rank=0)
        return tf.map_fn(one, (tf.range(tf.size(data)), data), fn_output_signature=spec)[:-1]
