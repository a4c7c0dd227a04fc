"""Sequences of examples that are made at each access, and facts that are computed of them once."""

import collections.abc

import numpy as np


class ExampleSequence(collections.abc.Sequence):
    """Examples, made from the lines of a source at each access or kept as the source keeps them.

    Args:
        lines: sequence of `SourceExample`; those of a list, or those that its method `keeps` names,
            are kept as examples, too.
        numbers: Integers, the lines to use.
        make: function of the number of a line and the line; returns its `Example`.
    """

    def __init__(self, lines, numbers, make):
        self.lines, self.make = lines, make
        self.numbers = np.asarray(numbers, np.int32)
        self.memo, self._kept = {}, {}

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        if (example := self._kept.get(index)) is not None:
            return example
        number = int(self.numbers[index])
        example = self.make(number, self.lines[number])
        if not hasattr(self.lines, "keeps") or self.lines.keeps(number):
            self._kept[index] = example
        return example

    def __add__(self, other):
        return JoinedExamples(self, other)


class JoinedExamples(collections.abc.Sequence):
    """Two sequences of examples, one after the other.

    Args:
        first, second: Sequences of `Example`.
    """

    def __init__(self, first, second):
        self.first, self.second, self.memo = first, second, {}

    def __len__(self):
        return len(self.first) + len(self.second)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        behind = index - len(self.first)
        return self.first[index] if behind < 0 else self.second[behind]


def remembered(examples, key, compute):
    """Returns `compute()`, for a sequence of this module computed once for each key.

    Args:
        examples: sequence of `Example`, which may be a list: nothing is remembered for it.
        key: Hashable, what the result depends on besides the examples.
        compute: function without arguments.
    """
    memo = getattr(examples, "memo", None)
    if memo is None:
        return compute()
    if key not in memo:
        memo[key] = compute()
    return memo[key]
