"""The heads of networks in tandem: the mean of the members' probabilities."""

import math

import keras
from keras import ops

from mdnn.layers.modality_heads import ModalityHeads


@keras.saving.register_keras_serializable(package="mdnn")
class TandemHeads(ModalityHeads):
    """Scores every decoding step with the mean of the members' probabilities.

    The score of a class is the logarithm of the mean over the members of its probability, given the
    earlier steps of the token: probabilities are averaged, not logits.

    Args:
        members: `mdnn.models.tandem.members.Members`, which holds the weights.
        **kwargs: see `ModalityHeads`.

    Input shape:
        `[batch, positions, members * width]`, the members one after another.
    """

    def __init__(self, members, **kwargs):
        super().__init__(**kwargs)
        # The weights belong to `members`: Keras must not track them here.
        object.__setattr__(self, "members", members)
        own = members.template.heads
        place = {id(weight): k for k, weight in enumerate(members.template.weights)}

        def stacked(weight):
            return members.stacked[place[id(weight)]]

        tables = {
            "kernels": {name: stacked(weight) for name, weight in own.kernels.items()},
            "biases": {name: stacked(weight) for name, weight in own.biases.items()},
            "gates": {name: [stacked(w) for w in weights] for name, weights in own.gates.items()},
        }
        for name, table in tables.items():
            object.__setattr__(self, name, table)
        self.built = True

    def build(self, hidden_shape, targets_shape=None):
        """Does nothing: the weights are those of the members."""

    def member_scores(self, step, hidden, answers):
        """Returns the scores of a step of all members, float32 `[..., members, classes]`.

        Args:
            step: decoding step.
            hidden: `[..., members * width]`.
            answers: dict from the names of earlier steps to their classes, integers `[...]`.
        """
        count, lead = self.members.count, ops.shape(hidden)[:-1]
        hidden = ops.reshape(hidden, (-1, count, hidden.shape[-1] // count))
        hidden = ops.transpose(hidden, (1, 0, 2))
        for table, earlier in zip(self.gates[step.name], step.given, strict=True):
            rows = ops.take(table, ops.reshape(answers[earlier], (-1,)), axis=1)
            hidden = hidden * (1.0 + ops.cast(rows, hidden.dtype))
        kernel = ops.cast(self.kernels[step.name], hidden.dtype)
        scores = ops.cast(ops.matmul(hidden, kernel), "float32")
        scores = scores + ops.cast(self.biases[step.name], "float32")[:, None]
        scores = ops.transpose(scores, (1, 0, 2))
        return ops.reshape(scores, (*lead, count, step.classes))

    def _score(self, step, hidden, answers):
        logs = ops.log_softmax(self.member_scores(step, hidden, answers), axis=-1)
        return ops.logsumexp(logs, axis=-2) - math.log(self.members.count)
