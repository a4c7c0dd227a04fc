"""Lowers mixers to operations, from their decoding caches.

A decoding cache holds what a mixer needs position by position; its matrices are the same for all
mixers that are weighted sums (`mdnn.layers.mixing.linear_mix_cache.LinearMixCache`).
"""

import math

import numpy as np

from mdnn.kernels import structures as c
from mdnn.kernels.lowering import NotLoweredError, numbers
from mdnn.layers.mixing.attention import AttentionCache
from mdnn.layers.mixing.axes_cache import AxesCache
from mdnn.layers.mixing.axis_attention import rotate
from mdnn.layers.mixing.dense import PositionwiseDense
from mdnn.layers.mixing.keyed_caches import KeyedCache
from mdnn.layers.mixing.linear_mix_cache import LinearMixCache
from mdnn.layers.mixing.stored import StoredCache
from mdnn.layers.multidim_dense import MultidimDense
from mdnn.layers.wiring import toeplitz

MAX_PAIRS = 1 << 25
"""Largest number of weights between rows, 128 MiB."""


def lower_mixer(lowering, layer, mixer, dst, src, offset, where):
    """Adds the operations of one use of a mixer.

    Args:
        lowering: `mdnn.kernels.lowering.Lowering`.
        layer, mixer: as in `ResidualBlock.mixing_uses`.
        dst: register of the output.
        src, offset: register of the input, and where the input begins in it.
        where: the name of the mixer in errors.
    """
    width = lowering.sizes[dst]
    caches = mixer.make_caches(layer, lowering.grid, width)
    if not caches:
        _channels(lowering, layer, dst, src, offset, where)
        return
    for number, cache in enumerate(caches):
        out = dst if number == len(caches) - 1 else lowering.register(width)
        for kind, lower in CACHES.items():
            if isinstance(cache, kind):
                lower(lowering, cache, out, src, offset)
                break
        else:
            raise NotLoweredError(f"{where}: cache {type(cache).__name__}")
        src, offset = out, 0


def _channels(lowering, layer, dst, src, offset, where):
    """Adds a dense layer over the channels, the same at every position."""
    if not isinstance(layer, MultidimDense):
        raise NotLoweredError(f"{where}: layer {type(layer).__name__}")
    ((_, kernel),) = layer.causal_kernels()[0]
    kernel = toeplitz(kernel) if "shift" in layer.wiring.split("+") else kernel
    matrix = lowering.arrays.structure(lowering.arrays.matrix(numbers(kernel)))
    lowering.add(c.OP_DENSE, dst, src, src_offset=offset, extra=matrix)


def _positions(lowering, cache, dst, src, offset):
    """Adds a dense layer over the channels with a matrix for each position."""
    kernel = lowering.arrays.array(numbers(cache.prepare_weights()["kernel"]))
    lowering.add(c.OP_POSITIONS, dst, src, src_offset=offset, extra=kernel)


def _weighted_sum(lowering, cache, dst, src, offset):
    """Adds a weighted sum over earlier positions."""
    weights, arrays = cache.prepare_weights(), lowering.arrays
    weights = {name: numbers(value) for name, value in weights.items()}
    mix = c.CMix(groups=cache.groups, residual=int(cache.residual), blocks=len(cache.blocks))
    if cache.by_row:
        _row(arrays, mix, cache, weights["row"])
    if "diagonal" in weights:
        mix.diagonal = arrays.array(weights["diagonal"])
        mix.diagonal_columns = weights["diagonal"].shape[1]
    for number in range(len(cache.blocks)):
        between = weights[f"between_{number}"]
        mix.between[number] = arrays.array(between.transpose(2, 3, 0, 1))
        mix.between_columns[number] = between.shape[0]
        inside = weights.get(f"inside_{number}")
        if inside is not None:
            mix.inside[number] = arrays.array(inside.transpose(0, 2, 3, 1))
            mix.inside_kernels[number] = inside.shape[0]
    of_row = cache.num_columns * cache.width
    # The inputs of the row; the sum of completed rows; their summaries.
    floats = of_row * (1 + (len(cache.blocks) > 0) + len(cache.blocks) * cache.num_rows)
    lowering.add(
        c.OP_MIX,
        dst,
        src,
        src_offset=offset,
        cache=lowering.cache(floats),
        extra=arrays.structure(mix),
    )


def _axes(lowering, cache, dst, src, offset):
    """Adds a weighted sum along all axes, by matrices between rows while they are small."""
    pairs = cache.groups * cache.num_rows**2
    if pairs > MAX_PAIRS:
        raise NotLoweredError(f"{cache.num_rows:,} rows of {cache.groups} groups")
    _weighted_sum(lowering, cache.by_row_pairs(), dst, src, offset)


def _row(arrays, mix, cache, row):
    """Sets the weights within a row; those by distance lack the zeros of far positions."""
    mix.row_kernels = row.shape[0]
    last = cache.num_columns - 1
    # `prepare_weights` reverses the distances 1 - n .. n - 1: entry n - 1 - d is distance d.
    taps = row[..., last::-1].transpose(0, 2, 1) if cache.shift else _taps(row)
    if taps is None:
        mix.row_kind, mix.row = 1, arrays.array(row.transpose(0, 2, 3, 1))
        return
    live = np.flatnonzero(taps.any(axis=(0, 2)))
    taps = taps[:, : int(live.max(initial=-1)) + 1]
    mix.row_kind, mix.taps = 2, taps.shape[1]
    mix.row = arrays.array(taps)


def _taps(row):
    """Returns weights by distance `[kernels, distances, groups]`; `None` if pairs differ."""
    n = row.shape[-1]
    first = row[..., -1, ::-1]
    for out in range(n):
        if not np.array_equal(row[..., out, : out + 1][..., ::-1], first[..., : out + 1]):
            return None
    return first.transpose(0, 2, 1)


def _attention(lowering, cache, dst, src, offset):
    """Adds attention along one axis, with the projections of its layer."""
    layer, axis, arrays = cache.layer, cache.axis, lowering.arrays
    heads, each = cache.heads, cache.per_head
    key_heads = getattr(layer, "kv_heads", None) or heads
    size, stride = lowering.grid[axis - 1], math.prod(lowering.grid[axis:])
    inner, keys = heads * each, key_heads * each
    all_three, out = lowering.register(inner + 2 * keys), lowering.register(inner)
    projections = ((layer.query, 0), (layer.key, inner), (layer.value, inner + keys))
    for dense, start in projections:
        lowering.dense(dense, all_three, src, dst_offset=start, src_offset=offset)
    attention = c.CAttention(
        heads=heads,
        key_heads=key_heads,
        per_head=each,
        rotary=int(layer.rotary),
        size=size,
        stride=stride,
        scale=1 / math.sqrt(each),
    )
    if layer.rotary:
        tables = lowering.shared(
            ("rotation", getattr(layer, "rotary_base", None), size, each),
            lambda: [arrays.array(table) for table in rotation_tables(layer, size, each)],
        )
        attention.cosines, attention.sines = tables
    sequences = lowering.rows * lowering.columns // size
    floats = sequences * (-(-size // 16) * 16 + size) * keys
    lowering.add(
        c.OP_ATTEND,
        out,
        all_three,
        cache=lowering.cache(floats),
        extra=arrays.structure(attention),
    )
    lowering.dense(layer.result, dst, out)


def rotation_tables(layer, size, each):
    """Returns cosines and sines `[size, each / 2]`, as `rotate` computes them.

    Args:
        layer: layer of attention, whose `rotary_base` counts if it has one.
        size: int, number of positions.
        each: int, channels of a head.
    """
    half = each // 2
    x = np.zeros((size, each), "float32")
    x[:, :half] = 1
    more = {"base": layer.rotary_base} if hasattr(layer, "rotary_base") else {}
    turned = numbers(rotate(x, **more))
    return turned[:, :half], turned[:, half:]


def _keys(lowering, cache, dst, src, offset):
    """Refuses caches that are kinds of those of attention, but compute something else."""
    raise NotLoweredError(f"cache {type(cache).__name__}")


CACHES = {
    KeyedCache: _keys,
    StoredCache: _keys,
    AxesCache: _axes,
    LinearMixCache: _weighted_sum,
    PositionwiseDense: _positions,
    AttentionCache: _attention,
}
"""Functions that lower a kind of cache: `(lowering, cache, dst, src, offset)`."""
