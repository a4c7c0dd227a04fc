"""The automaton of a text's UTF-8 bytes, made from that of its characters."""

import numpy as np

DEAD = -1
"""What stands in tables where nothing may follow."""

CONTINUATION = 64
"""Number of bytes that may continue a character: 0x80 to 0xBF, six bits each."""

BLOCKS = 4096
"""Blocks of 64 code points that begin with one byte, for characters of four bytes."""


def utf8_table(automaton):
    """Returns the state after each byte, int32 `[all states, 256]`; `DEAD`: it may not follow.

    The first states are those of the automaton; the others stand inside of a character. Beginnings
    of characters from which the same bytes lead to the same states share one.

    Args:
        automaton: `mdnn.constraints.automaton.Automaton`.
    """
    inside, numbers = [], {}

    def node(targets):
        """Returns the state that 64 continuation bytes lead from, made once."""
        if (targets < 0).all():
            return DEAD
        key = targets.tobytes()
        if key not in numbers:
            numbers[key] = automaton.states + len(inside)
            row = np.full(256, DEAD, "int32")
            row[0x80:0xC0] = targets
            inside.append(row)
        return numbers[key]

    rows = np.full((automaton.states, 256), DEAD, "int32")
    for row, after in zip(rows, automaton.next_states, strict=True):
        cells = after[automaton.page_classes].astype("int32")
        row[:0x80] = cells[automaton.pages[0], :0x80]
        # The state that the last byte leads from, for each 64 code points.
        leaves = [node(targets) for targets in cells.reshape(-1, CONTINUATION)]
        blocks = np.array(leaves, "int32").reshape(len(cells), -1)[automaton.pages].reshape(-1)
        row[0xC2:0xE0] = blocks[2:32]
        threes = blocks[:1024].reshape(16, CONTINUATION).copy()
        # Longer than need be, and surrogates.
        threes[0, :32] = threes[0xD, 32:] = DEAD
        row[0xE0:0xF0] = [node(targets) for targets in threes]
        fours = np.full(5 * BLOCKS, DEAD, "int32")
        fours[1024 : len(blocks)] = blocks[1024:]
        seconds = [node(targets) for targets in fours.reshape(-1, CONTINUATION)]
        row[0xF0:0xF5] = [
            node(targets) for targets in np.array(seconds, "int32").reshape(5, CONTINUATION)
        ]
    return np.concatenate([rows, np.array(inside, "int32").reshape(-1, 256)])
