"""Embeds the answer decoded from a state, for feedback into the next refeed step."""

from keras import ops


class AnswerFeedback:
    """Maps a backbone's state to the expected embedding of the answer decoded from it.

    The answer is given by the heads' probabilities, each byte conditioned on the likeliest earlier
    bytes. Its embedding is the mean of the embedding's rows under these probabilities, so that it
    is differentiable. Coordinates and item numbers are left out.

    Args:
        final_norm: layer before the heads, or `None`.
        heads: `mdnn.layers.ModalityHeads`.
        embedding: `mdnn.layers.ModalityEmbedding` with the same `table` as the heads, so that its
            rows match their classes.
    """

    def __init__(self, final_norm, heads, embedding):
        self.final_norm, self.heads, self.embedding = final_norm, heads, embedding

    def __call__(self, y):
        """Returns the embedded answer of a state `[batch, *grid, width]`, in the same shape."""
        x = y if self.final_norm is None else self.final_norm(y)
        shape = ops.shape(x)
        scores = self.heads(ops.reshape(x, (shape[0], -1, shape[-1])))
        answer = self._bits(scores) if self.heads.table == "bits" else self._rows(scores)
        return ops.cast(ops.reshape(answer, shape), y.dtype)

    def _bits(self, scores):
        """Returns the mean value of each bit (-1 or 1); zeros in the other channels."""
        count = scores.shape[-1] // 2
        pairs = ops.reshape(scores, (*ops.shape(scores)[:-1], count, 2))
        mean = 2 * ops.softmax(pairs, axis=-1)[..., 1] - 1
        return ops.pad(mean, [[0, 0], [0, 0], [0, self.embedding.width - count]])

    def _rows(self, scores):
        """Returns the mean row of the tables over modalities and bytes."""
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
        """Returns the mean embedding of tokens of one modality from their byte probabilities."""
        if name == "word":
            rows = self.embedding.word_rows()
            high, low = chances
            pairs = high[..., :, None] * low[..., None, :]
            pairs = ops.reshape(pairs, (*ops.shape(high)[:-1], -1))[..., : rows.shape[0]]
            # Byte pairs beyond the table also have probability: renormalize.
            pairs = pairs / ops.maximum(ops.sum(pairs, axis=-1, keepdims=True), 1e-9)
            return ops.matmul(pairs, ops.cast(rows, pairs.dtype))
        tables = [ops.convert_to_tensor(table) for table in self.embedding.byte_tables[name]]
        # The end token has a row but no byte steps.
        if not chances:
            return tables[0][0]
        mean = sum(
            ops.matmul(chance, ops.cast(table, chance.dtype))
            for chance, table in zip(chances, tables, strict=True)
        )
        return self.embedding.to_stream(name, mean)
