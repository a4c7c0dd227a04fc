"""The loss of networks in tandem: each learns from the data and from the others."""

from keras import ops

from mdnn.models.loss_model import LossModel


class TandemLoss(LossModel):
    """The mean of the members' losses plus the divergence from each other's predictions.

    Each member m also moves towards the mean q_m of the other members' probabilities, by the
    gradient of `exchange * KL(q_m || p_m)`, in which q_m is constant: deep mutual learning
    (arXiv 1706.00384) with probabilities averaged, not logits. With stale members q_m are
    predictions made with weights of some steps ago, without dropout: codistillation (arXiv
    1804.03235). The loss that is shown is that of the targets alone.

    Args:
        model: `mdnn.models.tandem.tandem_network.TandemNetwork`.
        loss: its `mdnn.TokenCrossEntropy`.
        divided: bool, whether each example is learned by one member alone (example i by member i
            modulo their number); all learn from each other on it.
        stale: `mdnn.models.tandem.stale_members.StaleMembers` from which the members learn; `None`:
            they learn from each other as they are.

    Call arguments:
        batch: see `LossModel`; and `exchange`, float32 `[batch]`, the same number for every
            example. Without it each member learns alone.
    """

    def __init__(self, model, loss, divided=False, stale=None, **kwargs):
        super().__init__(model, loss, **kwargs)
        self.divided, self.stale = divided, stale
        self.exchange, self.stale_values = None, None
        # On devices that share the members: makes every device have a tensor of all of them.
        self.whole_members = None

    def call(self, batch, training=None):
        self.exchange = batch["exchange"][0] if "exchange" in batch else None
        if self.stale is not None:
            # Read once: TensorFlow recomputes no function that reads variables inside a loop.
            self.stale_values = self.stale.values()
        return super().call(batch, training)

    def hidden_of(self, batch, training=None):
        own = super().hidden_of(batch, training)
        if self.stale is None:
            return own
        with self.stale.computing(self.stale_values):
            taught = ops.stop_gradient(self.network.hidden(batch["tokens"], training=False))
        return own, taught

    def nll(self, name, hidden, rows):
        heads, count = self.heads, self.heads.members.count
        own, taught = hidden if isinstance(hidden, tuple) else (hidden, None)
        answers, total, pull = {}, 0.0, 0.0
        for step in heads.steps:
            if step.kinds is not None and step.kinds != (name,):
                continue
            answers[step.name] = step.answer(rows)
            weight = (self.loss_function.step_weights or {}).get(step.group, 1.0)
            if not weight:
                continue
            logs = ops.log_softmax(heads.member_scores(step, own, answers), axis=-1)
            target = ops.one_hot(answers[step.name], step.classes, dtype=logs.dtype)
            total = total - weight * ops.sum(logs * target[:, None], axis=-1)
            if self.exchange is None:
                continue
            p = ops.exp(logs) if self.stale is None else self._stale(step, taught, answers)
            others = (ops.sum(p, axis=1, keepdims=True) - p) / (count - 1)
            pull = pull - weight * ops.sum(ops.stop_gradient(others) * logs, axis=-1)
        if self.divided:
            example = ops.arange(ops.shape(rows)[0]) // self.network.positions
            total = total * ops.one_hot(example % count, count, dtype=total.dtype) * count
        if self.exchange is not None:
            total = total + self.exchange * (pull - ops.stop_gradient(pull))
        return ops.mean(total, axis=1)

    def _stale(self, step, taught, answers):
        """Returns the stale members' probabilities of a step, `[..., members, classes]`."""
        with self.stale.computing(self.stale_values):
            p = ops.softmax(self.heads.member_scores(step, taught, answers), axis=-1)
        return p if self.whole_members is None else self.whole_members(p)
