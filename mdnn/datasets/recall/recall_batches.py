"""Batches of contexts with answers, as pure functions of (seed, step)."""

import numpy as np

from mdnn.datasets.batches.step_batches import StepBatches


class RecallBatches(StepBatches):
    """Builds batches in which the answers alone are targets.

    Args:
        examples: `mdnn.datasets.recall.recall_examples.RecallExamples`.
        tokenizer: `mdnn.tokens.characters.TextTokenizer`.
        batch_size: int, contexts per batch.
        seed: int.
        steps: int, batches per epoch.
        first_step: int, the step of the first epoch's first batch.
        **kwargs: Arguments of `keras.utils.PyDataset`.

    Example:

    >>> from mdnn.tasks import task_for
    >>> task = task_for(mdnn.load_config("configs/recall-pairs.toml"))
    >>> task.batches.at(3)["tokens"].shape
    (32, 64, 8)
    """

    def __init__(self, examples, tokenizer, batch_size, seed, steps=1000, first_step=0, **kwargs):
        super().__init__(steps, first_step, **kwargs)
        self.examples, self.tokenizer = examples, tokenizer
        self.batch_size, self.seed = int(batch_size), int(seed)

    def objective(self, step):
        """Returns `"autoregressive"`: answers are predicted from earlier positions."""
        return "autoregressive"

    def at(self, step):
        """Returns the batch of a step: `tokens` and `targets`, int32 `[batch, positions, 8]`."""
        batch, _ = self.with_answers(step)
        return batch

    def with_answers(self, step):
        """Returns the batch of a step and the positions of its answers.

        Returns:
            The dict of `at`, and int32 `[batch, answers, length]`, the positions whose targets are
            the characters of each answer.
        """
        ids, answers = self.examples.draw(self.seed, step, self.batch_size)
        tokens = self.tokenizer.tokens(ids)
        asked = np.zeros(ids.shape, dtype=bool)
        asked[np.arange(len(ids))[:, None], answers.reshape(len(ids), -1)] = True
        targets = tokens[:, 1:] * asked[:, :-1, None]
        return {
            "tokens": np.ascontiguousarray(tokens[:, :-1]),
            "targets": np.ascontiguousarray(targets),
        }, answers
