"""Sums losses by the position in the context."""

import numpy as np


class PositionLosses:
    """Sums nats and characters by position.

    Args:
        positions: int, positions of a context.
    """

    def __init__(self, positions):
        self.nats = np.zeros(positions)
        self.characters = np.zeros(positions)

    def add(self, nats, characters):
        """Adds a batch of windows.

        Args:
            nats: `[batch, positions]`, losses, 0 where nothing is counted.
            characters: `[batch, positions]`, number of predicted characters of each position.
        """
        self.nats += nats.sum(axis=0)
        self.characters += characters.sum(axis=0)

    def table(self):
        """Returns the mean losses in ranges of positions, each about as long as all before it.

        Returns:
            List of dicts: `first` and `last` (positions from 0, both included), `loss` (nats per
            character) and `characters`; ranges without characters are left out.
        """
        last, first, rows = len(self.nats) - 1, 0, []
        while first <= last:
            end = min(last, max(2 * first - 1, 15))
            # A short rest at the end belongs to the range before it.
            end = last if last - end < (end - first + 1) // 2 else end
            part = slice(first, end + 1)
            characters = self.characters[part].sum()
            if characters:
                loss = float(self.nats[part].sum() / characters)
                counted = int(characters)
                rows.append({"first": first, "last": end, "loss": loss, "characters": counted})
            first = end + 1
        return rows


def format_positions(table):
    """Returns the lines that show a table of losses by position; none for an empty table."""
    if not table:
        return []
    lines = [f"{'positions':>21}  {'nats per character':>18}  {'characters':>12}"]
    for row in table:
        span = f"{row['first']:,} to {row['last']:,}"
        lines.append(f"{span:>21}  {row['loss']:>18.4f}  {row['characters']:>12,}")
    return lines
