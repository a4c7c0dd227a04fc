"""Maps channels of a narrower network to those of a wider one.

A map is an int array of the new width: the old channel that each new channel continues, or `NEW`.
Kernels per group of channels, and activations that treat channels differently, restrict where an
old channel may stand.
"""

import dataclasses

import numpy as np

from mdnn import activations
from mdnn.errors import MdnnError
from mdnn.growth.origins import NEW


@dataclasses.dataclass(frozen=True)
class Groups:
    """Channels are cut into groups of neighbors with a kernel each.

    Args:
        old, new: int, number of groups before and after.
    """

    old: int
    new: int

    def holds(self, source, width):
        """Returns whether each new group continues channels of one old group at most."""
        for channels in np.split(source, self.new):
            groups = channels[channels != NEW] // (width // self.old)
            if len(set(groups.tolist())) > 1:
                return False
        return True

    def proposal(self, old, new):
        """Returns a map that gives every old group new groups of its own, or `None`."""
        size, wider = old // self.old, new // self.new
        each = -(-size // wider)
        if each * self.old > self.new:
            return None
        source = np.full(new, NEW)
        for group in range(self.old):
            begin = group * each * wider
            source[begin : begin + size] = np.arange(group * size, (group + 1) * size)
        return source

    def kernels(self, source, width):
        """Returns the old group whose kernel each new group continues, or `NEW`."""
        return group_sources(source, width, self.old, self.new)

    def __str__(self):
        return f"{self.old} groups of channels before growing, {self.new} after"


@dataclasses.dataclass(frozen=True)
class Activated:
    """An activation that treats channels by their number: `partial(...)` or `sort2`.

    Args:
        function: the activation.
        name: str, its name.
    """

    function: object
    name: str

    def _count(self, width):
        if isinstance(self.function, activations.Partial):
            return self.function.activated(width)
        return width

    def _pairs(self):
        inner = getattr(self.function, "activation", self.function)
        return inner is activations.sort2

    def holds(self, source, width):
        """Returns whether old channels stay activated, or linear, and pairs stay pairs."""
        active = np.arange(len(source)) < self._count(len(source))
        known = source != NEW
        if (active[known] != (source[known] < self._count(width))).any():
            return False
        if not self._pairs():
            return True
        pairs = source[: self._count(len(source))].reshape(-1, 2)
        new = (pairs == NEW).all(axis=1)
        return bool((new | ((pairs[:, 0] % 2 == 0) & (pairs[:, 1] == pairs[:, 0] + 1))).all())

    def proposal(self, old, new):
        """Returns a map with activated channels first and linear ones after, or `None`."""
        a, b = self._count(old), self._count(new)
        if a > b or old - a > new - b:
            return None
        source = np.full(new, NEW)
        source[:a], source[b : b + old - a] = np.arange(a), np.arange(a, old)
        return source

    def __str__(self):
        return f"the activation {self.name}"


@dataclasses.dataclass(frozen=True)
class Fixed:
    """Channels keep their numbers.

    Args:
        reason: str, why.
    """

    reason: str

    def holds(self, source, width):
        return bool((source[:width] == np.arange(width)).all())

    def proposal(self, old, new):
        return None

    def __str__(self):
        return self.reason


def activated(function, name):
    """Returns the restrictions of an activation on the numbers of channels, a list."""
    special = isinstance(function, activations.Partial) or function is activations.sort2
    return [Activated(function, name)] if special else []


def channel_map(old, new, rules, where):
    """Returns a map from new channels to old ones that keeps to all rules.

    Args:
        old, new: int, widths.
        rules: list of `Groups`, `Activated` and `Fixed`.
        where: str, what is widened, for errors.

    Raises:
        MdnnError: narrower than before, or no map keeps to the rules.
    """
    if new < old:
        raise MdnnError(f"{where}: growing keeps at least {old} channels, received {new}")
    plain = np.concatenate([np.arange(old), np.full(new - old, NEW)])
    proposals = [plain, *(rule.proposal(old, new) for rule in rules)]
    for source in proposals:
        if source is not None and all(rule.holds(source, old) for rule in rules):
            return source
    advice = f"; use a multiple of {old}" if new % old else ""
    raise MdnnError(
        f"{where}: {old} channels cannot be widened to {new}: "
        f"{' and '.join(map(str, rules))}{advice}"
    )


def group_sources(source, width, old_groups, new_groups):
    """Returns the old group that the channels of each new group continue, or `NEW`.

    Args:
        source: the channel map.
        width: int, old number of channels.
        old_groups, new_groups: int, numbers of groups that divide the old and new channels.
    """
    found = np.full(new_groups, NEW)
    for number, channels in enumerate(np.split(np.asarray(source), new_groups)):
        known = channels[channels != NEW]
        if len(known):
            found[number] = known[0] // (width // old_groups)
    return found


def halves(source, width):
    """Returns the map of two stacked copies of the channels, `[first | second]`."""
    source = np.asarray(source)
    return np.concatenate([source, np.where(source == NEW, NEW, source + width)])
