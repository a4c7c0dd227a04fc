"""The mixer `stored`: the first entries of an axis are read by all others, and these by none."""

import dataclasses
import math
from typing import ClassVar

from keras import ops

from mdnn.layers.mixing.attention import AttentionCache, ColumnAttentionCache, RowAttentionCache
from mdnn.layers.mixing.mixer import Mixer, check_heads, register_mixer
from mdnn.layers.mixing.stored_reading import StoredReading, reading_weights
from mdnn.option_field import option


@register_mixer
@dataclasses.dataclass(frozen=True)
class StoredMixer(Mixer):
    """Configures `StoredReading` along one axis."""

    kind: str = "stored"
    # How many first entries of the axis are read by the others.
    stored: int = option(1, least=1)
    heads: int = option(1, least=1)

    example: ClassVar[dict] = {"heads": 2}
    size_free = True
    is_causal = True
    can_be_causal = True

    def check(self, where, rank, width, channels):
        super().check(where, rank, width, channels)
        check_heads(self, where, width, channels)

    def narrowed(self, width, narrow):
        # Scores are scaled by the size of a head.
        heads, rest = divmod(narrow, width // self.heads)
        return None if rest else dataclasses.replace(self, heads=heads)

    def make_layer(self, rank, name, dtype=None):
        (axis,) = self.context_axes(rank)
        return StoredReading(axis, stored=self.stored, heads=self.heads, name=name, dtype=dtype)

    def make_caches(self, layer, grid, width, columns=True):
        (axis,) = self.context_axes(len(grid) if columns else len(grid) - 1)
        kind = StoredColumnsCache if columns and axis == len(grid) else StoredRowsCache
        return [kind(layer, axis, grid, width, columns)]

    def largest_matrix(self, sizes, width):
        return max(sizes) * self.stored


class StoredCache(AttentionCache):
    """Base of the caches: as those of attention, but of the stored entries alone."""

    def _attend(self, q, k, v, seen):
        stored = ops.arange(k.shape[2], dtype="int32") < self.layer.stored
        # A query that sees other than stored entries stands after them.
        later = ops.any(ops.logical_and(seen, ops.logical_not(stored)), axis=-1)
        q = q[:, :, None] * (1 / math.sqrt(self.per_head))
        scores = ops.cast(ops.matmul(q, ops.swapaxes(k, -1, -2)), "float32")
        seen = ops.logical_and(ops.logical_and(seen, stored), later[..., None])
        weights = reading_weights(ops.where(seen, scores, -1e9))
        y = ops.matmul(ops.cast(weights, v.dtype), v)
        return self.layer.result(ops.reshape(y, (-1, self.width)))


class StoredColumnsCache(StoredCache, RowAttentionCache):
    """Caches keys and values of the current row, along the fastest axis."""


class StoredRowsCache(StoredCache, ColumnAttentionCache):
    """Caches keys and values of all rows, along a slower axis."""
