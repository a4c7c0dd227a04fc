"""Grows the kernels of convolutions and local connections: axes, windows, groups."""

import numpy as np

from mdnn.config.axis_names import CHANNELS
from mdnn.errors import MdnnError
from mdnn.growth.axis_kernels import _over
from mdnn.growth.origins import NEW, Origin, placed


def grow_conv(old, new, around):
    """Returns the origins of an `AxisConv`'s weights; a longer kernel starts with zeros.

    Args and Raises: see `mdnn.growth.axis_kernels.grow_multidim`.
    """
    name = around.grid.name(new.axis, False)
    if old.wiring != new.wiring or old.depthwise != new.depthwise:
        raise MdnnError(
            f"{around.where}: growing keeps wiring = {old.wiring!r} and depthwise = "
            f"{old.depthwise}, received {new.wiring!r} and {new.depthwise}"
        )
    if around.exact and old.wiring == "full" and name in around.grid.longer:
        raise MdnnError(
            f"{around.where}.wiring: a convolution that sees later positions would read the new "
            f"ones of {name!r}, which changes the old scores"
        )
    past = [
        (layer.kernel_size - 1) // 2 if layer.wiring == "full" else layer.kernel_size - 1
        for layer in (old, new)
    ]
    if new.kernel_size < old.kernel_size:
        raise MdnnError(
            f"{around.where}.window: growing: expected at least {old.kernel_size - 1}, received "
            f"{new.kernel_size - 1}"
        )
    taps = np.arange(new.kernel_size) - (past[1] - past[0])
    taps = np.where((taps >= 0) & (taps < old.kernel_size), taps, NEW)
    initial = np.asarray(new.kernel)

    def fill(news):
        # Taps that are new start at zero on channels that are old.
        return np.where(news[0] & ~news[1], 0, initial)

    return {id(new.kernel): placed(old.kernel, new.kernel, [taps, around.channels], fill)}


def grow_local(old, new, around):
    """Returns the origins of an `AxisLocal`'s weights.

    Positions beyond the old axis begin with the weights of its last position; inputs beyond it
    reach no old position.

    Args and Raises: see `mdnn.growth.axis_kernels.grow_multidim`.
    """
    if old.wiring != new.wiring:
        raise MdnnError(
            f"{around.where}.wiring: growing keeps {old.wiring!r}, received {new.wiring!r}"
        )
    if new.window < old.window:
        raise MdnnError(
            f"{around.where}.window: growing: expected at least {old.window}, received {new.window}"
        )
    before, after = (_Step(layer, around, k == 0) for k, layer in enumerate((old, new)))
    over, parts = _over(before, after, around)
    n, size, w = before.n_in, after.n_in, old.window
    j, t = np.meshgrid(np.arange(size), np.arange(2 * new.window + 1), indexing="ij")
    tap = t - (new.window - w)
    last = np.minimum(j, n - 1)
    seen = last - w + tap
    # Taps beyond the edges multiply zeros, on a longer axis no more.
    known = (tap >= 0) & (tap <= 2 * w) & ((seen >= 0) & (seen < n) | (size == n))
    matrix = np.where(known, last * (2 * w + 1) + tap, NEW)
    stride = n * (2 * w + 1)
    free = (over == NEW)[..., None, None]
    index = np.where(free | (matrix == NEW), NEW, over[..., None, None] * stride + matrix)
    fill = np.where(np.broadcast_to(free, tuple(new.kernel.shape)), np.asarray(new.kernel), 0)
    index = np.broadcast_to(index, tuple(new.kernel.shape)).astype("int64")
    return {id(new.kernel): Origin(old.kernel, index, fill, parts=parts)}


class _Step:
    """The axes of an `AxisLocal` as those of an `mdnn.layers.multidim_plan.AxisStep`."""

    def __init__(self, layer, around, old):
        sizes = around.grid.old_sizes if old else around.grid.new_sizes
        width = around.width if old else len(around.channels)
        self.axis, over = layer._resolve((None, *sizes, width))
        names = around.grid.old_names if old else around.grid.new_names
        self.n_in = sizes[self.axis - 1]
        self.over = (*over, len(names) + 1) if layer.groups > 1 else over
        known = {**{k + 1: n for k, n in enumerate(sizes)}, len(names) + 1: width}
        if layer.groups > 1:
            known[len(names) + 1] = layer.groups
        self.over_sizes = tuple(known[a] for a in self.over)
        assert all(around.grid.name(a, old) != CHANNELS or a > len(names) for a in self.over)
