"""Checks losses for non-finite values, which stop a run or are skipped."""

import collections
import math

from mdnn.errors import MdnnError

# Number of consecutive skipped steps that ends training.
SKIPS = 100


class LossMonitor:
    """Checks the losses of steps in order, with a delay.

    Reading a loss blocks until its step has finished, so each loss is read one step later.

    Args:
        names: list of str, the paths of the trainable variables.
        skip: bool, whether to skip a step with a non-finite loss or gradient; otherwise it ends
            training.
        say: function called with one line of text for each skipped step.
    """

    def __init__(self, names, skip, say):
        self.names, self.skip, self.say = names, skip, say
        self.pending = collections.deque()

    def add(self, step, rate, mode, loss, fault):
        """Queues the loss of a step.

        Args:
            step: int, number of the step.
            rate: float, the learning rate.
            mode: str, the decoding mode.
            loss: scalar.
            fault: see `mdnn.training.steps.step_base.TrainingStep`.
        """
        self.pending.append((step, rate, mode, loss, fault))

    def settle(self, progress, but=0):
        """Moves queued losses to `progress.losses`, or counts them as skipped.

        Args:
            progress: `mdnn.training.checkpoint.Progress`.
            but: int, number of most recent losses to leave in the queue.

        Raises:
            MdnnError: a non-finite loss or gradient with `skip=False`, or `SKIPS` consecutive ones.
        """
        while len(self.pending) > but:
            step, rate, mode, loss, (number, peak) = self.pending.popleft()
            loss, number = float(loss), int(number)
            if math.isfinite(loss) and number < 0:
                progress.losses.append([mode, loss])
                progress.running = 0
                continue
            progress.skipped += 1
            progress.running += 1
            largest = ""
            if number >= 0:
                size = f"{float(peak):.3g}" if math.isfinite(float(peak)) else "not finite"
                largest = f", largest gradient: {size}, of {self.names[number]}"
            what = f"the loss is {loss:.4g} at step {step:,} (learning rate {rate:.2e}{largest})"
            if not self.skip or progress.running >= SKIPS:
                raise MdnnError(what)
            self.say(f"{what}: skipped")
