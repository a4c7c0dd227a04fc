"""The signature `serving_default`: tokens in, scores and the likeliest tokens out."""

import keras
import tensorflow as tf

from mdnn.generation.windows import TOKEN_BYTES
from mdnn.serving.export.saved_weights import SavedModelWeights
from mdnn.serving.export.token_checks import validate_tokens
from mdnn.tokens.context_slots import slot_tokens
from mdnn.tokens.features import COORDINATES, MODALITY, NUM_FEATURES

MAX_SCORES = 2**26
"""The most scores of a context that are returned: more would exhaust a server's memory."""


class ExportedNetwork:
    """A network as it is exported, with the signature `serving_default`.

    The tasks' own signatures come with subclasses; a task names its class (`exported_as`).

    Args:
        run: `mdnn.runs.run_folder.Run`.
        xla: whether XLA may compile functions where they are served.

    Attributes:
        weights: `SavedModelWeights`; every function that is served runs the network inside `bound`.
        held: list of what the SavedModel holds: variables, and modules of TensorFlow's.
    """

    def __init__(self, run, xla=True):
        self.run, self.xla, model = run, xla, run.model
        self.weights = SavedModelWeights(run)
        self.held = list(self.weights.variables)
        positions, classes = model.output.shape[1:]
        self.scored = positions * classes <= MAX_SCORES
        self.likeliest = _Likeliest(model.heads, name="likeliest")
        self.slots = run.config.context.slots
        self.slots_of_all = positions - self.slots
        subwords = getattr(model.heads, "subwords", 0)
        words = 0 if subwords else len(run.words)
        self.known = model.embedding.modalities, words, subwords

    def signatures(self):
        """Returns the functions that are served, by name."""
        spec = tf.TensorSpec([None, self.slots_of_all, NUM_FEATURES], tf.int32, "tokens")

        @tf.function(input_signature=[spec], autograph=False)
        def serving_default(tokens):
            with self.weights.bound():
                return self.answers(validate_tokens(tokens, *self.known))

        return {"serving_default": serving_default}

    def answers(self, tokens):
        """Returns the outputs of `serving_default` for tokens int32 `[batch, positions, 8]`."""
        if not self.slots:
            return self.predict(tokens)
        # The context starts with learned slots, which are not tokens of a request.
        slots = tf.constant(slot_tokens(self.slots))
        slots = tf.broadcast_to(slots, [tf.shape(tokens)[0], self.slots, NUM_FEATURES])
        places = tf.cast(tokens[..., MODALITY, None] > 0, tf.int32) * self.slots
        tokens += places * tf.cast(tf.range(NUM_FEATURES) == COORDINATES.start, tf.int32)
        answers = self.predict(tf.concat([slots, tokens], 1))
        return {name: answer[:, self.slots :] for name, answer in answers.items()}

    def predict(self, tokens):
        """Returns the outputs for whole contexts, int32 `[batch, positions, 8]`, a dict.

        The network is called. A functional model of its layers would leave its nodes in them, with
        each export of a run that is kept open.
        """
        hidden = self.run.model.hidden(tokens, training=False)
        answers = {"unit": self.likeliest(hidden)}
        if self.scored:
            answers["scores"] = self.run.model.heads(hidden)
        return answers

    # Name of the signature whose answers `text_stream` gives as well.
    streamed = None

    def text_stream(self, engine="auto"):
        """Returns the function that writes texts piece by piece, for the server.

        See `mdnn.serving.server.text_streams`; `None` for a network that writes no texts.

        Args:
            engine: see `mdnn.generation.engines.text_engine`.
        """

    def text_completions(self, engine="auto"):
        """Returns the `TextCompletions` that answers completions.

        See `mdnn.generation.completions.text_completions`; `None` for a network that writes no
        texts, or only as `text_stream` does.

        Args:
            engine: see `mdnn.generation.engines.text_engine`.
        """

    def examples(self):
        """Returns requests to warm up with: pairs of a signature's name and its inputs."""
        tokens = tf.zeros([1, self.slots_of_all, NUM_FEATURES], tf.int32)
        return [("serving_default", {"tokens": tokens})]


class _Likeliest(keras.layers.Layer):
    """Returns the likeliest token of each position, `[batch, positions, 4]`."""

    def __init__(self, heads, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.heads = heads

    def call(self, hidden):
        tokens = self.heads.decode(hidden, lambda scores, _: keras.ops.argmax(scores, axis=-1))
        return tokens[..., :TOKEN_BYTES]
