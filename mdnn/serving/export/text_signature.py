"""Text that continues a prompt, inside a graph."""

import tensorflow as tf

from mdnn.generation.batch_groups import SIZES
from mdnn.generation.stream import StreamWriter
from mdnn.generation.writer import UNIT
from mdnn.serving.export.exported_network import ServedNetwork
from mdnn.serving.export.graph_text import GraphTokenizer

# The longest text that one request may ask for: a request is answered whole or not at all.
MOST = 1_000_000

# Groups that are computed at the same time at most; TensorFlow takes no more than it has threads.
MOST_AT_ONCE = 64


class ServedTexts(ServedNetwork):
    """What a SavedModel of a network of texts holds.

    Args:
        run: `mdnn.runs.run_folder.Run`.
        xla: whether XLA compiles `generate` where it is served.
    """

    def __init__(self, run, xla=True):
        super().__init__(run)
        self.writer = StreamWriter(run.model, words=len(run.words), sampler="plain")
        self.tokenizer = GraphTokenizer(run.words)
        self.held.append(self.tokenizer)
        # XLA makes one loop of some hundred small operations a character.
        self.start = tf.function(self.writer.start, jit_compile=xla)
        self.go = tf.function(self.writer.go, jit_compile=xla)

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
            window, filled = self.tokenizer.window(prompt, self.writer.positions)
        # Groups of like length, filled up with the longest, as in `mdnn.generation.batch_groups`.
        order = tf.argsort(filled, stable=True)
        size = tf.constant(SIZES)[tf.searchsorted(SIZES[:-1], [(batch + 1) // 2])[0]]
        groups = tf.maximum((batch + size - 1) // size, 1)
        # Of no prompts at all there is a group of one, which holds a character.
        last = tf.concat([[0], order], 0)[-1]
        rows = tf.concat([order, tf.fill([groups * size - batch], last)], 0)
        filled = tf.pad(filled, [[0, 1]], constant_values=1)
        parts = [window, filled, length, temperature, seed]
        for number, part in enumerate(parts):
            more = batch + 1 - tf.shape(part)[0]
            part = tf.pad(part, [[0, more], *[[0, 0]] * (len(part.shape) - 1)])
            shape = tf.concat([[groups, size], tf.shape(part)[1:]], 0)
            parts[number] = tf.reshape(tf.gather(part, rows), shape)
        texts = tf.map_fn(
            lambda group: self.written(*group),
            parts,
            parallel_iterations=MOST_AT_ONCE,
            fn_output_signature=tf.TensorSpec([None], tf.string),
        )
        texts = tf.reshape(texts, [-1])[:batch]
        return tf.gather(texts, tf.argsort(order))

    def written(self, window, filled, length, temperature, seed):
        """Texts of one group."""
        batch = tf.shape(filled)[0]
        waits = filled - tf.reduce_min(filled)
        settings = {
            "seed": seed,
            "temperature": temperature,
            "top_k": tf.zeros_like(seed),
            "top_p": tf.ones_like(temperature),
        }
        # Units at most: of each text its characters, and what it waits for longer prompts.
        most = tf.reduce_max(length + waits)
        chunk = self.writer.chunk
        pieces = (most + chunk - 1) // chunk
        # One more than is written, so that there is one where nothing is asked for.
        units = tf.TensorArray(tf.int32, pieces + 1, element_shape=[chunk, None, UNIT])
        units = units.write(pieces, tf.zeros([chunk, batch, UNIT], tf.int32))
        state = self.start({"window": window, "filled": filled, "written": tf.zeros_like(filled)})
        prepared = state.pop("prepared")

        def unfinished(number, characters, units, state):
            return (number < pieces) & tf.reduce_any(characters < length)

        def write(number, characters, units, state):
            count = tf.minimum(most - number * chunk, chunk)
            asked = {"prepared": prepared, "count": tf.reshape(count, [1])}
            state = self.go(state | settings | asked)
            del state["prepared"]
            found = state.pop("units")
            steps = number * chunk + tf.range(chunk)
            own = (steps[:, None] >= waits[None]) & (tf.range(chunk) < count)[:, None]
            lengths = tf.where(own, self.tokenizer.lengths(found), 0)
            characters += tf.reduce_sum(lengths, 0)
            return number + 1, characters, units.write(number, found), state

        _, _, units, _ = tf.while_loop(unfinished, write, (0, tf.zeros_like(length), units, state))
        units = tf.reshape(units.stack(), [(pieces + 1) * chunk, batch, UNIT])
        units = tf.transpose(units, [1, 0, 2])
        # Each text from its own first unit on; what is beyond its length is cut.
        count = tf.reduce_max(length)
        index = tf.range(count)[None] + waits[:, None]
        index = tf.minimum(index, (pieces + 1) * chunk - 1)
        units = tf.gather(units, index, batch_dims=1)
        return self.tokenizer.text(tf.reshape(units, [batch, count, UNIT]), length)

    def examples(self):
        """Requests to warm up with: pairs of a signature's name and its inputs."""
        inputs = {
            "prompt": tf.constant(["The "]),
            "length": tf.constant(16),
            "temperature": tf.constant(0.8),
            "seed": tf.constant(0),
        }
        return [*super().examples(), ("generate", inputs)]
