"""The decoding cache of a fold."""

from keras import ops

from mdnn.layers.mixing.decoding_cache import DecodingCache, set_index
from mdnn.models.blocks.residual_block import run_blocks
from mdnn.models.cached_mixing import CachedMixing
from mdnn.models.call_options import CAUSAL


class FoldCache(DecodingCache):
    """Runs a causal fold row by row; contexts may be at different rows.

    Folded rows form a grid without columns. The mixers along that grid have their own caches.

    Args:
        fold: a built `mdnn.models.blocks.fold.RowBottleneck`.
        grid, width: see `DecodingCache`.
    """

    takes_prefix = False

    def __init__(self, fold, grid, width):
        super().__init__(grid, width)
        self.fold = fold
        self.inner = CachedMixing(fold.blocks, (*grid[:-1], 1), fold.width, columns=False)

    def prepare_weights(self):
        return self.inner.flat(self.inner.prepare_weights())

    def empty_rows(self, batch, dtype):
        rows = {"folded": ops.zeros((batch, self.num_rows, self.fold.width), dtype)}
        return {**self.inner.flat(self.inner.empty_rows(batch)), **rows}

    def empty_row(self, batch, dtype):
        return {"x": ops.zeros((self.num_columns, batch, self.width), dtype)}

    def restore_row(self, x, row):
        return {"x": ops.transpose(self.pad_columns(x), (1, 0, 2))}

    def start_row(self, weights, past_rows, row):
        # Row 0 has no previous row: the sum is zero.
        folded = past_rows["folded"]
        before = ops.where(self.is_row(row - 1, after=1), folded, ops.zeros_like(folded))
        y = self.fold.dense_out(self.fold.from_before(ops.sum(before, axis=1)))
        y = ops.reshape(y, (-1, self.num_columns, self.width))
        return {"past_sum": ops.transpose(y, (1, 0, 2))}

    def step(self, weights, row_context, current_row, column, x):
        y = ops.take(row_context["past_sum"], column, axis=0)
        return y, {"x": set_index(current_row["x"], column, x)}

    def finish_row(self, weights, past_rows, row, current_row):
        inner, weights, rows = self.inner, self.inner.listed(weights), self.inner.listed(past_rows)
        x = ops.transpose(current_row["x"], (1, 0, 2))
        x = self.fold.dense_in(ops.reshape(x, (-1, self.num_columns * self.width)))
        context = inner.start_row(weights, rows, row)
        column = ops.convert_to_tensor(0, dtype="int32")
        empty = inner.empty_row(ops.shape(x)[0])
        v, new = inner.step(self._run(x, inner.shape(1, 1)), weights, context, empty, column)
        rows = inner.finish_row(weights, rows, row, new)
        v = ops.reshape(v, (-1, 1, self.fold.width))
        folded = ops.where(self.is_row(row, after=1), v, past_rows["folded"])
        return {**inner.flat(rows), "folded": folded}

    def prefill(self, weights, x):
        inner, rows = self.inner, self.num_rows
        shape = inner.shape(rows, 1)
        u = self.fold.dense_in(ops.reshape(x, (-1, rows, self.num_columns * self.width)))
        v, past_rows, _ = inner.prefill(self._run(u, shape), inner.listed(weights), rows, 1)
        v = ops.reshape(v, (-1, rows, self.fold.width))
        before = ops.pad(v[:, :-1], [[0, 0], [1, 0], [0, 0]])
        y = self.fold.dense_out(self.fold.from_before(before))
        return ops.reshape(y, (-1, *x.shape[1:])), {**inner.flat(past_rows), "folded": v}

    def _run(self, u, shape):
        """Returns a function that runs the fold's blocks on folded rows."""

        def run(mix):
            return run_blocks(self.fold.blocks, ops.reshape(u, shape), CAUSAL, False, mix)

        return run
