"""Mazes, and the shortest way through them."""

import functools

import numpy as np

from mdnn.datasets.puzzles.puzzle import Puzzle
from mdnn.datasets.random_bits import CASES, raw_stream

FREE, WALL, START, GOAL, WAY = range(5)
"""Places of a maze's symbols in its alphabet."""


class Maze(Puzzle):
    """Mazes of a size, drawn as the deep-thinking networks' are (Schwarzschild and others, 2021).

    A maze of size 9x9 has 5x5 cells, with a position between every two neighbours that is free or a
    wall; the wall around it is not drawn. (Their pictures add that wall and draw every position as
    2x2 pixels in a frame, so that their 9x9 is 24x24 pixels.) Passages are a random spanning tree,
    dug in depth from the start; start and goal are any two cells. The answer is the shortest way
    between them; positions that are free are asked for.

    Args:
        height, width: Integers from 3. Of an even size the last row or column is all wall.
        loops: Float, the share of the walls between two cells that are opened once the tree is
            there. Mazes with several shortest ways are then left out.
    """

    def __init__(self, height, width, loops=0.0):
        super().__init__("maze", (height, width), " #SGo")
        self.loops = loops
        self.cells = (height + 1) // 2, (width + 1) // 2

    def draw(self, seed, number, count, wanted):
        words = raw_stream(seed, number, CASES)
        total = self.cells[0] * self.cells[1]
        ends = (words(count) % np.uint64(total * (total - 1))).astype(np.int64)
        start, further = np.divmod(ends, total - 1)
        goal = (start + 1 + further) % total
        mazes = np.full((count, *self.shape), WALL, dtype=np.uint8)
        mazes[:, ::2, ::2] = FREE
        self._dig(mazes, start, words)
        if self.loops:
            self._open(mazes, words)
        for cells, symbol in ((start, START), (goal, GOAL)):
            mazes[np.arange(count), 2 * (cells // self.cells[1]), 2 * (cells % self.cells[1])] = (
                symbol
            )
        puzzles = mazes.reshape(count, -1)
        puzzles = puzzles[wanted(puzzles)]
        wrong, solutions = self.solve(puzzles)
        kept = np.setdiff1d(np.arange(len(puzzles)), list(wrong))
        return puzzles[kept], solutions[kept]

    def _dig(self, mazes, start, words):
        """Digs a spanning tree into mazes: on to a random new neighbour, or back."""
        count, every = len(mazes), np.arange(len(mazes))
        beside = _neighbours(*self.cells)
        total = len(beside)
        # The last column stands for what is beyond the edge.
        visited = np.zeros((count, total + 1), dtype=bool)
        visited[:, total] = visited[every, start] = True
        way = np.zeros((count, total), dtype=np.int64)
        way[:, 0] = start
        depth = np.zeros(count, dtype=np.int64)
        width, flat = self.shape[1], mazes.reshape(count, -1)
        left = every
        while left.size:
            at = way[left, depth[left]]
            new = ~visited[left[:, None], beside[at]]
            choices = new.sum(axis=1)
            on = choices > 0
            depth[left[~on]] -= 1
            drawn = words(left.size)[on] % choices[on].astype(np.uint64)
            who, at, new = left[on], at[on], new[on]
            turn = (np.cumsum(new, axis=1) > drawn[:, None].astype(np.int64)).argmax(axis=1)
            to = beside[at, turn]
            visited[who, to] = True
            depth[who] += 1
            way[who, depth[who]] = to
            # The position between two cells is halfway.
            row = at // self.cells[1] + to // self.cells[1]
            flat[who, row * width + at % self.cells[1] + to % self.cells[1]] = FREE
            left = left[depth[left] >= 0]

    def _open(self, mazes, words):
        """Opens a share of the walls between two cells."""
        row, column = np.indices(self.shape)
        inside = (row < 2 * self.cells[0] - 1) & (column < 2 * self.cells[1] - 1)
        between = inside & ((row + column) % 2 == 1)
        drawn = (words(mazes.size) >> np.uint64(11)).reshape(mazes.shape) * 2.0**-53
        mazes[(drawn < self.loops) & between & (mazes == WALL)] = FREE

    def solve(self, puzzles):
        mazes = np.asarray(puzzles).reshape(-1, *self.shape)
        free = mazes != WALL
        from_start, from_goal = (_steps(free, mazes == symbol) for symbol in (START, GOAL))
        ends = [(mazes == symbol).sum(axis=(1, 2)) for symbol in (START, GOAL)]
        length = np.where(mazes == START, from_goal, 0).max(axis=(1, 2))
        on_way = free & (from_start + from_goal == length[:, None, None])
        solutions = np.where(on_way & (mazes == FREE), np.uint8(WAY), mazes)
        found = {}
        faults = (
            (on_way.sum(axis=(1, 2)) != length + 1, "several shortest ways"),
            (length >= free[0].size, "no way from the start to the goal"),
            ((mazes == WAY).any(axis=(1, 2)), "a way that is drawn already"),
            (ends[1] != 1, "not one goal G"),
            (ends[0] != 1, "not one start S"),
        )
        for faulty, what in faults:
            found |= dict.fromkeys(np.flatnonzero(faulty).tolist(), what)
        return found, solutions.reshape(np.shape(puzzles))

    def wrong(self, puzzles, solutions):
        found, answers = self.solve(puzzles)
        differ = np.flatnonzero((answers != solutions).any(axis=1)).tolist()
        return dict.fromkeys(differ, "the solution is not the shortest way") | found


@functools.cache
def _neighbours(height, width):
    """The cells beside each cell, int `[cells, 4]`; beyond the edge the number of cells."""
    cells = np.pad(
        np.arange(height * width).reshape(height, width), 1, constant_values=height * width
    )
    sides = (cells[:-2, 1:-1], cells[2:, 1:-1], cells[1:-1, :-2], cells[1:-1, 2:])
    return np.stack([side.reshape(-1) for side in sides], axis=1)


def _steps(free, ends):
    """Steps from the ends to each free position, int32 `[n, h, w]`; where none leads, h * w."""
    # Mazes last: neighbours are then long runs of memory.
    free = np.pad(np.moveaxis(free, 0, -1), ((1, 1), (1, 1), (0, 0)))
    reached = np.pad(np.moveaxis(ends, 0, -1), ((1, 1), (1, 1), (0, 0)))
    inside = (slice(1, -1), slice(1, -1))
    far = ends[0].size
    steps = np.where(reached, 0, far).astype(np.int32)
    edge, step = reached.copy(), 0
    while edge.any():
        step += 1
        new = np.zeros_like(edge)
        new[inside] = edge[:-2, 1:-1] | edge[2:, 1:-1] | edge[1:-1, :-2] | edge[1:-1, 2:]
        edge = new & free & ~reached
        reached |= edge
        steps[edge] = step
    return np.moveaxis(steps[inside], -1, 0)
