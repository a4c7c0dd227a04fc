"""Solves many sudokus in parallel with candidate bit masks, propagation and search.

A "unit" is a row, column or box of a sudoku.
"""

import functools

import numpy as np

# Maximum number of states that are propagated together, to bound memory.
BLOCK = 4096

# Batches of up to this many states take about as long as a single state.
FEW = 64

GUESSES = 20_000
"""Maximum number of search states per puzzle. The hardest known puzzles take some thousands."""


@functools.cache
def units_of(height, width):
    """Lists the rows, columns and boxes ("units") of sudokus with boxes of `height` x `width`.

    Returns:
        `(units, of_cell)`, with n = `height * width`: int `[3n, n]`, the cells of each row, column
        and box; and int `[n * n, 3]`, the three units of each cell.
    """
    size = height * width
    cells = np.arange(size * size).reshape(size, size)
    boxes = cells.reshape(width, height, height, width).swapaxes(1, 2).reshape(size, size)
    units = np.concatenate([cells, cells.T, boxes])
    of_cell = np.zeros((size * size, 3), dtype=np.int64)
    for number, unit in enumerate(units):
        of_cell[unit, number // size] = number
    return units, of_cell


@functools.cache
def _counts(size):
    """Returns the number of set bits of each mask of `size` bits, uint8 `[2 ** size]`."""
    masks = np.arange(2**size)
    return sum((masks >> bit) & 1 for bit in range(size)).astype(np.uint8)


def to_masks(puzzles, size):
    """Converts puzzles `[n, cells]` to candidate masks uint16 `[cells, n]`; 0 has all bits."""
    puzzles = np.asarray(puzzles).T.astype(np.uint16)
    full = np.uint16(2**size - 1)
    return np.where(puzzles > 0, np.uint16(1) << np.maximum(puzzles, 1) - np.uint16(1), full)


def to_digits(masks):
    """Converts masks `[cells, n]` with one bit each to digits uint8 `[n, cells]`."""
    return (np.log2(np.maximum(masks, 1)).astype(np.uint8) + 1).T


def propagate(masks, box):
    """Removes candidates by naked and hidden singles until nothing changes.

    Args:
        masks: uint16 `[cells, n]`, candidates; changed in place.
        box: tuple, rows and columns of a box.

    Returns:
        bool `[n]`, `True` for contradictions.
    """
    units, of_cell = units_of(*box)
    size, number = box[0] * box[1], masks.shape[1]
    full = np.uint16(2**size - 1)
    dead = np.zeros(number, dtype=bool)
    active = np.arange(number)
    while active.size:
        before = masks if active.size == number else masks[:, active]
        single = (before & (before - np.uint16(1))) == 0
        taken, twice = _once_and_twice(np.where(single, before, 0)[units])
        taken, twice = (_of_cells(in_units, of_cell) for in_units in (taken, twice))
        now = before & ~np.where(single, twice, taken)
        once, twice = _once_and_twice(now[units])
        lacking = (once != full).any(axis=0)
        hidden = now & _of_cells(once & ~twice, of_cell)
        now = np.where(hidden > 0, hidden, now)
        lacking |= (now == 0).any(axis=0)
        changed = (now != before).any(axis=0) & ~lacking
        masks[:, active] = now
        dead[active] = lacking
        active = active[changed]
    return dead


def _once_and_twice(masks):
    """Returns the bits in at least one and in at least two masks of `[units, cells, n]`."""
    once = masks[:, 0].copy()
    twice = np.zeros_like(once)
    for cell in range(1, masks.shape[1]):
        twice |= once & masks[:, cell]
        once |= masks[:, cell]
    return once, twice


def _of_cells(in_units, of_cell):
    """Combines bits of units `[units, n]` for the three units of each cell: `[cells, n]`."""
    return in_units[of_cell[:, 0]] | in_units[of_cell[:, 1]] | in_units[of_cell[:, 2]]


def count_solutions(masks, box, limit=2, guesses=None):
    """Counts solutions up to a limit.

    Args:
        masks: uint16 `[cells, n]`, candidates.
        box: tuple, rows and columns of a box.
        limit: int, maximum count.
        guesses: int, maximum number of search states per puzzle; all puzzles together have at
            most `20 * guesses + 1000 * n` states. `None` for no limit.

    Returns:
        `(counts, solutions)`: int `[n]`, from 0 to `limit`, or -1 if the search was given up; and
        uint16 `[cells, n]`, the masks of the last solution found, zeros if there is none.
    """
    number = masks.shape[1]
    counts, solutions = np.zeros(number, dtype=np.int64), np.zeros_like(masks)
    looked = np.zeros(number, dtype=np.int64)
    given_up = np.zeros(number, dtype=bool)
    bits = _counts(box[0] * box[1])
    # Stack of open states: depth-first search over many puzzles in parallel.
    waiting = [(masks.copy(), np.arange(number))]
    while waiting:
        states, owners = waiting.pop()
        if states.shape[1] > BLOCK:
            waiting.append((states[:, :-BLOCK], owners[:-BLOCK]))
            states, owners = states[:, -BLOCK:].copy(), owners[-BLOCK:]
        while waiting and owners.size + waiting[-1][1].size <= FEW:
            more, whose = waiting.pop()
            states, owners = np.concatenate([states, more], axis=1), np.append(owners, whose)
        open_ = counts[owners] < limit
        if guesses is not None:
            np.add.at(looked, owners[open_], 1)
            wild = (looked > guesses) | (looked.sum() > 20 * guesses + 1000 * number)
            given_up[owners[open_ & wild[owners]]] = True
            open_ &= ~wild[owners]
        states, owners = states[:, open_], owners[open_]
        alive = ~propagate(states, box)
        states, owners = states[:, alive], owners[alive]
        left = bits[states]
        solved = (left == 1).all(axis=0)
        solutions[:, owners[solved]] = states[:, solved]
        np.add.at(counts, owners[solved], 1)
        states, owners, left = states[:, ~solved], owners[~solved], left[:, ~solved]
        if not owners.size:
            continue
        # Branch on the cell with the fewest candidates: its lowest candidate, or the others.
        cell = np.where(left > 1, left, 255).argmin(axis=0)
        column = np.arange(owners.size)
        mask = states[cell, column]
        lowest = mask & (~mask + np.uint16(1))
        other = states.copy()
        states[cell, column], other[cell, column] = lowest, mask & ~lowest
        waiting.append((other, owners))
        waiting.append((states, owners))
    counts = np.minimum(counts, limit)
    return np.where(given_up & (counts < limit), -1, counts), solutions


def fill(number, box, words):
    """Draws solved grids.

    Args:
        number: int, number of grids.
        box: tuple, rows and columns of a box.
        words: function from a number n to n random uint64.

    Returns:
        uint16 `[cells, number]`, masks of one bit each.
    """
    size = box[0] * box[1]
    bits, full = _counts(size), np.uint16(2**size - 1)
    grids = np.full((size * size, number), full)
    left = np.arange(number)
    while left.size:
        states = grids[:, left]
        dead = propagate(states, box)
        states[:, dead] = full
        counts = bits[states]
        cell = np.where(counts > 1, counts, 255).argmin(axis=0)
        column = np.arange(left.size)
        mask, count = states[cell, column], counts[cell, column]
        # Select a random candidate of the cell, counted from the lowest.
        skip = (words(left.size) % count.astype(np.uint64)).astype(np.int64)
        for _ in range(size):
            mask = np.where(skip > 0, mask & (mask - np.uint16(1)), mask)
            skip -= 1
        states[cell, column] = mask & (~mask + np.uint16(1))
        grids[:, left] = states
        left = left[~(counts == 1).all(axis=0)]
    return grids


def dig(grids, least, orders, box):
    """Removes digits from solved grids as long as the solution is unique.

    Args:
        grids: uint16 `[cells, n]`, from `fill`.
        least: int `[n]`, minimum number of givens.
        orders: int `[cells, n]`, the order in which cells are tried.
        box: tuple, rows and columns of a box.

    Returns:
        bool `[cells, n]`, `True` for givens. Their number exceeds `least` if no further digit
        can be removed.
    """
    full = np.uint16(2 ** (box[0] * box[1]) - 1)
    given = np.ones(grids.shape, dtype=bool)
    for cells in orders:
        left = np.flatnonzero(given.sum(axis=0) > least)
        if not left.size:
            break
        # Search for a solution with another digit in this cell.
        states = np.where(given[:, left], grids[:, left], full)
        cell, column = cells[left], np.arange(left.size)
        states[cell, column] = full & ~grids[cell, left]
        counts, _ = count_solutions(states, box, limit=1)
        only = counts == 0
        given[cell[only], left[only]] = False
    return given
