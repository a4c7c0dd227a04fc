"""Lists the contexts that show every alternative of every example."""

import numpy as np

from mdnn.datasets.items.example_sequence import remembered


def planned_contexts(lines, order):
    """Returns the `ContextPlan` of examples, cached on the sequence where possible."""
    return remembered(lines, ("contexts", order), lambda: ContextPlan(lines, order))


class ContextPlan:
    """Lists contexts that include every alternative of every example.

    Holds a number per example. The item at an index is `(line, turn, pair)`: the example, the index
    of the alternatives, the indices of the parts.

    Args:
        lines: sequence of `mdnn.datasets.items.example.Example`.
        order: `"given"`, `"any"` or `"pairs"`.
    """

    def __init__(self, lines, order):
        self.lines, self.order = lines, order
        counts = [sum(turns for _, turns in self._pairs(line)) for line in lines]
        self.ends = np.cumsum(counts, dtype=np.int64)

    def _pairs(self, line):
        """Yields the parts of an example's contexts, and their number of alternatives."""
        pairs = line.pairs if line.order_of(self.order) == "pairs" else (range(len(line.parts)),)
        for pair in pairs:
            yield pair, max(len(line.parts[part]) for part in pair)

    def __len__(self):
        return int(self.ends[-1]) if len(self.ends) else 0

    def __getitem__(self, index):
        number = int(np.searchsorted(self.ends, index, side="right"))
        line, turn = self.lines[number], index - int(self.ends[number - 1] if number else 0)
        for pair, turns in self._pairs(line):
            if turn < turns:
                return line, turn, pair
            turn -= turns
        raise IndexError(index)
