"""Builds training batches of conversations as pure functions of (seed, step)."""

import numpy as np

from mdnn.datasets.batches.step_batches import StepBatches
from mdnn.datasets.random_bits import BATCH, raw_bits
from mdnn.errors import MdnnError

MAX_PACKED = 32
"""Largest number of conversations of one context."""


class ChatBatches(StepBatches):
    """Builds batches of conversations.

    A context begins with a random conversation and is filled up with further ones, the last of
    which is cut. Only the assistant's turns have targets.

    Args:
        examples: `mdnn.datasets.conversations.chat_examples.ChatExamples`.
        tokenizer: their `mdnn.tokens.characters.TextTokenizer`.
        length: int, positions of a context.
        batch_size: int, contexts per batch.
        seed: int.
        steps: int, batches per epoch; `None` for about as many tokens as the conversations
            have.
        call_weight: float, weight in the loss of the targets from a turn's first call to its end;
            others have 1. The loss is divided by the number of targets, not by their weights.
        **kwargs: Arguments of `StepBatches`.

    Raises:
        MdnnError: there are no examples.
    """

    def __init__(
        self,
        examples,
        tokenizer,
        length,
        batch_size,
        seed,
        steps=None,
        call_weight=1.0,
        **kwargs,
    ):
        if not len(examples):
            raise MdnnError("expected at least one conversation to train on")
        steps = steps or max(1, len(examples.ids) // (length * batch_size))
        super().__init__(steps, **kwargs)
        self.examples, self.tokenizer = examples, tokenizer
        self.length, self.batch_size, self.seed = int(length), int(batch_size), int(seed)
        self.call_weight = float(call_weight)

    def objective(self, step):
        """Returns a step's objective, `"autoregressive"`."""
        return "autoregressive"

    def at(self, step):
        """Returns the batch of a step.

        Returns:
            A dictionary: `"tokens"` and `"targets"`, int32 `[batch, length, 8]`; targets are zeros
            at positions before a token that is not counted. With a `call_weight` other than 1 also
            `"weights"`, float32 `[batch, length]`.
        """
        examples, size = self.examples, self.length + 1
        drawn = raw_bits(self.seed, step, (self.batch_size, MAX_PACKED), BATCH)
        drawn = (drawn % np.uint64(len(examples))).astype(np.int64)
        ids = np.full((self.batch_size, size), -1, dtype=np.int32)
        counted, calls = (np.zeros((self.batch_size, size), dtype=bool) for _ in range(2))
        for row in range(self.batch_size):
            at = 0
            for example in drawn[row]:
                start = examples.starts[example]
                end = min(examples.starts[example + 1], start + size - at)
                ids[row, at : at + end - start] = examples.ids[start:end]
                counted[row, at : at + end - start] = examples.trained[start:end]
                calls[row, at : at + end - start] = examples.calls[start:end]
                at += int(end - start)
                if at >= size:
                    break
        batch = chat_batch(self.tokenizer, ids, counted)
        if self.call_weight == 1.0:
            return batch
        return batch | {"weights": np.where(calls[:, 1:], self.call_weight, 1.0).astype("float32")}


def chat_batch(tokenizer, ids, counted):
    """Returns tokens and targets of contexts.

    Args:
        tokenizer: `mdnn.tokens.characters.TextTokenizer`.
        ids: int32 `[batch, length + 1]`, token ids, -1 for padding.
        counted: bool of the same shape, the tokens that are targets.

    Returns:
        Dict of `"tokens"` and `"targets"`, int32 `[batch, length, 8]`.
    """
    rows = tokenizer.tokens(ids)
    return {
        "tokens": np.ascontiguousarray(rows[:, :-1]),
        "targets": np.ascontiguousarray(rows[:, 1:] * counted[:, 1:, None]),
    }


def evaluation_batches(examples, tokenizer, length, batch_size):
    """Yields the examples of an evaluation, each in a context of its own.

    Args:
        examples: `ChatExamples`.
        tokenizer: their `TextTokenizer`.
        length: int, positions of a context.
        batch_size: int, contexts per batch; the last one is filled with padding.

    Yields:
        Pairs of a batch as `chat_batch` returns it and the number of its characters that are
        counted.
    """
    for first in range(0, len(examples), batch_size):
        ids = np.full((batch_size, length + 1), -1, dtype=np.int32)
        counted = np.zeros(ids.shape, dtype=bool)
        for row, example in enumerate(range(first, min(first + batch_size, len(examples)))):
            start, end = examples.starts[example], examples.starts[example + 1]
            ids[row, : end - start] = examples.ids[start:end]
            counted[row, : end - start] = examples.evaluated[start:end]
        counted[:, 0] = False
        yield chat_batch(tokenizer, ids, counted), int(tokenizer.lengths(ids[counted]).sum())
