"""Prompts with their negative prompts as contexts that wait for an answer, inside a graph."""

import tensorflow as tf

from mdnn.generation.planning import answer_start
from mdnn.serving.export.graph_files import require
from mdnn.serving.export.prompt_contexts import require_of_prompts

PREFIX = "negative_"
"""Beginning of the names of inputs that hold negative prompts; that of the prompt's follows."""

MAX_SCALE = 100
"""Largest `guidance_scale`, as in `mdnn.generate`."""


class GuidedContexts:
    """Lays prompts out as contexts, each followed by those of its negative prompts.

    Args:
        contexts: `mdnn.serving.export.prompt_contexts.PromptContexts`.

    Attributes:
        inputs: names of the inputs of negative prompts, string `[batch, negatives]` each; those
            without columns are `""` everywhere.
    """

    def __init__(self, contexts):
        self.contexts = contexts
        self.inputs = tuple(f"{PREFIX}{name}" for name in contexts.inputs)

    def __call__(self, prompt, negative, scale):
        """Returns prompts and negative prompts as contexts.

        Args:
            prompt: dict from the inputs of `contexts` to string `[batch]`.
            negative: list of string `[batch, negatives]`, the values of `inputs`.
            scale: float32 `[batch]`, the guidance.

        Returns:
            int32 `[batch (1 + negatives), positions, 8]`; the position after the last item and the
            number of items, int32 `[batch (1 + negatives)]` each; and the number of negative
            prompts of each prompt, int32.
        """
        batch = tf.shape(prompt["text"])[0]
        counts = [tf.shape(value)[1] for value in negative]
        count = tf.reduce_max(tf.stack(counts))
        checks = [
            tf.debugging.assert_equal(
                tf.shape(value)[0], batch, f"{name}: expected as many as of text"
            )
            for name, value in zip(self.inputs, negative, strict=True)
        ]
        checks += [
            require(
                (columns == 0) | (columns == count),
                f"{name}: expected as many negative prompts as of the others or none, received ",
                columns,
            )
            for name, columns in zip(self.inputs, counts, strict=True)
        ]
        checks += [
            require(
                (scale >= 0) & (scale <= MAX_SCALE), f"guidance_scale: expected 0 to {MAX_SCALE}"
            ),
            require(
                tf.equal(scale, 1) == (count == 0),
                "expected guidance_scale, a number other than 1, and negative prompts "
                "together, received one of them",
            ),
        ]
        with tf.control_dependencies(checks):
            count = tf.identity(count)
        files = {
            # Behind the prompts, so that all files are read in one place.
            name: tf.concat([prompt[name], _filled(value, batch, count)], 0)
            for name, value in zip(self.contexts.inputs, negative, strict=True)
        }
        behind = batch + tf.reshape(tf.range(batch * count), [batch, count])
        order = tf.reshape(tf.concat([tf.range(batch)[:, None], behind], 1), [-1])
        tokens, stop, item = (tf.gather(value, order) for value in self.contexts(files))
        start = tf.reshape(answer_start(stop, self.contexts.align), [batch, 1 + count])
        # The first one that differs, or its own.
        other = tf.argmax(tf.cast(start != start[:, :1], tf.int32), 1, tf.int32)
        begins = tf.gather(start, other, batch_dims=1)
        same = require_of_prompts(
            begins == start[:, 0],
            ": negative prompts: expected some after which an answer begins at position ",
            start[:, 0],
            ", as after the prompt; after number ",
            other,
            " it begins at ",
            begins,
        )
        with tf.control_dependencies([same]):
            return tf.identity(tokens), stop, item, count


def _filled(value, batch, count):
    """Returns files string `[batch * count]`; `""` where `value` has no columns."""
    files = tf.pad(value, [[0, 0], [0, count - tf.shape(value)[1]]], constant_values="")
    return tf.reshape(files, [batch * count])
