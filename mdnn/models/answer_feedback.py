"""What a state answers, embedded again: the decoded output that is refed."""

from keras import ops


class AnswerFeedback:
    """A function from a backbone's state to the embedding of the answer that it stands for.

    The answer is the heads' probabilities, and its embedding the mean of the symbols' rows under
    them, so that gradients go through it.

    Args:
        final_norm: layer before the heads, or `None`.
        heads: `mdnn.layers.ModalityHeads` that answers in symbols alone.
        embedding: `mdnn.layers.ModalityEmbedding` of symbols.
    """

    def __init__(self, final_norm, heads, embedding):
        self.final_norm, self.heads, self.embedding = final_norm, heads, embedding

    def __call__(self, y):
        """Returns the echo of a state `[batch, *grid, width]`, of the same shape."""
        x = y if self.final_norm is None else self.final_norm(y)
        shape = ops.shape(x)
        scores = self.heads(ops.reshape(x, (shape[0], -1, shape[-1])))
        table = ops.convert_to_tensor(self.embedding.byte_tables["symbol"][0])
        echo = ops.matmul(ops.softmax(scores, axis=-1), table)
        return ops.cast(ops.reshape(echo, shape), y.dtype)
