"""What a state answers, embedded again: the decoded output that is fed back."""

from keras import ops


class AnswerFeedback:
    """A function from a backbone's state to the embedding of the answer that it stands for.

    The answer is the heads' probabilities, each later byte given the likeliest earlier ones, and
    its embedding the mean of the embedding's rows under them, so that gradients go through it.
    Coordinates and items are left out: they say where an answer is, not what.

    Args:
        final_norm: layer before the heads, or `None`.
        heads: `mdnn.layers.ModalityHeads`.
        embedding: `mdnn.layers.ModalityEmbedding`, of as many rows as the heads have classes
            (`table` of both the same).
    """

    def __init__(self, final_norm, heads, embedding):
        self.final_norm, self.heads, self.embedding = final_norm, heads, embedding

    def __call__(self, y):
        """Returns the embedded answer of a state `[batch, *grid, width]`, of the same shape."""
        x = y if self.final_norm is None else self.final_norm(y)
        shape = ops.shape(x)
        scores = self.heads(ops.reshape(x, (shape[0], -1, shape[-1])))
        answer = self._bits(scores) if self.heads.table == "bits" else self._rows(scores)
        return ops.cast(ops.reshape(answer, shape), y.dtype)

    def _bits(self, scores):
        """The mean of each bit's -1 or 1, zeros in the other channels."""
        count = scores.shape[-1] // 2
        pairs = ops.reshape(scores, (*ops.shape(scores)[:-1], count, 2))
        mean = 2 * ops.softmax(pairs, axis=-1)[..., 1] - 1
        return ops.pad(mean, [[0, 0], [0, 0], [0, self.embedding.width - count]])

    def _rows(self, scores):
        """The mean of the tables' rows, over modalities and bytes."""
        found, begin = {}, 0
        for step in self.heads.steps:
            found[step.name] = scores[..., begin : begin + step.classes]
            begin += step.classes
        names, total = self.heads.modalities, 0.0
        kinds = ops.softmax(found["modality"], axis=-1) if len(names) > 1 else None
        for number, name in enumerate(names):
            steps = [f"{name}_byte_{k + 1}" for k in range(3) if f"{name}_byte_{k + 1}" in found]
            answer = self._mean(name, [ops.softmax(found[step], axis=-1) for step in steps])
            total = total + (answer if kinds is None else kinds[..., number : number + 1] * answer)
        return total

    def _mean(self, name, chances):
        """The mean embedding of units of one modality, from the probabilities of their bytes."""
        if name == "word":
            rows = self.embedding.word_rows()
            high, low = chances
            pairs = high[..., :, None] * low[..., None, :]
            pairs = ops.reshape(pairs, (*ops.shape(high)[:-1], -1))[..., : rows.shape[0]]
            # Bytes that name no word have a share of the probability, too.
            pairs = pairs / ops.maximum(ops.sum(pairs, axis=-1, keepdims=True), 1e-9)
            return ops.matmul(pairs, ops.cast(rows, pairs.dtype))
        tables = [ops.convert_to_tensor(table) for table in self.embedding.byte_tables[name]]
        # An end has a row and no bytes to decide.
        if not chances:
            return tables[0][0]
        return sum(
            ops.matmul(chance, ops.cast(table, chance.dtype))
            for chance, table in zip(chances, tables, strict=True)
        )
