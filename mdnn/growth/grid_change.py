"""Maps the axes of a smaller grid to those of a larger one, by their names."""

import dataclasses
import math

import numpy as np

from mdnn.config.axis_names import CHANNELS
from mdnn.errors import MdnnError


@dataclasses.dataclass(frozen=True)
class GridChange:
    """The axes of a grid before and after growing, slowest first.

    The old grid is the corner of the new one: an old position keeps its coordinates, and has
    coordinate 0 on new axes.

    Args:
        old_names, new_names: tuples of strings.
        old_sizes, new_sizes: tuples of ints.
    """

    old_names: tuple
    old_sizes: tuple
    new_names: tuple
    new_sizes: tuple

    @property
    def old(self):
        """Dict from the names of the old axes to their sizes."""
        return dict(zip(self.old_names, self.old_sizes, strict=True))

    @property
    def new(self):
        """Dict from the names of the new axes to their sizes."""
        return dict(zip(self.new_names, self.new_sizes, strict=True))

    @property
    def changed(self):
        """Names of the axes that have grown."""
        return [name for name, size in self.new.items() if self.old.get(name, 1) < size]

    @property
    def longer(self):
        """Names of old axes that are longer now."""
        return [name for name, size in self.old.items() if self.new[name] > size]

    def name(self, number, old):
        """Returns the name of an axis of a layer's input by its number; 0 is the batch."""
        names = self.old_names if old else self.new_names
        return names[number - 1] if number <= len(names) else CHANNELS

    def check(self):
        """Refuses a grid that lacks an old axis, has a shorter one or another order.

        Raises:
            MdnnError: names the axis.
        """
        new = self.new
        for name, size in self.old.items():
            if name not in new:
                raise MdnnError(
                    f"context.grid: growing keeps every axis, received {list(self.new_sizes)} "
                    f"({', '.join(self.new_names)}) without {name!r}"
                )
            if new[name] < size:
                raise MdnnError(
                    f"context.grid: growing cannot shorten an axis: expected at least {size} for "
                    f"{name!r}, received {new[name]}"
                )
        if [name for name in self.new_names if name in self.old] != list(self.old_names):
            raise MdnnError(
                f"context.axes: growing keeps the order of {', '.join(self.old_names)}; received "
                f"{', '.join(self.new_names)}"
            )
        if self.new_names[-1] != self.old_names[-1]:
            raise MdnnError(
                f"context.axes: growing keeps {self.old_names[-1]!r} the fastest axis, received "
                f"{self.new_names[-1]!r} after it: kernels of causal mixers would have no place "
                "for their diagonal"
            )

    def without_last(self):
        """Returns the change of the grid of rows, inside a fold."""
        return GridChange(
            self.old_names[:-1], self.old_sizes[:-1], self.new_names[:-1], self.new_sizes[:-1]
        )

    def positions(self):
        """Returns the new positions of the old ones, int64 `[old positions]`, both row-major."""
        index = np.arange(math.prod(self.new_sizes)).reshape(self.new_sizes)
        corner = tuple(slice(self.old[name]) if name in self.old else 0 for name in self.new_names)
        return index[corner].reshape(-1)


def grid_change(old, new):
    """Returns the `GridChange` between two networks.

    Args:
        old, new: `mdnn.models.network.Network`.
    """
    change = GridChange(old.axis_names, old.grid, new.axis_names, new.grid)
    change.check()
    return change
