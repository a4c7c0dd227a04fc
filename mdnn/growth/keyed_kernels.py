"""Grows the projections of `KeyedSum`: more heads of the same size, later rows."""

import numpy as np

from mdnn.errors import MdnnError
from mdnn.growth.attention_kernels import grow_projections
from mdnn.growth.origins import NEW, placed


def grow_keyed(old, new, around):
    """Returns the origins of a `KeyedSum`'s weights.

    New heads have output weights of zero. Sums are over the past alone: old positions have to stay
    the first ones.

    Args and Raises: see `mdnn.growth.axis_kernels.grow_multidim`.
    """
    where = around.where
    for name in ("wiring", "match", "sharpness", "write_gate", "forget_gate"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            raise MdnnError(
                f"{where}.{name}: growing keeps {name} = {before!r}, received {after!r}"
            )
    if around.exact:
        _check_positions(old, new, around)
    width = len(around.channels)
    features, size = old.query.units // old.heads, around.width // old.heads
    if size != width // new.heads or new.heads < old.heads:
        raise MdnnError(
            f"{where}.heads: growing keeps heads of {size} channels, expected {width // size} "
            f"heads of {width} channels, received {new.heads}"
        )
    if features != new.query.units // new.heads:
        raise MdnnError(
            f"{where}.features: growing keeps {features} features (a softmax over more is a "
            f"different function), received {new.query.units // new.heads}"
        )
    heads = [*range(old.heads), *[NEW] * (new.heads - old.heads)]
    keys, values = (_numbers(heads, count) for count in (features, size))
    outputs = {"query": keys, "value": values}
    if old.match != "previous":
        outputs["key"] = keys
    outputs |= {gate: np.array(heads) for gate in old.gates}
    found = grow_projections(old, new, around, outputs, values)
    for gate in old.gates:
        before, after = getattr(old, gate).bias, getattr(new, gate).bias
        found[id(after)] = placed(before, after, [outputs[gate]], _constant(np.asarray(after)))
    return found


def _constant(values):
    """Returns a function that returns `values`."""
    return lambda news: values


def _numbers(heads, count):
    """Returns the old index of each of the `count` channels of every head; `NEW` in new heads."""
    return np.concatenate(
        [np.full(count, NEW) if head == NEW else head * count + np.arange(count) for head in heads]
    )


def _check_positions(old, new, around):
    """Refuses grids whose new positions would be summed by old ones."""
    grid, several = around.grid, len(new.axes) > 1
    covered = [grid.name(axis, False) for axis in new.axes]
    if old.wiring == "full" or False in around.modes:
        # An axis that is new has one old position: it is longer, too.
        changed = [name for name in covered if name in grid.changed]
        if changed:
            raise MdnnError(
                f"{around.where}.wiring: keys that read later positions take in the new ones of "
                f"{changed[0]!r}; the old scores would change"
            )
    positions = grid.positions()
    if several and not np.array_equal(positions, np.arange(len(positions))):
        raise MdnnError(
            f"{around.where}: keys along all axes sum what comes before in row-major order; a grid "
            f"of {list(grid.new_sizes)} has new positions between those of {list(grid.old_sizes)}: "
            "lengthen the slowest axis, or add a slower one"
        )
