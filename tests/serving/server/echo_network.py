"""A network that writes its prompt over and over, as slowly as a test wants it."""

import threading

from mdnn.serving.server.served_model import GENERATE, ServedModel

STEP = 4


class AnswerFeedback:
    """Writes `STEP` characters at a step.

    Attributes:
        gate: steps are taken while it is set.
        single: one more step is taken for each time that it is released.
        steps: int, steps that were taken.
        batches: the prompts of each batch.
    """

    def __init__(self):
        self.gate, self.single = threading.Event(), threading.Semaphore(0)
        self.steps, self.batches = 0, []
        self.gate.set()

    def network(self):
        return ServedModel("1", {"generate": (GENERATE, None)}, self.write)

    def write(self, prompts, lengths, temperatures, seeds):
        self.batches.append(list(prompts))
        for start in range(0, max(lengths), STEP):
            while not self.gate.is_set() and not self.single.acquire(timeout=0.01):
                pass
            self.steps += 1
            if "boom" in prompts:
                raise ZeroDivisionError("a fault of the network's")
            yield [
                echo(prompt, length)[start : start + STEP]
                for prompt, length in zip(prompts, lengths, strict=True)
            ]


def echo(prompt, length):
    """What is written."""
    return (prompt * length)[:length]
