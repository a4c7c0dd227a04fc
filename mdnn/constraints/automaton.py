"""Finite automata of characters, made from expressions."""

import collections
import functools

import numpy as np

from mdnn.constraints.expressions import (
    LAST,
    SURROGATES,
    Chars,
    Choice,
    Repeat,
    Sequence,
    TextUntil,
    other_chars,
)
from mdnn.errors import MdnnError

MAX_STATES = 20_000
"""Largest number of states of an automaton."""

MAX_NODES = 400_000
"""Largest number of states before equal ones are joined, and of steps to join them."""

PAGE = 256
"""Code points of a page; code points of one page share their upper bytes."""


class Automaton:
    """A deterministic automaton: which characters may follow a text.

    Characters with equal transitions form one class. States from which no end can be reached are
    left out.

    Args:
        next_states: int32 `[states, classes]`, the state after a character; -1: none may follow.
            State 0 is the start.
        accepting: bool `[states]`, whether a text may end there.
        bounds: int64 `[n]`, first code points of intervals; the first is 0.
        interval_classes: int32 `[n]`, the class of each interval.

    Attributes:
        distance: int32 `[states]`, the least number of characters to an end.
        pages: int32 `[4352]`, the page of each 256 code points.
        page_classes: int32 `[number of pages, 256]`, the classes of a page's characters.
    """

    def __init__(self, next_states, accepting, bounds, interval_classes):
        self.next_states, self.accepting = next_states, accepting
        self.bounds, self.interval_classes = bounds, interval_classes
        self.distance = _distances(next_states, accepting)

    @property
    def states(self):
        """Number of states, int."""
        return len(self.next_states)

    def class_of(self, character):
        """Returns the class of a character, int."""
        place = np.searchsorted(self.bounds, ord(character), side="right") - 1
        return int(self.interval_classes[place])

    def step(self, text, state=0):
        """Returns the state after a text; -1 if it does not fit.

        Args:
            text: str.
            state: int, the state before it.
        """
        for character in text:
            if state < 0:
                return -1
            state = int(self.next_states[state, self.class_of(character)])
        return state

    def matches(self, text):
        """Returns whether a text fits from beginning to end."""
        state = self.step(text)
        return state >= 0 and bool(self.accepting[state])

    def is_final(self, state):
        """Returns whether a text is complete and nothing may follow."""
        return state >= 0 and bool(self.accepting[state]) and (self.next_states[state] < 0).all()

    @functools.cached_property
    def _tables(self):
        sizes = np.diff([*self.bounds, LAST + 1])
        table = np.repeat(self.interval_classes, sizes).reshape(-1, PAGE)
        # Few pages differ: equal rows, compared by their bytes, share one.
        numbers, pages = {}, np.empty(len(table), "int32")
        for row, values in enumerate(table):
            pages[row] = numbers.setdefault(values.tobytes(), len(numbers))
        rows = [np.frombuffer(key, table.dtype) for key in numbers]
        return pages, np.array(rows, "int32")

    pages = property(lambda self: self._tables[0])
    page_classes = property(lambda self: self._tables[1])


def _distances(next_states, accepting):
    """Returns the least number of characters from each state to an end, int32 `[states]`."""
    far = np.iinfo("int32").max
    distance = np.where(accepting, 0, far).astype("int64")
    before = [[] for _ in range(len(next_states))]
    for state, row in enumerate(next_states):
        for target in np.unique(row[row >= 0]):
            before[target].append(state)
    queue = collections.deque(np.flatnonzero(accepting).tolist())
    while queue:
        state = queue.popleft()
        for earlier in before[state]:
            if distance[earlier] > distance[state] + 1:
                distance[earlier] = distance[state] + 1
                queue.append(earlier)
    return distance.astype("int32")


def compile_expression(expression, what="the grammar"):
    """Makes an `Automaton`.

    Args:
        expression: an expression of `mdnn.constraints.expressions`.
        what: str, its name in errors.

    Raises:
        MdnnError: no text fits, or the automaton would be too large.
    """
    graph = _Graph(what)
    try:
        start = graph.add(expression, graph.end)
    except RecursionError:
        raise MdnnError(f"{what} is nested too deeply") from None
    intervals = _Intervals(graph.edges)
    table, accepting = _determinize(graph, start, intervals, what)
    keep = _distances(table, accepting) < np.iinfo("int32").max
    if not keep[0]:
        raise MdnnError(f"{what} cannot be met: no text matches it")
    numbers = np.where(keep, np.cumsum(keep) - 1, -1).astype("int32")
    table = np.where(table >= 0, numbers[table], -1)[keep]
    return Automaton(table.astype("int32"), accepting[keep], intervals.bounds, intervals.classes)


class _Graph:
    """A nondeterministic automaton, built backwards from its end.

    Args:
        what: str, its name in errors.
    """

    def __init__(self, what):
        self.what = what
        # Of each node: nodes that follow without a character, and pairs of ranges and a node.
        self.free, self.edges, self.made = [], [], {}
        self.end = self.node()

    def node(self):
        if len(self.free) >= MAX_NODES:
            raise MdnnError(f"{self.what} is too large: more than {MAX_NODES:,} places of a text")
        self.free.append([])
        self.edges.append([])
        return len(self.free) - 1

    def add(self, expression, target):
        """Adds an expression that is followed by a node; returns the node where it begins.

        The same expression before the same node is added once.
        """
        key = id(expression), target
        if key not in self.made:
            # The expression is kept, so that no other gets its id.
            self.made[key] = self._add(expression, target), expression
        return self.made[key][0]

    def _add(self, expression, target):
        if isinstance(expression, Chars):
            node = self.node()
            self.edges[node].append((expression.ranges, target))
            return node
        if isinstance(expression, Sequence):
            for item in reversed(expression.items):
                target = self.add(item, target)
            return target
        if isinstance(expression, Choice):
            node = self.node()
            self.free[node] += [self.add(item, target) for item in expression.items]
            return node
        if isinstance(expression, Repeat):
            return self._repeat(expression, target)
        if isinstance(expression, TextUntil):
            return self._until(expression, target)
        raise TypeError(type(expression).__name__)

    def _repeat(self, repeat, target):
        if repeat.most is None:
            loop = self.node()
            self.free[loop] += [target, self.add(repeat.item, loop)]
            target = loop
        for _ in range((repeat.most or repeat.least) - repeat.least):
            node = self.node()
            self.free[node] += [target, self.add(repeat.item, target)]
            target = node
        for _ in range(repeat.least):
            target = self.add(repeat.item, target)
        return target

    def _until(self, until, target):
        """Adds the automaton of Aho and Corasick (1975), which finds the first of several marks."""
        ends = {mark: self.add(after, target) for mark, after in until.marks}
        places = {mark[:size]: None for mark in ends for size in range(len(mark))}
        places = {place: self.node() for place in places}
        alphabet = sorted({character for mark in ends for character in mark})
        others = other_chars([(ord(c), ord(c)) for c in alphabet]).ranges
        for place, node in places.items():
            self.edges[node].append((others, places[""]))
            for character in alphabet:
                text = place + character
                while text not in places and text not in ends:
                    text = text[1:]
                code = ord(character)
                self.edges[node].append((((code, code),), ends.get(text, places.get(text))))
        return places[""]

    def closure(self, nodes):
        """Returns nodes and all that follow them without a character, a frozenset."""
        stack, seen = list(nodes), set(nodes)
        while stack:
            for node in self.free[stack.pop()]:
                if node not in seen:
                    seen.add(node)
                    stack.append(node)
        # Nodes that only lead on tell no states apart.
        return frozenset(n for n in seen if self.edges[n] or n == self.end)


class _Intervals:
    """Cuts the code points into intervals and joins those that no edge tells apart.

    Args:
        edges: list of lists of pairs of ranges and a node.
    """

    def __init__(self, edges):
        sets = {ranges for node in edges for ranges, _ in node}
        cuts = {0, SURROGATES[0], SURROGATES[1] + 1}
        for ranges in sets:
            for first, last in ranges:
                cuts |= {first, last + 1}
        self.bounds = np.array(sorted(cut for cut in cuts if cut <= LAST), "int64")
        members = np.zeros((len(sets), len(self.bounds)), bool)
        spans = {}
        for row, ranges in enumerate(sets):
            for first, last in ranges:
                start, end = np.searchsorted(self.bounds, [first, last + 1])
                members[row, start:end] = True
            spans[ranges] = row
        columns = [column.tobytes() for column in members.T]
        numbers = {}
        self.classes = np.array([numbers.setdefault(c, len(numbers)) for c in columns], "int32")
        self.count = len(numbers)
        firsts = [columns.index(column) for column in numbers]
        table = members[:, firsts]
        self.of_ranges = {ranges: np.flatnonzero(table[row]) for ranges, row in spans.items()}


def _determinize(graph, start, intervals, what):
    """Returns the transitions int32 `[states, classes]` and which states are accepting."""
    first = graph.closure([start])
    numbers, queue, rows, steps = {first: 0}, [first], [], 0
    for nodes in queue:
        targets = collections.defaultdict(set)
        for node in nodes:
            for ranges, target in graph.edges[node]:
                for number in intervals.of_ranges[ranges]:
                    targets[number].add(target)
                    steps += 1
        row = np.full(intervals.count, -1, "int32")
        closures = {}
        for number, reached in targets.items():
            key = frozenset(reached)
            if key not in closures:
                closures[key] = graph.closure(key)
            state = closures[key]
            if state not in numbers:
                numbers[state] = len(numbers)
                queue.append(state)
            row[number] = numbers[state]
        rows.append(row)
        if len(numbers) > MAX_STATES or steps > 10 * MAX_NODES:
            raise MdnnError(f"{what} is too large: more than {MAX_STATES:,} states")
    accepting = np.array([graph.end in nodes for nodes in queue])
    return np.array(rows), accepting
