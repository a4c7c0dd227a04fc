"""The losses of steps, looked at late; what is no finite number stops a run or is skipped."""

import collections
import math

from mdnn.errors import MdnnError

# Steps skipped one after another that end training.
SKIPS = 100


class LossMonitor:
    """LossMonitor of steps that were taken, in their order.

    Looking at a loss waits for its step to end, so that it is done a step later, or when it must.

    Args:
        names: the paths of the trainable variables.
        skip: whether a step that was not learnt from is skipped; otherwise it ends training.
        say: function that is told of it in a line.
    """

    def __init__(self, names, skip, say):
        self.names, self.skip, self.say = names, skip, say
        self.pending = collections.deque()

    def add(self, step, rate, way, loss, fault):
        """Takes a step's loss, and its fault as `mdnn.training.step.make_step` has it."""
        self.pending.append((step, rate, way, loss, fault))

    def settle(self, progress, but=0):
        """Adds all losses but the last so many to `progress.losses`, or to what was skipped.

        Raises:
            MdnnError: a loss or a gradient that is not finite, where that ends training.
        """
        while len(self.pending) > but:
            step, rate, way, loss, (number, peak) = self.pending.popleft()
            loss, number = float(loss), int(number)
            if math.isfinite(loss) and number < 0:
                progress.losses.append([way, loss])
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
