"""Plans products along axes for the native library, as the integers that it reads."""

import functools
import itertools
import math
from dataclasses import dataclass

TILE_BYTES = 832 * 1024
"""Largest size of the tiles that a sweep uses at once; see axis_sweeps.h."""

UNIT, CHUNKS, WIDTHS = 16, (256, 128, 64, 32, 16), (64, 32, 16)
"""Fewest examples of a tile; positions on the axes after it; examples of a tile."""

USUAL_BATCH = 64
"""Number of examples that sweeps are chosen for if it is unknown."""

CACHE_BYTES, CACHED = 4 << 20, 0.4
"""What the last cache holds of an array, and the time of reading there, relative to memory."""

RUN_BYTES = 128
"""Reading runs of this many bytes from memory takes twice the time of long ones."""


@dataclass(frozen=True)
class KernelPass:
    """A product along one axis.

    Attributes:
        axis: int, the axis to mix; 0 is the first axis after the batch.
        over: Increasing tuple of ints, the other axes over which the kernel differs.
        kernel: int, the index of the kernel among the call's kernels; passes may share one.
    """

    axis: int
    over: tuple
    kernel: int


def kernel_shape(sizes, kernel_pass):
    """Returns the shape of a pass's kernel: `(sizes over which it differs..., n, n)`."""
    n = sizes[kernel_pass.axis]
    return (*(sizes[a] for a in kernel_pass.over), n, n)


@functools.lru_cache(maxsize=256)
def plan_numbers(sizes, passes, batch=None):
    """Returns the plan of a sum of products along axes, see `source/axis_plan.h`.

    Sweeps are chosen by an estimate of the time that moving their bytes takes: a sweep over several
    neighboring axes reads and writes the array once, if a tile of all their positions fits the
    core's second cache. Examples of a tile are then fewer, and kernels are read again for each
    group of them. Sweeps along all but the slowest axis run slice by slice of it.

    Args:
        sizes: tuple of ints, the axes after the batch.
        passes: tuple of `KernelPass`es.
        batch: int, number of examples; `None` if it is unknown.

    Returns:
        Tuple of ints.
    """
    mixed = sorted({p.axis for p in passes})
    batch = batch or USUAL_BATCH
    plans = [_sweeps(sizes, passes, groups, batch) for groups in _groupings(mixed)]
    sweeps = min((p for p in plans if p), key=lambda sweeps: sum(s.cost for s in sweeps))
    kernels = max(p.kernel for p in passes) + 1
    elements = [0] * kernels
    numbers = []
    for p in passes:
        elements[p.kernel] = math.prod(kernel_shape(sizes, p))
        users = sum(q.kernel == p.kernel for q in passes)
        numbers += [p.kernel, sizes[p.axis], int(len(p.over) == len(sizes) - 1 and users == 1)]
    numbers = [math.prod(sizes), kernels, *elements, len(passes), *numbers, len(sweeps)]
    for sweep in sweeps:
        numbers += _sweep_numbers(sizes, passes, sweep)
    return tuple(numbers)


@dataclass(frozen=True)
class Sweep:
    """One reading and writing of an array.

    Attributes:
        axes: list of neighboring axes, or one.
        chunk: int, positions of a tile on the axes after them.
        width: int, examples of a tile.
        slices: int, slices of the slower axes that a phase of sweeps runs one by one.
        cost: float, estimated time, relative to that of moving a byte.
    """

    axes: list
    chunk: int
    width: int
    slices: int
    cost: float


def _groupings(axes):
    """Yields the ways to cut a list of axes into neighboring groups."""
    for cuts in itertools.product((False, True), repeat=len(axes) - 1):
        groups = [[axes[0]]]
        for axis, cut in zip(axes[1:], cuts, strict=True):
            if cut:
                groups.append([axis])
            else:
                groups[-1].append(axis)
        yield groups


def _sweeps(sizes, passes, groups, batch):
    """Returns the `Sweep`s of groups of axes; `None` if a group of several does not fit."""
    later = min((g[0] for g in groups[1:]), default=0)
    sweeps = []
    for number, group in enumerate(groups):
        slices = math.prod(sizes[:later]) if number else 1
        reads = 3 if number else 2
        # The second sweep of a phase finds its slice in a cache.
        near = number > 1 and 8 * batch * math.prod(sizes) // slices < 2 * CACHE_BYTES
        sweep = _sweep(sizes, passes, group, batch, slices, reads * (CACHED if near else 1))
        if sweep is None:
            return None
        sweeps.append(sweep)
    return sweeps


def _sweep(sizes, passes, group, batch, slices, reads):
    """Returns the cheapest `Sweep` of a group; `None` if none fits the second cache."""
    kernels = sum(math.prod(kernel_shape(sizes, p)) for p in passes if p.axis in group)
    behind, mixed = math.prod(sizes[group[-1] + 1 :]), math.prod(sizes[group[0] : group[-1] + 1])
    array = 4 * batch * math.prod(sizes)
    best = None
    for chunk, width in itertools.product(CHUNKS, WIDTHS):
        chunk = min(chunk, behind)
        fits = 2 * 4 * width * mixed * chunk * 1.1 < TILE_BYTES
        last_resort = (chunk, width) == (min(16, behind), 16) and len(group) == 1
        if width > max(UNIT, batch) or not (fits or last_resort):
            continue
        run = 4 * (chunk if chunk < behind else mixed * behind)
        far = 1 if array < CACHE_BYTES else 1 + RUN_BYTES / run
        # Kernels that are read again often come from the last cache.
        times = 1 + (-(-batch // width) - 1) * (1 if 4 * kernels > CACHE_BYTES else CACHED)
        # One number of a kernel is loaded for one, two or four vectors of examples.
        slow = 1 + 0.1 * (64 / width - 1)
        cost = reads * array * far + 4 * kernels * times * slow
        if best is None or cost < best.cost:
            best = Sweep(group, chunk, width, slices, cost)
    return best


def _sweep_numbers(sizes, passes, sweep):
    """Returns the integers of a sweep."""
    group = sweep.axes
    chosen = [k for k, p in enumerate(passes) if p.axis in group]
    first, last = group[0], group[-1]
    strides = [_kernel_strides(sizes, passes[k]) for k in chosen]

    def dim(axis):
        far = math.prod(sizes[axis + 1 :])
        return [sizes[axis], far, *(s[axis] for s in strides)]

    # Slices are numbered by the first of these axes.
    outside = _merged([dim(a) for a in range(first)])
    behind = _merged([dim(a) for a in range(last + 1, len(sizes))])
    inside = [dim(a) for a in range(first, last + 1)]
    along = behind.pop() if behind else [1, 1, *(0 for _ in chosen)]
    outside += behind
    numbers = [
        sweep.slices,
        sweep.width // UNIT,
        len(chosen),
        *chosen,
        len(outside),
        *itertools.chain(*outside),
    ]
    numbers += [len(inside), *itertools.chain(*inside)]
    numbers += [passes[k].axis - first for k in chosen]
    return [*numbers, *along, min(sweep.chunk, along[0])]


def _kernel_strides(sizes, p):
    """Returns each axis's stride between the kernels of neighboring positions, in floats."""
    strides = [0] * len(sizes)
    far = sizes[p.axis] ** 2
    for axis in reversed(p.over):
        strides[axis] = far
        far *= sizes[axis]
    return strides


def _merged(dims):
    """Merges neighboring axes that can be walked as one: `[size, distances...]` each."""
    merged = []
    for dim in dims:
        if merged and all(a == dim[0] * b for a, b in zip(merged[-1][1:], dim[1:], strict=True)):
            merged[-1] = [merged[-1][0] * dim[0], *dim[1:]]
        else:
            merged.append(dim)
    return [dim for dim in merged if dim[0] > 1]
