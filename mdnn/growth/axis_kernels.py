"""Grows the kernels of `MultidimDense`: longer axes, new axes, more kernels, separate kernels."""

import dataclasses

import numpy as np

from mdnn.config.axis_names import CHANNELS
from mdnn.errors import MdnnError
from mdnn.growth.channel_maps import group_sources
from mdnn.growth.grid_change import GridChange
from mdnn.growth.kernel_matrices import ZERO, channel_matrix, identity_matrix, longer_matrix
from mdnn.growth.origins import NEW, Origin, created


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """The facts on which the growth of a mixing layer depends.

    Args:
        where: str, the layer, for errors.
        grid: `GridChange` of its input.
        channels: the channel map of its input.
        width: int, old number of channels.
        silent: bool, whether new channels hold zeros (see `channel_matrix`).
        modes: the values of `causal` that the network is called with, a set of booleans.
        exact: bool, whether a change of the scores at old positions is refused.
    """

    where: str
    grid: GridChange
    channels: np.ndarray
    width: int
    silent: bool
    modes: frozenset
    exact: bool = True


def grow_multidim(old, new, around):
    """Returns the origins of the kernels of a `MultidimDense`.

    Args:
        old, new: built layers.
        around: `Surroundings`.

    Returns:
        Dict from the ids of the new variables to `Origin`s.

    Raises:
        MdnnError: the larger layer could not compute what the old one did.
    """
    steps = {}
    for passes in old._terms:
        for one in passes:
            steps.setdefault(_names(one.step, passes[-1].step, around.grid, True), one)
    _check(old, new, around, steps)
    found = {}
    pairs = [(one, passes) for passes in new._terms for one in passes]
    # Steps that the old layer had come first: they may share their kernel with new ones ("tied").
    pairs.sort(
        key=lambda pair: _names(pair[0].step, pair[1][-1].step, around.grid, False) not in steps
    )
    for one, passes in pairs:
        names = _names(one.step, passes[-1].step, around.grid, False)
        if id(one.kernel) in found:
            continue
        if names in steps:
            origin = _continued(old, new, steps[names], one, around)
        elif names[1] not in {term for _, term in steps}:
            origin = _new_term(new, one, passes, around)
        else:
            origin = created(one.kernel, identity_matrix(one.step.n_in, _shift(new)))
        found[id(one.kernel)] = origin
    return found


def _names(step, last, grid, old):
    """Returns the names of a step's axis and of its term's axis."""
    return grid.name(step.axis, old), grid.name(last.axis, old)


def _shift(layer):
    return "shift" in layer.wiring.split("+")


def _new_term(new, one, passes, around):
    """Returns the origin of a kernel in the term of a new axis, which starts at zero."""
    causal = "causal" in new.wiring.split("+")
    if new.execution == "sequential" and not causal:
        if not passes[-1].step.diagonal:
            raise MdnnError(
                f"{around.where}: with execution = 'sequential' a new axis starts as the identity, "
                "which self_connection = 'none' forbids"
            )
        return created(one.kernel, identity_matrix(one.step.n_in, _shift(new)))
    # Only the last pass: with two kernels of zero neither would get a gradient.
    return created(one.kernel, 0.0 if one is passes[-1] else None)


def _continued(old, new, before, after, around):
    """Returns the origin of a kernel whose axis and term the old layer had."""
    name = around.grid.name(after.step.axis, False)
    if name == CHANNELS:
        matrix = channel_matrix(around.channels, around.width, around.silent)
    else:
        try:
            matrix = longer_matrix(before.step.n_in, after.step.n_in, _shift(old), _shift(new))
        except ValueError as error:
            raise MdnnError(f"{around.where}.wiring: {error}") from None
    stride = int(np.prod(before.kernel.shape[len(before.step.over) :]))
    over, parts = _over(before.step, after.step, around)
    index = over[(..., *[None] * matrix.ndim)] * stride + matrix
    free = (over == NEW)[(..., *[None] * matrix.ndim)]
    index = np.where(matrix == ZERO, ZERO, np.where(free | (matrix == NEW), NEW, index))
    # Kernels of channels that are new start as in a new network.
    index = np.where(free, NEW, index)
    index = np.broadcast_to(index, tuple(after.kernel.shape))
    index = _within_masks(before, after, index, around)
    fill = None
    if (index == ZERO).any():
        initial = np.asarray(after.kernel)
        fill = np.where(index == ZERO, 0, initial).astype(initial.dtype)
        index = np.where(index == ZERO, NEW, index)
    return Origin(before.kernel, index.astype("int64"), fill, parts=parts)


def _over(before, after, around):
    """Maps the axes over which kernels differ.

    Returns:
        int64 array of the sizes of these axes of the new kernel: the flat index of the old kernel
        that each new one continues, or `NEW`; and the number of new kernels of each old one.
    """
    sizes = {
        around.grid.name(a, True): n for a, n in zip(before.over, before.over_sizes, strict=True)
    }
    strides, stride = {}, 1
    for name in reversed(list(sizes)):
        strides[name] = stride
        stride *= sizes[name]
    index, free, parts = np.zeros((), "int64"), np.zeros((), bool), 1
    seen = set()
    for axis, size in zip(after.over, after.over_sizes, strict=True):
        name = around.grid.name(axis, False)
        seen.add(name)
        if name == CHANNELS:
            groups = sizes.get(name, 1)
            source = group_sources(around.channels, around.width, groups, size)
            continues = len(source[source != NEW])
            parts *= max(1, continues // groups)
        elif name in sizes:
            # A position beyond the old axis begins with the kernel of the last one.
            source = np.minimum(np.arange(size), sizes[name] - 1)
        else:
            source = np.zeros(size, "int64")
            parts *= around.grid.old.get(name, 1)
        index = index[..., None] + np.where(source == NEW, 0, source) * strides.get(name, 0)
        free = free[..., None] | (source == NEW)
    if missing := set(sizes) - seen:
        raise MdnnError(
            f"{around.where}.sharing: kernels differed over {', '.join(sorted(missing))}; growing "
            "cannot merge different kernels"
        )
    return np.where(free, NEW, index), parts


def _within_masks(before, after, index, around):
    """Sets entries that the old wiring left out to `ZERO`; refuses ones that the new leaves out."""
    unused = np.zeros(index.shape, bool)
    for whole in (False, True):
        if (not whole) not in around.modes:
            continue
        old = before.whole if whole else before.past
        new = after.whole if whole else after.past
        if old is not None:
            live = np.broadcast_to(old, tuple(before.kernel.shape)).reshape(-1)
            was = live[np.maximum(index, 0)]
        else:
            was = np.ones(index.shape, bool)
        now = np.ones(index.shape, bool) if new is None else np.broadcast_to(new, index.shape)
        # Only entries between old positions matter.
        inner = _inner(before, after, index, around)
        if (inner & (index >= 0) & was & ~now).any():
            raise MdnnError(
                f"{around.where}.wiring: the new wiring leaves out weights that the old one used "
                "(random wiring draws again for another size; a window, a density or "
                "self_connection may not become smaller)"
            )
        if inner is not None:
            unused |= inner & (index >= 0) & ~was & now
    return np.where(unused, ZERO, index)


def _inner(before, after, index, around):
    """Returns which kernel entries connect two old positions.

    Only entries at old positions of the other axes count.
    """
    inner = np.ones((), bool)
    for axis, size in zip(after.step.over, after.step.over_sizes, strict=True):
        name = around.grid.name(axis, False)
        inside = np.ones(size, bool)
        if name != CHANNELS:
            inside = np.arange(size) < around.grid.old.get(name, 1)
        inner = inner[..., None] & inside
    n, tail = before.step.n_in, index.shape[len(after.step.over) :]
    if around.grid.name(after.step.axis, False) == CHANNELS:
        matrix = np.ones(tail, bool)
    elif len(tail) == 1:
        size = after.step.n_in
        matrix = abs(np.arange(1 - size, size)) < n
    else:
        matrix = np.zeros(tail, bool)
        matrix[:n, :n] = True
    return np.broadcast_to(inner[(..., *[None] * len(tail))] & matrix, index.shape)


def _check(old, new, around, steps):
    """Refuses changes that would alter the values at old positions."""
    grid, where = around.grid, around.where
    for name in ("execution", "order"):
        if getattr(old, name) != getattr(new, name):
            raise MdnnError(
                f"{where}.{name}: expected {getattr(old, name)!r} as before growing, received "
                f"{getattr(new, name)!r}"
            )
    causal = "causal" in new.wiring.split("+")
    if ("causal" in old.wiring.split("+")) != causal:
        raise MdnnError(f"{where}.wiring: growing keeps 'causal', received {new.wiring!r}")
    mixed = [grid.name(a, False) for passes in new._terms for a in (passes[-1].step.axis,)]
    fresh = [name for name in mixed if name not in {term for _, term in steps}]
    tied = any(p.step.kernel == "kernel_tied" for passes in new._terms for p in passes)
    if tied and fresh and False in around.modes | ({False} if not causal else set()):
        raise MdnnError(
            f"{where}.sharing: the kernel of 'tied' would mix along the new axis {fresh[0]!r} "
            "before training; use 'shared'"
        )
    if not _shift(new) or not around.exact:
        return
    whole = not causal or False in around.modes
    for passes in new._terms:
        term = grid.name(passes[-1].step.axis, False)
        for one in passes:
            name = grid.name(one.step.axis, False)
            if name not in grid.longer:
                continue
            if whole:
                raise MdnnError(
                    f"{where}.wiring: where positions see later ones, kernels by distance "
                    f"('shift') take in the new positions of {name!r}; the old scores would "
                    "change. Wiring without 'shift' grows"
                )
            if one is not passes[-1] and grid.old.get(term, 1) > 1:
                raise MdnnError(
                    f"{where}.wiring: kernels by distance ('shift') would take the new positions "
                    f"of {name!r} into later rows; lengthen {name!r} while {term!r} still has "
                    "size 1"
                )
