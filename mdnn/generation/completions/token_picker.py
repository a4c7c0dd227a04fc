"""Picks the classes of one token, step by step, and adds up their log-probabilities."""

from keras import ops

from mdnn.generation.sampling import sample, uniform
from mdnn.layers.fused_ops import sparse_cross_entropy
from mdnn.tokens.modalities import modality


class TokenPicker:
    """Chooses a class in each decoding step of the next token of each context.

    An object belongs to one token: `ModalityHeads.decode` calls it once per step, in the order of
    `token_steps`.

    Args:
        heads: `mdnn.layers.modality_heads.ModalityHeads`.
        sampler: one of `mdnn.generation.sampling.SAMPLERS`.
        settings: dict of `seed` int32, `temperature` float32, `top_k` int32 and `top_p` float32,
            each `[batch]`.
        number: int32 `[batch]`, the number of the token in its text.
        mask: function `(index, answers)` that returns which classes of a step are allowed, bool
            `[batch, classes]`, or `None` for all; `index` is the step's index in `token_steps`,
            `answers` the classes int32 `[batch]` of the steps before it.
        offsets: function `(index, answers)` that returns what is added to the scores of a step,
            float32 `[batch, classes]`, or `None`.
        log_probabilities: bool, whether to add up the log-probabilities of the classes.
    """

    def __init__(
        self,
        heads,
        sampler,
        settings,
        number,
        mask=None,
        offsets=None,
        log_probabilities=False,
    ):
        self.heads, self.sampler, self.settings, self.number = heads, sampler, settings, number
        self.mask, self.offsets, self.log_probabilities = mask, offsets, log_probabilities
        self.steps = token_steps(heads)
        self.answers, self.scores = [], []

    def __call__(self, logits, step):
        """Returns the classes of a step, int32 `[batch]`.

        Args:
            logits: float32 `[batch, classes]`.
            step: int, the number of the step in its token, which sets the random number.
        """
        settings, u = self.settings, None
        if self.sampler != "greedy":
            u = uniform(settings["seed"], self.number, step)
        if self.log_probabilities:
            self.scores.append(logits)
        if self.offsets is not None:
            logits = logits + self.offsets(len(self.answers), self.answers)
        if self.mask is not None:
            allowed = self.mask(len(self.answers), self.answers)
            if allowed is not None:
                logits = ops.where(allowed, logits, -1e9)
        values = (settings[name] for name in ("temperature", "top_k", "top_p"))
        answer = sample(logits, u, *values, sampler=self.sampler)
        self.answers.append(answer)
        return answer

    def log_probability(self, token):
        """Returns the log-probability of a token at temperature 1, without mask and offsets.

        The token's probability is the product of the probabilities of its steps.

        Args:
            token: int32 `[batch, 4]` or wider, the token that was decoded.
        """
        total = 0.0
        for (name, _), logits, answer in zip(self.steps, self.scores, self.answers, strict=True):
            one = -sparse_cross_entropy(logits, answer)
            if name is not None and len(self.heads.modalities) > 1:
                one = ops.where(ops.equal(token[:, 0], modality(name).index), one, 0.0)
            total = total + one
        return total


def token_steps(heads):
    """Returns the decoding steps of a token in the order of `ModalityHeads.decode`.

    Args:
        heads: `mdnn.layers.modality_heads.ModalityHeads` without coordinates.

    Returns:
        List of pairs of the name of a modality, `None` for the step that chooses it, and a
        `mdnn.layers.decoding_steps.DecodingStep`.
    """
    steps = []
    if len(heads.modalities) > 1:
        steps.append((None, heads.chosen_steps[0]))
    for name in heads.modalities:
        steps += [(name, step) for step in heads.chosen_steps if step.kinds == (name,)]
    return steps
