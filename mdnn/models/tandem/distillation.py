"""The loss of a student, which learns a teacher's probabilities beside the data."""

from keras import ops

from mdnn.errors import MdnnError
from mdnn.models.loss_model import LossModel


class DistillationLoss(LossModel):
    """`(1 - w)` times the loss of the targets plus w times the divergence from a teacher.

    The teacher's probabilities of every decoding step, given the correct earlier steps, are the
    targets of the student's: KL(teacher || student), without temperature. The loss that is shown is
    that of the targets alone.

    Args:
        model: `mdnn.Network`, the student.
        loss: its `mdnn.TokenCrossEntropy`.
        teacher: `mdnn.Network` or `TandemNetwork` of the same context and heads.
        weight: float, w.

    Raises:
        MdnnError: the teacher has another context, other heads, or fewer weights than the student.
    """

    def __init__(self, model, loss, teacher, weight=0.7, **kwargs):
        super().__init__(model, loss, **kwargs)
        check_teacher(model, teacher)
        # The teacher's weights are not learned: Keras must not track them.
        object.__setattr__(self, "teacher", teacher)
        self.weight, self.rows = weight, None

    def hidden_of(self, batch, training=None):
        own = super().hidden_of(batch, training)
        taught = ops.stop_gradient(self.teacher.hidden(batch["tokens"], training=False))
        # Side by side, so that whatever takes positions takes them of both.
        return ops.concatenate([ops.cast(own, "float32"), ops.cast(taught, "float32")], axis=-1)

    def nll(self, name, hidden, rows):
        width = self.network.width
        own, taught = hidden[..., :width], hidden[..., width:]
        answers, total, pull = {}, 0.0, 0.0
        for step in self.heads.steps:
            if step.kinds is not None and step.kinds != (name,):
                continue
            answers[step.name] = step.answer(rows)
            weight = (self.loss_function.step_weights or {}).get(step.group, 1.0)
            if not weight:
                continue
            logs = ops.log_softmax(self.heads.scores_of(step, own, answers), axis=-1)
            target = ops.one_hot(answers[step.name], step.classes, dtype=logs.dtype)
            total = total - weight * ops.sum(logs * target, axis=-1)
            scores = self.teacher.heads.scores_of(step, taught, answers)
            p = ops.stop_gradient(ops.softmax(scores, axis=-1))
            pull = pull - weight * ops.sum(p * logs, axis=-1)
        learnt = (1 - self.weight) * total + self.weight * pull
        return ops.stop_gradient(total) + learnt - ops.stop_gradient(learnt)


def check_teacher(student, teacher):
    """Refuses a teacher that a student cannot learn from; see `DistillationLoss`."""
    for what, own, theirs in (
        ("context.grid", student.grid, teacher.grid),
        ("heads", student.heads.modalities, teacher.heads.modalities),
        ("tokens.heads", student.heads.table, teacher.heads.table),
        ("tokens.words", student.words, teacher.words),
    ):
        if own != theirs:
            received = "other words" if what == "tokens.words" else f"{own}, taught with {theirs}"
            raise MdnnError(f"{what}: a student has that of its teacher, received {received}")
    if student.count_params() > teacher.count_params():
        raise MdnnError(
            f"distill.teacher: expected a student of at most its teachers' "
            f"{teacher.count_params():,} weights, received {student.count_params():,}"
        )
