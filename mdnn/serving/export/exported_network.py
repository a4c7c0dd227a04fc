"""What every SavedModel of a network answers: tokens in, scores and the likeliest units out."""

import keras
import tensorflow as tf

from mdnn.generation.writer import UNIT
from mdnn.serving.export.saved_weights import SavedModelWeights
from mdnn.serving.export.token_checks import validate_tokens
from mdnn.tokens.features import WIDTH

# Scores of one context that are answered: of more a server would run out of memory.
MOST_SCORES = 2**26


class ServedNetwork:
    """A network with the signature `serving_default`.

    Args:
        run: `mdnn.runs.run_folder.Run`.

    Attributes:
        weights: `SavedModelWeights`; every function that is served runs the network inside
            `in_use`.
        held: list of what the SavedModel holds: variables, and modules of TensorFlow's.
    """

    def __init__(self, run):
        model = run.model
        self.weights = SavedModelWeights(run)
        self.held = list(self.weights.variables)
        tokens = model.input["tokens"]
        hidden, heads = model.hidden(tokens), model.heads
        answers = {"unit": _Likeliest(heads)(hidden)}
        positions = int(tokens.shape[1])
        if positions * heads.compute_output_shape(hidden.shape)[-1] <= MOST_SCORES:
            answers["scores"] = heads(hidden)
        self.slots_of_all = positions
        self.predict = keras.Model(tokens, answers)
        self.known = model.embedding.modalities, len(run.words)

    def signatures(self):
        """The functions that are served, by name."""
        spec = tf.TensorSpec([None, self.slots_of_all, WIDTH], tf.int32, "tokens")

        @tf.function(input_signature=[spec])
        def serving_default(tokens):
            with self.weights.in_use():
                return self.predict(validate_tokens(tokens, *self.known), training=False)

        return {"serving_default": serving_default}

    def examples(self):
        """Requests to warm up with: pairs of a signature's name and its inputs."""
        tokens = tf.zeros([1, self.slots_of_all, WIDTH], tf.int32)
        return [("serving_default", {"tokens": tokens})]


class _Likeliest(keras.layers.Layer):
    """The likeliest unit of each position, `[batch, positions, 4]`."""

    def __init__(self, heads, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.heads = heads

    def call(self, hidden):
        rows = self.heads.decode(hidden, lambda scores, _: keras.ops.argmax(scores, axis=-1))
        return rows[..., :UNIT]
