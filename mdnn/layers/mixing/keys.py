"""The mixer `keys`: values summed by keys along axes, read by queries."""

import dataclasses
from typing import ClassVar

from keras import ops

from mdnn.errors import MdnnError
from mdnn.layers.mixing.attention import AttentionCache, ColumnAttentionCache, RowAttentionCache
from mdnn.layers.mixing.decoding_cache import set_index
from mdnn.layers.mixing.keyed_sum import KeyedSum, averaged
from mdnn.layers.mixing.mixer import Mixer, check_heads, register_mixer, wired_causally
from mdnn.option_field import option


@register_mixer
@dataclasses.dataclass(frozen=True)
class KeysMixer(Mixer):
    """Configures `KeyedSum` along one axis, or all of them in row-major order."""

    kind: str = "keys"
    wiring: str = option("causal", choices=("causal", "full"))
    heads: int = option(1, least=1)
    # Factor on the logits of keys and queries: the larger, the fewer features a key has.
    sharpness: float = option(4.0, least=0.01, most=1000.0)
    # Features of each head's keys and queries (0: as many as its values have): the more, the more
    # keys can be told apart.
    features: int = option(0, least=0, most=4096)
    # "previous": the key of a position is the query of the one before it, so that a position reads
    # what followed positions like itself.
    match: str = option("own", choices=("own", "previous"))
    # Whether each position decides how much it counts for those that read it.
    write_gate: bool = False

    example: ClassVar[dict] = {"heads": 2}
    several_axes: ClassVar[bool] = True
    size_free = True
    can_be_causal = True

    @property
    def is_causal(self):
        return wired_causally(self.wiring)

    def check(self, where, rank, width, channels):
        super().check(where, rank, width, channels)
        check_heads(self, where, width, channels)
        if 1 < len(self.axes) < rank:
            raise MdnnError(
                f"{where}.axes: keys mixes one axis or all {rank}, received {list(self.axes)}"
            )

    def narrowed(self, width, narrow):
        # A slice of a head's features is not a softmax over them.
        return self if narrow == width else None

    def make_layer(self, rank, name, dtype=None):
        return KeyedSum(
            self.context_axes(rank),
            heads=self.heads,
            wiring=self.wiring,
            sharpness=self.sharpness,
            features=self.features,
            match=self.match,
            write_gate=self.write_gate,
            name=name,
            dtype=dtype,
        )

    def make_caches(self, layer, grid, width, columns=True):
        axes = self.context_axes(len(grid) if columns else len(grid) - 1)
        if len(axes) > 1:
            kind = RunningSumCache if columns else SummedRowsCache
            if not columns and self.match == "previous":
                kind = FollowersCache
            return [kind(layer, axes, grid, width, columns)]
        kind = RowKeysCache if columns and axes[0] == len(grid) else ColumnKeysCache
        return [kind(layer, axes[0], grid, width, columns)]

    def largest_matrix(self, sizes, width):
        return sizes[-1] ** 2


class KeyedCache(AttentionCache):
    """Base of the caches: as those of attention, but weights are products of features."""

    def __init__(self, layer, axis, grid, width, columns):
        super().__init__(layer, axis, grid, width, columns)
        self.num_features = layer.query.units // self.heads
        self.head_sizes = {"k": self.num_features, "v": layer.value_size}

    def _project(self, dense, x, position=None):
        sizes = [-1 if size is None else size for size in x.shape[:-1]]
        return ops.reshape(dense(x), (*sizes, self.heads, dense.units // self.heads))

    def _keys_and_values(self, x, position):
        key = self._project(self.layer.key_projection, x)
        return {"k": key, "v": self.layer.project_values(x)}

    def _attend(self, q, k, v, seen):
        layer, last = self.layer, ops.sum(ops.cast(seen, "int32"), axis=-1, keepdims=True) - 1
        seen = layer.reads(last, ops.arange(k.shape[-2], dtype="int32"))
        weights = ops.matmul(layer.features(q)[:, :, None], ops.swapaxes(layer.features(k), -1, -2))
        weights = ops.where(seen, weights, 0.0)
        return self._result(ops.matmul(weights, layer.read_values(v))[:, :, 0])

    def _result(self, sums):
        """Returns the output `[batch, width]` of sums `[batch, heads, h + 1]`."""
        y = ops.cast(averaged(sums), self.layer.compute_dtype)
        return self.layer.result(ops.reshape(y, (-1, self.width)))


class RowKeysCache(KeyedCache, RowAttentionCache):
    """Caches keys and values of the current row."""

    reads_pieces = True


class ColumnKeysCache(KeyedCache, ColumnAttentionCache):
    """Caches keys and values of all rows, for sums along a slower axis."""


class SummedRowsCache(KeyedCache):
    """Caches sums of completed rows, and keys and values of the current row."""

    takes_prefix = False

    def empty_rows(self, batch, dtype):
        shape = batch, self.num_rows, self.heads, self.num_features, self.per_head + 1
        return {"sums": ops.zeros(shape, "float32")}

    def empty_row(self, batch, dtype):
        shape = self.num_columns, batch, self.heads
        return {name: ops.zeros((*shape, h), dtype) for name, h in self.head_sizes.items()}

    def start_row(self, weights, past_rows, row):
        before = ops.arange(self.num_rows, dtype="int32")[None] < row[:, None]
        before = ops.reshape(before, (-1, self.num_rows, 1, 1, 1))
        return {"sums": ops.sum(ops.where(before, past_rows["sums"], 0.0), axis=1)}

    def restore_row(self, x, row):
        new = self._keys_and_values(x, None)
        return {k: ops.transpose(self.pad_columns(y), (1, 0, 2, 3)) for k, y in new.items()}

    def step(self, weights, row_context, current_row, column, x):
        new = self._keys_and_values(x, None)
        current_row = {name: set_index(current_row[name], column, y) for name, y in new.items()}
        k, v = (ops.transpose(current_row[name], (1, 2, 0, 3)) for name in ("k", "v"))
        q = self.layer.features(self._project(self.layer.query, x))
        seen = self.layer.reads(column, ops.arange(self.num_columns, dtype="int32"))
        pairs = ops.matmul(q[:, :, None], ops.swapaxes(self.layer.features(k), -1, -2))
        pairs = ops.where(seen, pairs, 0.0)
        sums = ops.matmul(pairs, self.layer.read_values(v))
        sums = sums + ops.matmul(q[:, :, None], row_context["sums"])
        return self._result(sums[:, :, 0]), current_row

    def finish_row(self, weights, past_rows, row, current_row):
        k, v = (ops.transpose(current_row[name], (1, 2, 0, 3)) for name in ("k", "v"))
        here = self.is_row(row, after=3)
        return {"sums": ops.where(here, self._sums(k, v)[:, None], past_rows["sums"])}

    def prefill(self, weights, x):
        shape = -1, self.num_rows, self.num_columns
        y = self.layer(ops.reshape(x, (-1, *self.layer_grid, self.width)), causal=True)
        return ops.reshape(y, (*shape, self.width)), {"sums": self._sums_of(x, shape)}

    def _sums_of(self, x, shape):
        """Returns the sums of rows of `x`; `shape` is `(-1, rows, positions of a row)`."""
        new = self._keys_and_values(x, None)
        return self._sums(
            *(
                ops.transpose(
                    ops.reshape(new[name], (*shape, self.heads, self.head_sizes[name])),
                    (0, 1, 3, 2, 4),
                )
                for name in ("k", "v")
            )
        )

    def _sums(self, k, v):
        """Returns the sums of rows, `[..., heads, features, h + 1]`, of `[..., heads, n, h]`."""
        k = ops.swapaxes(self.layer.features(k), -1, -2)
        return ops.matmul(k, self.layer.read_values(v))


class FollowersCache(SummedRowsCache):
    """Caches, inside a fold, the products of each position's value with the key before it.

    A row of the cache is one position of the layer, whose own rows are those of its fastest axis:
    the first position of such a row follows none. `sums` `[batch, rows, heads, features, h + 1]`
    is the product of the predecessor's key with the position's value, `keys`
    `[batch, rows, heads, features]` the position's key.
    """

    def empty_rows(self, batch, dtype):
        keys = ops.zeros((batch, self.num_rows, self.heads, self.num_features), "float32")
        return {**super().empty_rows(batch, dtype), "keys": keys}

    def start_row(self, weights, past_rows, row):
        return {**super().start_row(weights, past_rows, row), "key": self._key(past_rows, row)}

    def step(self, weights, row_context, current_row, column, x):
        new = self._keys_and_values(x, None)
        current_row = {name: set_index(current_row[name], column, y) for name, y in new.items()}
        q = self.layer.features(self._project(self.layer.query, x))
        sums = row_context["sums"] + self._led_to(row_context["key"], new["v"])
        return self._result(ops.matmul(q[:, :, None], sums)[:, :, 0]), current_row

    def finish_row(self, weights, past_rows, row, current_row):
        k, v = (current_row[name][0] for name in ("k", "v"))
        sums, key = self._led_to(self._key(past_rows, row), v), self.layer.features(k)
        return {
            "sums": ops.where(self.is_row(row, after=3), sums[:, None], past_rows["sums"]),
            "keys": ops.where(self.is_row(row, after=2), key[:, None], past_rows["keys"]),
        }

    def prefill(self, weights, x):
        shape = -1, self.num_rows, self.num_columns
        y = self.layer(ops.reshape(x, (-1, *self.layer_grid, self.width)), causal=True)
        new = self._keys_and_values(ops.reshape(x, (-1, self.num_rows, self.width)), None)
        keys = self.layer.features(new["k"])
        before = ops.pad(keys[:, :-1], [[0, 0], [1, 0], [0, 0], [0, 0]])
        follows = self._follows(ops.arange(self.num_rows, dtype="int32"))[:, None, None]
        sums = self._led_to(before * follows, new["v"])
        return ops.reshape(y, (*shape, self.width)), {"sums": sums, "keys": keys}

    def _follows(self, row):
        """Returns 0 for the first position of a row of the layer, otherwise 1."""
        return ops.cast(row % self.layer_grid[-1] > 0, "float32")

    def _key(self, past_rows, row):
        """Returns the key `[batch, heads, features]` of the predecessor; zeros if there is none."""
        keys = ops.where(self.is_row(row - 1, after=2), past_rows["keys"], 0.0)
        return ops.sum(keys, axis=1) * self._follows(row)[:, None, None]

    def _led_to(self, key, v):
        """Returns the products of keys `[..., features]` with the values `[..., value_size]`."""
        return key[..., :, None] * self.layer.gated_values(v)[..., None, :]


class RunningSumCache(SummedRowsCache):
    """Caches the sum of all completed rows, where rows are completed once, one after another."""

    takes_prefix = reads_pieces = True

    def empty_rows(self, batch, dtype):
        shape = batch, self.heads, self.num_features, self.per_head + 1
        return {"sums": ops.zeros(shape, "float32")}

    def start_row(self, weights, past_rows, row):
        return past_rows

    def finish_row(self, weights, past_rows, row, current_row):
        k, v = (ops.transpose(current_row[name], (1, 2, 0, 3)) for name in ("k", "v"))
        return {"sums": past_rows["sums"] + self._sums(k, v)}

    def read(self, weights, x, row=None, past_rows=None, first=None):
        rows, n = x.shape[1:3]
        before = None if past_rows is None else past_rows["sums"]
        y = self.layer.result(self.layer.of_rows(x, causal=True, before=before))
        sums = self._sums_of(x, (-1, rows, n))
        if row is not None:
            number = ops.arange(rows, dtype="int32")[None] + (0 if first is None else first)
            seen = ops.reshape(number < row[:, None], (-1, rows, 1, 1, 1))
            sums = ops.where(seen, sums, 0.0)
        total = ops.sum(sums, axis=1)
        return y, {"sums": total if before is None else before + total}

    def prefill(self, weights, x):
        return self.read(weights, x)
