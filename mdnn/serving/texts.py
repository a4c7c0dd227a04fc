"""Text that continues a prompt, inside a graph."""

import tensorflow as tf

from mdnn.generation.writer import UNIT, Writer
from mdnn.serving.network import ServedNetwork
from mdnn.serving.strings import GraphCodec

# The longest text that one request may ask for: a request is answered whole or not at all.
MOST = 1_000_000


class ServedTexts(ServedNetwork):
    """What a SavedModel of a network of texts holds.

    Args:
        run: `mdnn.models.run.Run`.
    """

    def __init__(self, run):
        super().__init__(run)
        self.writer = Writer(run.model, words=len(run.words))
        self.codec = GraphCodec(run.words)
        self.held.append(self.codec)

    def signatures(self):
        """The functions that are served, by name."""

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.string, "prompt"),
                tf.TensorSpec(None, tf.int32, "length"),
                tf.TensorSpec(None, tf.float32, "temperature"),
                tf.TensorSpec(None, tf.int32, "seed"),
            ]
        )
        def generate(prompt, length, temperature, seed):
            with self.weights.in_use():
                return {"text": self.generate(prompt, length, temperature, seed)}

        return super().signatures() | {"generate": generate}

    def generate(self, prompt, length, temperature, seed):
        """Text that continues prompts, inside a graph; see `export`."""
        batch = tf.shape(prompt)[0]
        length, temperature, seed = (
            tf.broadcast_to(tf.reshape(value, [-1]), [batch])
            for value in (length, temperature, seed)
        )
        checks = [
            tf.debugging.assert_greater(
                tf.strings.length(prompt), 0, "prompt: expected at least one character"
            ),
            tf.debugging.assert_non_negative(length, "length: expected 0 or more"),
            tf.debugging.assert_less_equal(length, MOST, f"length: expected at most {MOST}"),
            tf.debugging.assert_non_negative(temperature, "temperature: expected 0 or more"),
        ]
        with tf.control_dependencies(checks):
            length = tf.identity(length)
            window, filled = self.codec.window(prompt, self.writer.slots)
        settings = {
            "seed": seed,
            "temperature": temperature,
            "top_k": tf.zeros_like(seed),
            "top_p": tf.ones_like(temperature),
        }
        most = tf.reduce_max(tf.concat([length, [0]], 0))
        # One more than is written, so that there is one where nothing is asked for.
        units = tf.TensorArray(tf.int32, size=most + 1, element_shape=[None, UNIT])
        units = units.write(0, tf.zeros([batch, UNIT], tf.int32))

        def unfinished(number, characters, *_):
            return (number < most) & tf.reduce_any(characters < length)

        def write(number, characters, units, *state):
            unit, state = self.writer.step(state, settings)
            characters += self.codec.lengths(unit)
            return number + 1, characters, units.write(number + 1, unit), *state

        zero = tf.zeros_like(length)
        number, _, units, *_ = tf.while_loop(
            unfinished, write, (0, zero, units, window, filled, zero)
        )
        written = tf.transpose(units.stack()[1 : number + 1], [1, 0, 2])
        return self.codec.text(tf.reshape(written, [batch, number, UNIT]), length)

    def examples(self):
        """Requests to warm up with: pairs of a signature's name and its inputs."""
        inputs = {
            "prompt": tf.constant(["The "]),
            "length": tf.constant(16),
            "temperature": tf.constant(0.8),
            "seed": tf.constant(0),
        }
        return [*super().examples(), ("generate", inputs)]
