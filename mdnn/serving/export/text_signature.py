"""The signature `generate`: texts that continue prompts, inside a graph."""

import tensorflow as tf

from mdnn.generation.batch_groups import GROUP_SIZES
from mdnn.generation.completions.text_completions import TextCompletions
from mdnn.generation.text_decoder import TextDecoder
from mdnn.generation.text_stream import TextStream
from mdnn.generation.windows import TOKEN_BYTES
from mdnn.serving.export.exported_network import ExportedNetwork
from mdnn.serving.export.graph_subwords import GraphSubwords
from mdnn.serving.export.graph_text import GraphTokenizer
from mdnn.tokens.context_slots import slot_tokens

MAX_LENGTH = 1_000_000
"""The most characters of a request: it is answered whole or not at all."""

MAX_PARALLEL_GROUPS = 64
"""The most groups that are decoded at once; TensorFlow takes no more than it has threads."""


class ExportedTexts(ExportedNetwork):
    """A network of texts as it is exported.

    It has the signature `generate` where it was trained to decode autoregressively.

    Args:
        run: `mdnn.runs.run_folder.Run`.
        xla: whether XLA compiles `generate` where it is served.
    """

    def __init__(self, run, xla=True):
        super().__init__(run, xla)
        self.is_writer = bool(run.config.train.objectives.autoregressive)
        if not self.is_writer:
            return
        if run.config.tokens.subwords:
            self.tokenizer = GraphSubwords(run.tokenizer)
        else:
            self.tokenizer = GraphTokenizer(run.words)
        words = len(run.tokenizer.words)
        self.decoder = TextDecoder(run.model, words=words, sampler="plain")
        self.held.append(self.tokenizer)
        self.streamed = self.tokenizer.signature
        # XLA makes one loop of some hundred small operations a character.
        self.prefill = tf.function(self.decoder.prefill, jit_compile=xla, autograph=False)
        self.decode = tf.function(self.decoder.decode, jit_compile=xla, autograph=False)

    def signatures(self):
        """Returns the functions that are served, by name."""
        if not self.is_writer:
            return super().signatures()

        @tf.function(
            input_signature=[
                self.tokenizer.prompt_spec,
                tf.TensorSpec(None, tf.int32, "length"),
                tf.TensorSpec(None, tf.float32, "temperature"),
                tf.TensorSpec(None, tf.int32, "seed"),
            ],
            autograph=False,
        )
        def generate(prompt, length, temperature, seed):
            with self.weights.bound():
                return {"text": self.generate(prompt, length, temperature, seed)}

        return super().signatures() | {self.tokenizer.signature: generate}

    def generate(self, prompt, length, temperature, seed):
        """Returns texts that continue prompts, inside a graph; see `export`."""
        batch = tf.shape(prompt)[0]
        length, temperature, seed = (
            tf.broadcast_to(tf.reshape(value, [-1]), [batch])
            for value in (length, temperature, seed)
        )
        checks = [
            *self.tokenizer.checks(prompt),
            tf.debugging.assert_non_negative(length, "length: expected 0 or more"),
            tf.debugging.assert_less_equal(
                length, MAX_LENGTH, f"length: expected at most {MAX_LENGTH}"
            ),
            tf.debugging.assert_non_negative(temperature, "temperature: expected 0 or more"),
        ]
        with tf.control_dependencies(checks):
            length = tf.identity(length)
            window, filled = self.window(prompt)
        # Groups of like length, filled up with the longest, as in `mdnn.generation.batch_groups`.
        order = tf.argsort(filled, stable=True)
        size = tf.constant(GROUP_SIZES)[tf.searchsorted(GROUP_SIZES[:-1], [(batch + 1) // 2])[0]]
        groups = tf.maximum((batch + size - 1) // size, 1)
        # Without any prompts there is still one group, of a context that holds a character.
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
            lambda group: self.continue_group(*group),
            parts,
            parallel_iterations=MAX_PARALLEL_GROUPS,
            fn_output_signature=tf.TensorSpec([None], tf.string),
        )
        texts = tf.reshape(texts, [-1])[:batch]
        return tf.gather(texts, tf.argsort(order))

    def window(self, prompt):
        """Returns the beginnings of contexts, as `mdnn.generation.windows.encode_prompts` does."""
        slots = self.decoder.slots
        window, filled = self.tokenizer.window(prompt, self.decoder.positions - slots)
        if slots:
            before = tf.constant(slot_tokens(slots)[:, :TOKEN_BYTES])
            before = tf.broadcast_to(before, [tf.shape(window)[0], slots, TOKEN_BYTES])
            window = tf.concat([before, window], 1)
        return window, filled + slots

    def continue_group(self, window, filled, length, temperature, seed):
        """Returns the texts of one group.

        Args:
            window: int32 `[batch, positions, 4]`, the beginnings of contexts.
            filled: int32 `[batch]`, the number of tokens of each.
            length: int32 `[batch]`, characters to write.
            temperature: float32 `[batch]`.
            seed: int32 `[batch]`.
        """
        batch = tf.shape(filled)[0]
        # Tokens of its prompt that each text is given before its own turn comes.
        delays = filled - tf.reduce_min(filled)
        settings = {
            "seed": seed,
            "temperature": temperature,
            "top_k": tf.zeros_like(seed),
            "top_p": tf.ones_like(temperature),
        }
        # Largest number of tokens: those of a text and of its delay for longer prompts.
        most = tf.reduce_max(length * self.tokenizer.tokens_per_character + delays)
        chunk = self.decoder.chunk
        pieces = (most + chunk - 1) // chunk
        # One more chunk than is decoded, so that the array is not empty for a length of 0.
        tokens = tf.TensorArray(tf.int32, pieces + 1, element_shape=[chunk, None, TOKEN_BYTES])
        tokens = tokens.write(pieces, tf.zeros([chunk, batch, TOKEN_BYTES], tf.int32))
        state = self.prefill({"window": window, "filled": filled, "written": tf.zeros_like(filled)})
        weights = state.pop("weights")

        def unfinished(number, characters, tokens, state):
            return (number < pieces) & tf.reduce_any(characters < length)

        def write(number, characters, tokens, state):
            count = tf.minimum(most - number * chunk, chunk)
            inputs = {"weights": weights, "count": tf.reshape(count, [1])}
            state = self.decode(state | settings | inputs)
            del state["weights"]
            decoded = state.pop("decoded")
            steps = number * chunk + tf.range(chunk)
            is_new = (steps[:, None] >= delays[None]) & (tf.range(chunk) < count)[:, None]
            lengths = tf.where(is_new, self.tokenizer.lengths(decoded), 0)
            characters += tf.reduce_sum(lengths, 0)
            ended = tf.reduce_any(is_new & self.tokenizer.is_end(decoded), 0)
            # Ended texts need no more characters.
            characters = tf.where(ended, length, characters)
            return number + 1, characters, tokens.write(number, decoded), state

        _, _, tokens, _ = tf.while_loop(
            unfinished, write, (0, tf.zeros_like(length), tokens, state)
        )
        tokens = tf.reshape(tokens.stack(), [(pieces + 1) * chunk, batch, TOKEN_BYTES])
        tokens = tf.transpose(tokens, [1, 0, 2])
        # Each text begins at its first token and is cut at its length.
        count = tf.reduce_max(length) * self.tokenizer.tokens_per_character
        index = tf.range(count)[None] + delays[:, None]
        index = tf.minimum(index, (pieces + 1) * chunk - 1)
        tokens = tf.gather(tokens, index, batch_dims=1)
        return self.tokenizer.text(tf.reshape(tokens, [batch, count, TOKEN_BYTES]), length)

    def text_stream(self, engine="auto"):
        return TextStream(self.run, engine).write if self.is_writer else None

    def text_completions(self, engine="auto"):
        return TextCompletions(self.run, engine=engine) if self.is_writer else None

    def examples(self):
        """Returns requests to warm up with: pairs of a signature's name and its inputs."""
        if not self.is_writer:
            return super().examples()
        inputs = {
            "prompt": self.tokenizer.example(),
            "length": tf.constant(16),
            "temperature": tf.constant(0.8),
            "seed": tf.constant(0),
        }
        return [*super().examples(), (self.tokenizer.signature, inputs)]
