"""The mixer `attention`: multi-head self-attention along one axis."""

import dataclasses
import math
from typing import ClassVar

from keras import ops

from mdnn.errors import MdnnError
from mdnn.layers.mixing.axis_attention import AxisAttention, rotate
from mdnn.layers.mixing.decoding_cache import DecodingCache, set_index
from mdnn.layers.mixing.mixer import Mixer, check_heads, register_mixer, wired_causally
from mdnn.option_field import option


@register_mixer
@dataclasses.dataclass(frozen=True)
class AttentionMixer(Mixer):
    """Configures `AxisAttention` along one axis."""

    kind: str = "attention"
    wiring: str = "causal"
    heads: int = option(4, least=1)
    rotary: bool = True
    # Heads of keys and values, each shared by heads / kv_heads heads; 0: as many as heads.
    kv_heads: int = option(0, least=0)
    # Base of the rotary wavelengths; the longest is 2π times it.
    rotary_base: float = option(10_000.0, least=1.0, most=1e12)

    example: ClassVar[dict] = {"heads": 2, "kv_heads": 1}
    size_free = True
    can_be_causal = True

    @property
    def is_causal(self):
        return wired_causally(self.wiring)

    def check(self, where, rank, width, channels):
        super().check(where, rank, width, channels)
        check_heads(self, where, width, channels)
        if self.kv_heads and self.heads % self.kv_heads:
            raise MdnnError(
                f"{where}.kv_heads: expected a divisor of heads = {self.heads}, received "
                f"{self.kv_heads}"
            )

    def narrowed(self, width, narrow):
        # Heads keep their size: scores are scaled, and turned, by it. So do groups of heads that
        # share their keys.
        shared = self.heads // (self.kv_heads or self.heads)
        heads, rest = divmod(narrow, width // self.heads)
        if rest or heads % shared:
            return None
        kv_heads = heads // shared if self.kv_heads else 0
        return dataclasses.replace(self, heads=heads, kv_heads=kv_heads)

    def make_layer(self, rank, name, dtype=None):
        (axis,) = self.context_axes(rank)
        return AxisAttention(
            axis,
            heads=self.heads,
            kv_heads=self.kv_heads or None,
            rotary=self.rotary,
            rotary_base=self.rotary_base,
            wiring=self.wiring,
            name=name,
            dtype=dtype,
        )

    def make_caches(self, layer, grid, width, columns=True):
        (axis,) = self.context_axes(len(grid) if columns else len(grid) - 1)
        kind = RowAttentionCache if columns and axis == len(grid) else ColumnAttentionCache
        return [kind(layer, axis, grid, width, columns)]

    def largest_matrix(self, sizes, width):
        return max(sizes) ** 2


class AttentionCache(DecodingCache):
    """Base of the attention caches: projects inputs and attends with one query.

    Args:
        layer: `AxisAttention`.
        axis: int, the context axis that the layer mixes, from 1.
        grid, width, columns: As in `DecodingCache`.
    """

    def __init__(self, layer, axis, grid, width, columns):
        super().__init__(grid, width, columns)
        self.layer, self.axis = layer, axis
        self.heads, self.per_head = layer.heads, width // layer.heads
        self.kv_heads = layer.kv_heads
        self.kv_width = self.kv_heads * self.per_head
        # Numbers of a head's key and of its value.
        self.head_sizes = {"k": self.per_head, "v": self.per_head}

    def _project(self, dense, x, position=None):
        """Projects `[..., width]` to `[..., heads, width / heads]`, rotated to `position`."""
        sizes = [-1 if size is None else size for size in x.shape[:-1]]
        y = ops.reshape(dense(x), (*sizes, dense.units // self.per_head, self.per_head))
        if not self.layer.rotary or position is None:
            return y
        return rotate(y, self.layer.rotary_base, position)

    def _keys_and_values(self, x, position):
        return {
            "k": self._project(self.layer.key, x, position),
            "v": self._project(self.layer.value, x),
        }

    def _attend(self, q, k, v, seen):
        """Computes the attention output of one query per context.

        Args:
            q: Tensor `[batch, heads, h]`.
            k, v: Tensors `[batch, kv_heads, m, h]`.
            seen: bool mask that broadcasts to `[batch, kv_heads, 1, m]`.

        Returns:
            Tensor `[batch, width]`.
        """
        group = self.heads // self.kv_heads
        q = ops.reshape(q, (-1, self.kv_heads, group, self.per_head))
        q = q * (1 / math.sqrt(self.per_head))
        scores = ops.cast(ops.matmul(q, ops.swapaxes(k, -1, -2)), "float32")
        scores = ops.where(seen, scores, -1e9)
        weights = ops.cast(ops.softmax(scores, axis=-1), v.dtype)
        return self.layer.result(ops.reshape(ops.matmul(weights, v), (-1, self.width)))


class RowAttentionCache(AttentionCache):
    """Caches attention along the fastest axis: keys and values of the current row."""

    # Rows are mixed alone.
    reads_pieces = True

    def empty_row(self, batch, dtype):
        shape = self.num_columns, batch, self.kv_heads
        return {name: ops.zeros((*shape, h), dtype) for name, h in self.head_sizes.items()}

    def restore_row(self, x, row):
        new = self._keys_and_values(x, ops.arange(x.shape[1], dtype="int32")[:, None])
        return {k: ops.transpose(self.pad_columns(y), (1, 0, 2, 3)) for k, y in new.items()}

    def step(self, weights, row_context, current_row, column, x):
        position = ops.reshape(column, (1, 1))
        new = self._keys_and_values(x, position)
        current_row = {name: set_index(current_row[name], column, y) for name, y in new.items()}
        past = {name: ops.transpose(y, (1, 2, 0, 3)) for name, y in current_row.items()}
        seen = ops.arange(self.num_columns, dtype="int32") <= column
        q = self._project(self.layer.query, x, position)
        return self._attend(q, past["k"], past["v"], seen), current_row

    def prefill(self, weights, x):
        rows, n = x.shape[1:3]
        ones = [1] * (len(self.grid) - 2)
        shape = (-1, *ones, rows, n, self.width) if len(self.grid) > 1 else (-1, n, self.width)
        y = self.layer(ops.reshape(x, shape), causal=True)
        return ops.reshape(y, (-1, rows, n, self.width)), {}


class ColumnAttentionCache(AttentionCache):
    """Caches attention along a slower axis: keys and values of all rows."""

    takes_prefix = False

    def __init__(self, layer, axis, grid, width, columns):
        super().__init__(layer, axis, grid, width, columns)
        self.size, self.stride = grid[axis - 1], math.prod(grid[axis:-1])

    def _position(self, row):
        return row // self.stride % self.size

    @property
    def _widths(self):
        """Numbers of all heads' keys and values at a position, dict."""
        return {name: self.kv_heads * h for name, h in self.head_sizes.items()}

    def empty_rows(self, batch, dtype):
        shape = batch, self.num_rows, self.num_columns
        return {name: ops.zeros((*shape, n), dtype) for name, n in self._widths.items()}

    def empty_row(self, batch, dtype):
        shape = self.num_columns, batch
        return {name: ops.zeros((*shape, n), dtype) for name, n in self._widths.items()}

    def restore_row(self, x, row):
        new = self._keys_and_values(x, self._position(row)[:, None, None])
        flat = -1, x.shape[1]
        new = {k: ops.reshape(y, (*flat, self._widths[k])) for k, y in new.items()}
        return {k: ops.transpose(self.pad_columns(y), (1, 0, 2)) for k, y in new.items()}

    def start_row(self, weights, past_rows, row):
        position = self._position(row)
        index = ops.arange(self.size, dtype="int32")[None] * self.stride
        index = index + (row - position * self.stride)[:, None]
        context = {"position": position}
        for name, y in past_rows.items():
            if row.shape[0] == 1:
                y = ops.take(y, index[0], axis=1)
            else:
                first = ops.arange(ops.shape(y)[0], dtype="int32")[:, None] * self.num_rows
                y = ops.reshape(y, (-1, self.num_columns, self._widths[name]))
                y = ops.take(y, first + index, axis=0)
            context[name] = y
        return context

    def step(self, weights, row_context, current_row, column, x):
        position = row_context["position"]
        new = self._keys_and_values(x, position[:, None])
        positions = ops.arange(self.size, dtype="int32")[None]
        here, past = ops.equal(positions, position[:, None])[..., None, None], {}
        for name, y in new.items():
            flat = ops.reshape(y, (-1, self._widths[name]))
            current_row = {**current_row, name: set_index(current_row[name], column, flat)}
            before = ops.take(row_context[name], column, axis=2)
            before = ops.reshape(before, (-1, self.size, self.kv_heads, self.head_sizes[name]))
            past[name] = ops.transpose(ops.where(here, y[:, None], before), (0, 2, 1, 3))
        seen = (positions <= position[:, None])[:, None, None]
        q = self._project(self.layer.query, x, position[:, None])
        return self._attend(q, past["k"], past["v"], seen), current_row

    def finish_row(self, weights, past_rows, row, current_row):
        here = self.is_row(row, after=2)
        new = {name: ops.transpose(y, (1, 0, 2))[:, None] for name, y in current_row.items()}
        return {name: ops.where(here, new[name], y) for name, y in past_rows.items()}

    def prefill(self, weights, x):
        y = self.layer(ops.reshape(x, (-1, *self.layer_grid, self.width)), causal=True)
        position = self._position(ops.arange(self.num_rows, dtype="int32"))[:, None, None]
        new = self._keys_and_values(x, position)
        shape = -1, self.num_rows, self.num_columns
        new = {name: ops.reshape(z, (*shape, self._widths[name])) for name, z in new.items()}
        return ops.reshape(y, (*shape, self.width)), new
