"""Many sudokus solved at once: candidates as bits, singles propagated, the rest searched."""

import functools

import numpy as np

# States that are propagated together; the others wait, so that memory is bounded.
BLOCK = 4096

# Few states take as long as one.
FEW = 64

GUESSES = 50_000
"""States of one strange puzzle that are looked at. The hardest real ones take some thousands."""


@functools.cache
def units_of(height, width):
    """The units of sudokus with boxes of so many rows and columns.

    Returns:
        `units`, int `[3n, n]`: the cells of each row, column and box; `of_cell`, int `[n * n, 3]`:
        the three units of each cell; n is `height * width`.
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
    """How many bits a mask of `size` bits has, uint8 `[2 ** size]`."""
    masks = np.arange(2**size)
    return sum((masks >> bit) & 1 for bit in range(size)).astype(np.uint8)


def to_masks(puzzles, size):
    """Candidates as bits, uint16 `[cells, n]`, of puzzles `[n, cells]`; a blank, 0, has all."""
    puzzles = np.asarray(puzzles).T.astype(np.uint16)
    full = np.uint16(2**size - 1)
    return np.where(puzzles > 0, np.uint16(1) << np.maximum(puzzles, 1) - np.uint16(1), full)


def to_digits(masks):
    """Digits, uint8 `[n, cells]`, of masks `[cells, n]` with one bit each."""
    return (np.log2(np.maximum(masks, 1)).astype(np.uint8) + 1).T


def propagate(masks, box):
    """Takes candidates away until naked and hidden singles say nothing more.

    Args:
        masks: uint16 `[cells, n]`, candidates; changed in place.
        box: rows and columns of a box.

    Returns:
        Boolean `[n]`: whether a contradiction was found.
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
        taken, twice = (_of_cells(found, of_cell) for found in (taken, twice))
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
    """Which bits are in at least one, and in at least two, of masks `[units, cells, n]`."""
    once = masks[:, 0].copy()
    twice = np.zeros_like(once)
    for cell in range(1, masks.shape[1]):
        twice |= once & masks[:, cell]
        once |= masks[:, cell]
    return once, twice


def _of_cells(found, of_cell):
    """What was found in units `[units, n]`, for each cell in any of its three: `[cells, n]`."""
    return found[of_cell[:, 0]] | found[of_cell[:, 1]] | found[of_cell[:, 2]]


def count_solutions(masks, box, limit=2, guesses=None):
    """Counts solutions, at most so many.

    Args:
        masks: uint16 `[cells, n]`, candidates.
        box: rows and columns of a box.
        limit: int, where counting ends.
        guesses: int, states of a puzzle that are looked at, and of all of them together 20 times
            as many and 1,000 for each; `None`: all.

    Returns:
        int `[n]`, from 0 to `limit`, -1 where that was not found out; and uint16 `[cells, n]`, the
        masks of the last solution that was found, zeros where there is none.
    """
    number = masks.shape[1]
    counts, found = np.zeros(number, dtype=np.int64), np.zeros_like(masks)
    looked = np.zeros(number, dtype=np.int64)
    given_up = np.zeros(number, dtype=bool)
    bits = _counts(box[0] * box[1])
    # What is not decided yet, the last first: a search in depth, many side by side.
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
        found[:, owners[solved]] = states[:, solved]
        np.add.at(counts, owners[solved], 1)
        states, owners, left = states[:, ~solved], owners[~solved], left[:, ~solved]
        if not owners.size:
            continue
        # The cell with the fewest candidates: its lowest one, or one of the others.
        cell = np.where(left > 1, left, 255).argmin(axis=0)
        column = np.arange(owners.size)
        mask = states[cell, column]
        lowest = mask & (~mask + np.uint16(1))
        other = states.copy()
        states[cell, column], other[cell, column] = lowest, mask & ~lowest
        waiting.append((other, owners))
        waiting.append((states, owners))
    counts = np.minimum(counts, limit)
    return np.where(given_up & (counts < limit), -1, counts), found


def fill(number, box, words):
    """Draws solved grids.

    Args:
        number: int.
        box: rows and columns of a box.
        words: function from a number to so many random uint64.

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
        # The one of its candidates that was drawn, counted from the lowest.
        place = (words(left.size) % count.astype(np.uint64)).astype(np.int64)
        for _ in range(size):
            mask = np.where(place > 0, mask & (mask - np.uint16(1)), mask)
            place -= 1
        states[cell, column] = mask & (~mask + np.uint16(1))
        grids[:, left] = states
        left = left[~(counts == 1).all(axis=0)]
    return grids


def dig(grids, least, orders, box):
    """Takes digits out of solved grids as long as there is one solution.

    Args:
        grids: uint16 `[cells, n]`, as `fill` gives them.
        least: int `[n]`, how many givens are to be left.
        orders: int `[cells, n]`, in which order cells are tried.
        box: rows and columns of a box.

    Returns:
        Boolean `[cells, n]`: which cells are given. Where no cell could be taken out any more,
        there are more givens than asked for.
    """
    full = np.uint16(2 ** (box[0] * box[1]) - 1)
    given = np.ones(grids.shape, dtype=bool)
    for cells in orders:
        left = np.flatnonzero(given.sum(axis=0) > least)
        if not left.size:
            break
        # Whether there is a solution with another digit here.
        states = np.where(given[:, left], grids[:, left], full)
        cell, column = cells[left], np.arange(left.size)
        states[cell, column] = full & ~grids[cell, left]
        counts, _ = count_solutions(states, box, limit=1)
        only = counts == 0
        given[cell[only], left[only]] = False
    return given
