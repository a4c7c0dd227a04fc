"""Computes the entropy of a network's prediction of each next token."""

import keras
from keras import ops

from mdnn.models.compiling import without_xla
from mdnn.tokens.modalities import modality


class TokenEntropy(keras.Model):
    """Computes the entropy of the predicted token of every position, in nats.

    The entropies of the decoding steps are summed, those of bytes conditioned on the likeliest
    earlier bytes; a step that only tokens of some modalities have counts with their probability.

    Args:
        network: `mdnn.models.network.Network`.

    Call arguments:
        tokens: int32 `[batch, positions, 8]`.

    Returns:
        float32 `[batch, positions]`.
    """

    def __init__(self, network):
        super().__init__(dtype="float32")
        self.network = network
        self.built = True
        without_xla(self)

    def call(self, tokens):
        scores = self.network.scores(tokens, training=False)
        return entropy(scores, self.network.heads.steps)


def entropy(scores, steps):
    """Returns the entropies of scores, see `TokenEntropy`: `[..., classes]` to `[...]`.

    Args:
        scores: float32 `[..., classes]`, the scores of all steps.
        steps: list of `mdnn.layers.decoding_steps.DecodingStep`.
    """
    begin, total, of_kind = 0, 0.0, {}
    for step in steps:
        logs = ops.log_softmax(scores[..., begin : begin + step.classes], axis=-1)
        begin += step.classes
        chances = ops.exp(logs)
        # Impossible classes have scores far below all others: 0 * log 0 is 0.
        own = -ops.sum(chances * ops.maximum(logs, -1e4), axis=-1)
        if step.values is not None and step.column == "modality":
            of_kind = {value: chances[..., k] for k, value in enumerate(step.values)}
        if step.kinds is not None and of_kind:
            own = own * sum(of_kind[value] for value in _values(step.kinds, of_kind))
        total = total + own
    return total


def _values(kinds, known):
    """Returns the numbers of modalities that the modality step can choose, a list."""
    return [modality(name).index for name in kinds if modality(name).index in known]
