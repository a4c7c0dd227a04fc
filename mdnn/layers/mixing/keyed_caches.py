"""What decoding with the mixer `keys` keeps of earlier positions."""

from keras import ops

from mdnn.layers.mixing.attention import AttentionCache, ColumnAttentionCache, RowAttentionCache
from mdnn.layers.mixing.decoding_cache import set_index
from mdnn.layers.mixing.forgetting import left_of_rows
from mdnn.layers.mixing.gated_values import averaged


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
        last = ops.sum(ops.cast(seen, "int32"), axis=-1, keepdims=True) - 1
        pairs, _ = self._pairs(self.layer.features(q), k, v, seen, last)
        return self._result(ops.matmul(pairs, self.layer.read_values(v))[:, :, 0])

    def _pairs(self, q, k, v, seen, last):
        """Returns the weights of a row's positions at the last one that is seen.

        Args:
            q: float32 `[batch, heads, features]`, features of the query.
            k, v: keys and values of the row, `[batch, heads, n, ...]`.
            seen: bool, broadcasts to `[batch, heads, 1, n]`.
            last: int32, broadcasts to `[batch, heads, 1, 1]`, that position.

        Returns:
            Pair of float32 tensors: `[batch, heads, 1, n]`, the weights, and `[batch, heads, 1, 1]`
            or 1.0, what is left of earlier rows.
        """
        reads = self.layer.reads(last, ops.arange(k.shape[-2], dtype="int32"))
        pairs = ops.matmul(q[:, :, None], ops.swapaxes(self.layer.features(k), -1, -2))
        forgetting = self.layer.forgetting(v)
        if forgetting is None:
            return ops.where(reads, pairs, 0.0), 1.0
        left, of_before = forgetting.at(seen, reads)
        return pairs * left, of_before

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
        rows = {"sums": ops.zeros(shape, "float32")}
        if self.layer.forget_gate:
            rows["kept"] = ops.zeros(shape[:3], "float32")
        return rows

    def empty_row(self, batch, dtype):
        shape = self.num_columns, batch, self.heads
        return {name: ops.zeros((*shape, h), dtype) for name, h in self.head_sizes.items()}

    def start_row(self, weights, past_rows, row):
        before = ops.arange(self.num_rows, dtype="int32")[None] < row[:, None]
        before = ops.reshape(before, (-1, self.num_rows, 1, 1, 1))
        sums = ops.where(before, past_rows["sums"], 0.0)
        if self.layer.forget_gate:
            kept = ops.where(before[..., 0, 0], past_rows["kept"], 0.0)
            sums = sums * left_of_rows(kept)[..., None, None]
        return {"sums": ops.sum(sums, axis=1)}

    def restore_row(self, x, row):
        new = self._keys_and_values(x, None)
        return {k: ops.transpose(self.pad_columns(y), (1, 0, 2, 3)) for k, y in new.items()}

    def step(self, weights, row_context, current_row, column, x):
        new = self._keys_and_values(x, None)
        current_row = {name: set_index(current_row[name], column, y) for name, y in new.items()}
        k, v = (ops.transpose(current_row[name], (1, 2, 0, 3)) for name in ("k", "v"))
        q = self.layer.features(self._project(self.layer.query, x))
        seen = ops.arange(self.num_columns, dtype="int32") <= column
        pairs, of_before = self._pairs(q, k, v, seen, column)
        sums = ops.matmul(pairs, self.layer.read_values(v))
        sums = sums + of_before * ops.matmul(q[:, :, None], row_context["sums"])
        return self._result(sums[:, :, 0]), current_row

    def finish_row(self, weights, past_rows, row, current_row):
        k, v = (ops.transpose(current_row[name], (1, 2, 0, 3)) for name in ("k", "v"))
        return self.placed(self._sums(k, v), row, past_rows)

    def placed(self, new, row, past_rows):
        """Returns `past_rows` with one row of each tensor replaced."""
        return {
            name: ops.where(self.is_row(row, after=len(y.shape) - 1), y[:, None], past_rows[name])
            for name, y in new.items()
        }

    def prefill(self, weights, x):
        shape = -1, self.num_rows, self.num_columns
        y = self.layer(ops.reshape(x, (-1, *self.layer_grid, self.width)), causal=True)
        return ops.reshape(y, (*shape, self.width)), self._sums_of(x, shape)

    def _sums_of(self, x, shape):
        """Returns `_sums` of rows of `x`; `shape` is `(-1, rows, positions of a row)`."""
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
        """Returns what is cached of rows of keys and values `[..., heads, n, h]`.

        Returns:
            Dict of float32 tensors: `sums` `[..., heads, features, h + 1]`, and with a forget gate
            `kept` `[..., heads]`, the logarithm of what a row leaves of those before it.
        """
        k, forgetting = self.layer.features(k), self.layer.forgetting(v)
        if forgetting is not None:
            k = k * forgetting.at_end[..., None]
        sums = ops.matmul(ops.swapaxes(k, -1, -2), self.layer.read_values(v))
        return (
            {"sums": sums} if forgetting is None else {"sums": sums, "kept": forgetting.log_total}
        )


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
        sums = row_context["sums"]
        if self.layer.forget_gate:
            sums = sums * ops.exp(self._kept(new["v"]))[..., None, None]
        sums = sums + self._led_to(row_context["key"], new["v"])
        return self._result(ops.matmul(q[:, :, None], sums)[:, :, 0]), current_row

    def finish_row(self, weights, past_rows, row, current_row):
        k, v = (current_row[name][0] for name in ("k", "v"))
        key = self._key(past_rows, row)
        return self.placed(self._row_of(key, self.layer.features(k), v), row, past_rows)

    def prefill(self, weights, x):
        shape = -1, self.num_rows, self.num_columns
        y = self.layer(ops.reshape(x, (-1, *self.layer_grid, self.width)), causal=True)
        new = self._keys_and_values(ops.reshape(x, (-1, self.num_rows, self.width)), None)
        keys = self.layer.features(new["k"])
        before = ops.pad(keys[:, :-1], [[0, 0], [1, 0], [0, 0], [0, 0]])
        follows = self._follows(ops.arange(self.num_rows, dtype="int32"))[:, None, None]
        cached = self._row_of(before * follows, keys, new["v"])
        return ops.reshape(y, (*shape, self.width)), cached

    def _row_of(self, before, key, v):
        """Returns what is cached of positions: of their key, the one before it and their value."""
        row = {"sums": self._led_to(before, v), "keys": key}
        return row | {"kept": self._kept(v)} if self.layer.forget_gate else row

    def _kept(self, v):
        """Returns the logarithms of the forget gates `[..., heads]` of values."""
        return self.layer.forgetting(v[..., None, :]).log_total

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
        new = {name: y[:, None] for name, y in self._sums(k, v).items()}
        return {"sums": self._total(new, past_rows["sums"])}

    def read(self, weights, x, row=None, past_rows=None, first=None):
        rows, n = x.shape[1:3]
        before = None if past_rows is None else past_rows["sums"]
        y = self.layer.result(self.layer.of_rows(x, causal=True, before=before))
        new = self._sums_of(x, (-1, rows, n))
        if row is not None:
            number = ops.arange(rows, dtype="int32")[None] + (0 if first is None else first)
            seen = number < row[:, None]
            new = {
                name: ops.where(ops.reshape(seen, (-1, rows, *[1] * (len(z.shape) - 2))), z, 0.0)
                for name, z in new.items()
            }
        return y, {"sums": self._total(new, before)}

    def _total(self, new, before):
        """Returns the sum of `before` and of rows (`_sums`), each as far as it is kept."""
        sums = new["sums"]
        if self.layer.forget_gate:
            sums = sums * left_of_rows(new["kept"])[..., None, None]
            if before is not None:
                before = before * ops.exp(ops.sum(new["kept"], axis=1))[..., None, None]
        total = ops.sum(sums, axis=1)
        return total if before is None else before + total

    def prefill(self, weights, x):
        return self.read(weights, x)
