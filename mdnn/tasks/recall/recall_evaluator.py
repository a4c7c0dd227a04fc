"""Evaluates recall: the share of answers that are right, and their loss."""

import keras
import numpy as np
from keras import ops

from mdnn.models.compiling import predicted, without_xla
from mdnn.tasks.positions.piece_losses import PieceReader

QUICK_CONTEXTS = 32
"""Contexts of a quick evaluation."""


class RecallEvaluator:
    """Compares answers with a network's likeliest predictions; compiled once.

    Only the positions of answers are scored, so that memory does not grow with the classes.

    Args:
        networks: dict from decoding modes to networks, as returned by
            `mdnn.tasks.base.Task.networks`.
        config: `mdnn.Config` of the networks.
    """

    def __init__(self, networks, config):
        network = networks["autoregressive"]
        self.model, self.config = AnswerScores(network), config
        self.reader = None
        if 0 < config.backbone.slab < config.context.positions and network.decoder().piece:
            self.reader = PieceReader(network)

    def metrics(self, data, progress=None):
        """Returns the metrics of contexts.

        Args:
            data: `mdnn.datasets.recall.recall_batches.RecallBatches`; its steps 0 to
                `data.steps - 1` are evaluated.
            progress: function called with the completed fraction, 0 to 1.

        Returns:
            dict of `loss` (nats per character of an answer), `right` (fraction of answers of which
            every character is the likeliest one, given those before it), `right_in_10` (fraction
            whose characters have bytes among the ten likeliest each, given those before), `exact`
            (fraction of contexts with all answers right), `answers` and `contexts` (their numbers).
        """
        nats, right, in_ten = [], [], []
        for step in range(data.steps):

            def done(share, step=step):
                if progress is not None:
                    progress((step + share) / data.steps)

            nll, better = self._answers(*data.with_answers(step), done)
            nats.append(nll)
            right.append((better < 1).all(axis=-1))
            in_ten.append((better < 10).all(axis=-1))
            done(1.0)
        nats, right = np.concatenate(nats), np.concatenate(right)
        return {
            "loss": float(nats.mean()),
            "right": float(right.mean()),
            "right_in_10": float(np.concatenate(in_ten).mean()),
            "exact": float(right.all(axis=-1).mean()),
            "answers": int(right.size),
            "contexts": len(right),
        }

    def quick(self, data):
        """Returns a dict from the mode to the loss on the first contexts."""
        steps = max(1, min(data.steps, QUICK_CONTEXTS // data.batch_size))
        nats = []
        for step in range(steps):
            nats.append(self._answers(*data.with_answers(step))[0])
        return {"autoregressive": float(np.concatenate(nats).mean())}

    def _answers(self, batch, answers, progress=None):
        """Like `AnswerScores.of`, computed in pieces for long contexts."""
        if self.reader is None:
            return self.model.of(batch, answers)
        flat = answers.reshape(len(answers), -1)
        context = np.arange(len(flat))[:, None]
        hidden = np.zeros((*flat.shape, self.model.network.width), "float32")
        tokens = {"tokens": batch["tokens"]}
        for start, piece in self.reader.pieces(tokens, int(flat.max()) + 1, progress):
            size = piece["hidden"].shape[1]
            here = (flat >= start) & (flat < start + size)
            local = np.clip(flat - start, 0, size - 1)
            hidden = np.where(here[..., None], piece["hidden"][context, local], hidden)
        return self.model.scored(hidden, batch["targets"][context, flat], answers.shape)


class AnswerScores(keras.Model):
    """Maps a batch to the loss of each answer character and the number of likelier characters.

    Args:
        network: `mdnn.models.network.Network`.
    """

    def __init__(self, network):
        super().__init__(dtype="float32")
        self.network = network
        self.built = True
        without_xla(self)

    def call(self, batch):
        if "hidden" in batch:
            hidden, targets = batch["hidden"], batch["targets"]
        else:
            index = batch["answers"][..., None]
            hidden = self.network.hidden(batch["tokens"], training=False)
            hidden = ops.take_along_axis(hidden, index, axis=1)
            targets = ops.take_along_axis(ops.cast(batch["targets"], "int32"), index, axis=1)
        heads = self.network.heads
        scores, start = ops.cast(heads(hidden, targets), "float32"), 0
        total, better = 0.0, 0
        for step in heads.steps:
            piece = scores[..., start : start + step.classes]
            start += step.classes
            answer = step.answer(targets)
            of_answer = ops.take_along_axis(piece, answer[..., None], axis=-1)[..., 0]
            total = total + ops.logsumexp(piece, axis=-1) - of_answer
            likelier = piece > of_answer[..., None]
            # Among equal scores, the first counts as the likeliest.
            equal = ops.equal(piece, of_answer[..., None])
            before = ops.arange(step.classes, dtype="int32") < answer[..., None]
            likelier = ops.logical_or(likelier, ops.logical_and(equal, before))
            number = ops.sum(ops.cast(likelier, "int32"), axis=-1)
            better = ops.maximum(better, number)
        return {"nats": total, "better": better}

    def of(self, batch, answers):
        """Returns nats, float `[batch, answers, length]`, and counts of likelier bytes.

        The counts are int32 of the same shape: for each character the largest count of its bytes.
        """
        flat = answers.reshape(len(answers), -1)
        return self._shaped(predicted(self, batch | {"answers": flat}), answers.shape)

    def scored(self, hidden, targets, shape):
        """Like `of`, computed from the inputs of the heads at the answers.

        Args:
            hidden: float `[batch, n, width]`.
            targets: int32 `[batch, n, 8]`.
            shape: tuple of ints, `[batch, answers, length]`; n is answers times length.
        """
        return self._shaped(predicted(self, {"hidden": hidden, "targets": targets}), shape)

    def _shaped(self, found, shape):
        return tuple(np.asarray(found[name]).reshape(shape) for name in ("nats", "better"))
