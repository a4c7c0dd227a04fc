"""The decoding cache of a block of chunks."""

from keras import ops

from mdnn.layers.mixing.decoding_cache import DecodingCache, set_index
from mdnn.models.blocks.residual_block import run_blocks
from mdnn.models.cached_mixing import CachedMixing
from mdnn.models.call_options import CAUSAL
from mdnn.models.chunks.smoothing import EPSILON


class ChunkCache(DecodingCache):
    """Runs a `ChunkBlock` character by character.

    All contexts are at the same position, each in a chunk of its own. When a chunk is complete, it
    is mixed with the chunks before it once, and its result is stored for the letters after it.

    Everything is stored per position in `current_row`, so that decoding may go on from any position
    of a context that was read at once: `letters` `[longest + positions, batch, channels]` and
    `codes` `[reach + positions, batch]` (inputs, preceded by zeros), `offset` and `chunk`
    `[1 + positions, batch]` (number of the letter in its chunk and of the chunk), `out`
    `[batch, chunks, H * channels]` and the caches of the inner mixers; with a learned cut `smooth`
    `[batch, chunks, width]`, the smoothed chunks.

    Args:
        block: a built `mdnn.models.chunks.chunk_block.ChunkBlock`.
        grid, width: see `DecodingCache`.
    """

    takes_prefix = False
    keeps_history = True

    def __init__(self, block, grid, width):
        super().__init__(grid, width)
        self.block, self.positions = block, self.num_rows * self.num_columns
        self.inner = CachedMixing(block.blocks, (block.chunks, 1), block.width, columns=False)

    def prepare_weights(self):
        return self.inner.flat(self.inner.prepare_weights())

    def start_row(self, weights, past_rows, row):
        return {"start": row[0] * self.num_columns}

    def empty_row(self, batch, dtype):
        block = self.block
        zeros = ops.zeros((1 + self.positions, batch), "int32")
        return {
            **self.inner.flat(self.inner.empty_rows(batch)),
            "letters": ops.zeros((block.longest + self.positions, batch, self.width), dtype),
            "codes": ops.zeros((block.cutter.reach + self.positions, batch), "int32"),
            "offset": zeros,
            "chunk": zeros,
            "out": ops.zeros((batch, block.chunks, block.kernels * self.width), dtype),
            **self._smooth(ops.zeros((batch, block.chunks, block.width), dtype)),
        }

    def prefill(self, weights, inputs):
        block, inner = self.block, self.inner
        x, marks = inputs
        flat, layout = block.laid_out(x, marks)
        u = block.dense_in(block.pooled(flat, layout))
        run = self._run(ops.reshape(u, inner.shape(block.chunks, 1)))
        v, rows, _ = inner.prefill(run, inner.listed(weights), block.chunks, 1)
        v = block.settled(ops.reshape(v, (-1, block.chunks, block.width)), layout)
        out = block.results(v)
        y = ops.reshape(block.handed_back(out, layout), ops.shape(x))
        chunk = ops.sum(
            ops.cast(layout.starts[:, :, None] <= ops.arange(self.positions), "int32"), 1
        )
        codes = ops.reshape(marks, (-1, self.positions))
        history = {
            **inner.flat(rows),
            "letters": self._history(flat, block.longest),
            "codes": self._history(codes, block.cutter.reach),
            "offset": self._history(layout.offset, 1),
            "chunk": self._history(chunk - 1, 1),
            "out": out,
            **self._smooth(v),
        }
        return y, {}, history

    def step(self, weights, row_context, current_row, column, inputs):
        block, (x, marks) = self.block, inputs
        at = row_context["start"] + column
        reach, now = block.cutter.reach, dict(current_row)
        now["codes"] = set_index(now["codes"], at + reach, marks[:, 0])
        codes = self._last(now["codes"], at + 1, reach)
        before = self._last(now["letters"], at + block.longest - reach + 1, reach - 1)
        window = ops.concatenate([ops.transpose(before, (1, 0, 2)), x[:, None]], axis=1)
        strength = block.cutter.strength(ops.transpose(codes), window)[:, -1]
        wanted = strength >= 0.5
        # Position t is at index 1 + t: this is the position before.
        length = ops.take(now["offset"], at, axis=0) + 1
        chunk = ops.take(now["chunk"], at, axis=0)
        begins = ops.logical_and(wanted, length >= block.shortest)
        begins = ops.logical_or(begins, length >= block.longest)
        begins = ops.logical_and(begins, at > 0)
        first = ops.logical_or(begins, at == 0)
        offset = ops.where(first, 0, length)
        rest = {name: now.pop(name) for name in ("codes", "offset", "chunk")}
        now = ops.cond(
            ops.any(begins),
            lambda: self._completed(weights, now, at, chunk, length, strength),
            lambda: now,
        )
        chunk = chunk + ops.cast(begins, "int32")
        now["letters"] = set_index(now["letters"], at + block.longest, x)
        now["codes"] = rest["codes"]
        now["offset"] = set_index(rest["offset"], at + 1, offset)
        now["chunk"] = set_index(rest["chunk"], at + 1, chunk)
        return self._received(now["out"], chunk, offset), now

    def _completed(self, weights, current, at, chunk, length, strength):
        """Returns the state with each context's chunk of `length` letters before `at` mixed.

        A chunk that goes on is computed, too: its values are replaced when it is complete.
        """
        block, inner = self.block, self.inner
        place = ops.arange(block.longest, dtype="int32")[None]
        offset = place - block.longest + length[:, None]
        inside = ops.cast(offset >= 0, self.block.compute_dtype)
        kernel = block.at_letters(block.from_start, offset)
        kernel = kernel + block.at_letters(block.from_end, block.longest - 1 - place)
        letters = self._last(current["letters"], at, block.longest)
        pooled = ops.einsum("blh,lbd->bhd", kernel * inside[..., None], letters)
        u = block.dense_in(ops.reshape(pooled, (-1, block.kernels * self.width)))
        listed, rows = inner.listed(weights), inner.listed(current)
        context = inner.start_row(listed, rows, chunk)
        column = ops.convert_to_tensor(0, dtype="int32")
        run = self._run(ops.reshape(u, inner.shape(1, 1)))
        v, new = inner.step(run, listed, context, inner.empty_row(ops.shape(u)[0]), column)
        rows = inner.finish_row(listed, rows, chunk, new)
        v = ops.reshape(v, (-1, 1, block.width))
        here, smooth = self._is_chunk(chunk), {}
        if block.cutter.learnt:
            p = ops.cast(ops.clip(strength, EPSILON, 1 - EPSILON), v.dtype)[:, None, None]
            kept = ops.where(self._is_chunk(chunk - 1), current["smooth"], 0)
            v = p * v + (1 - p) * ops.sum(kept, axis=1, keepdims=True)
            smooth = self._smooth(ops.where(here, v, current["smooth"]))
        out = ops.where(here, block.results(v), current["out"])
        return {**current, **inner.flat(rows), "out": out, **smooth}

    def _smooth(self, v):
        """Returns the entry of the smoothed chunks; empty unless cuts are learned."""
        return {"smooth": v} if self.block.cutter.learnt else {}

    def _received(self, out, chunk, offset):
        """Returns the chunk's contribution to one letter of each context, `[batch, channels]`."""
        block = self.block
        # The first chunk has none before it.
        before = ops.sum(ops.where(self._is_chunk(chunk - 1), out, ops.zeros_like(out)), axis=1)
        before = ops.reshape(before, (-1, block.kernels, self.width))
        weights = block.at_letters(block.to_letters, offset)
        return ops.sum(weights[..., None] * before, axis=1) + block.letter_rows(offset)

    def _is_chunk(self, chunk):
        """Returns a mask that selects a chunk of each context: boolean `[batch, chunks, 1]`."""
        return ops.equal(ops.arange(self.block.chunks, dtype="int32")[None], chunk[:, None])[
            ..., None
        ]

    def _history(self, x, before):
        """Returns `[batch, positions, ...]` as `[before + positions, batch, ...]`."""
        rest = tuple(range(2, len(x.shape)))
        x = ops.transpose(x, (1, 0, *rest))
        return ops.pad(x, [[before, 0], *[[0, 0]] * (len(x.shape) - 1)])

    def _last(self, history, start, count):
        """Returns `count` entries of a history from `start` on."""
        zero = ops.zeros_like(start)
        starts = (start, *[zero] * (len(history.shape) - 1))
        return ops.slice(history, starts, (count, *ops.shape(history)[1:]))

    def _run(self, u):
        """Returns a function that runs the block's inner blocks on chunks u."""

        def run(mix):
            return run_blocks(self.block.blocks, u, CAUSAL, False, mix)

        return run
