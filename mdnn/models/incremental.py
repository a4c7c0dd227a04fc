"""Incremental decoding: runs a causal network one position at a time, with caches."""

from keras import ops

from mdnn.models.blocks.residual_block import product, run_blocks
from mdnn.models.blocks.row_identity import slotted
from mdnn.models.cached_mixing import CachedMixing
from mdnn.models.thinking.stopping import run_until_stopped

IDENTITY = "identity"
"""Key of the entry of `weights` that holds the identities of the contexts."""


class IncrementalDecoder:
    """Runs a causal network position by position along a row, all contexts at the same column.

    A row is all positions of the fastest axis. Each use of a mixer or fold has a cache of earlier
    positions (`mdnn.layers.mixing.DecodingCache`); `weights`, `past_rows`, `row_context` and
    `current_row` are lists of its dicts, one per use. A position costs the dense layers of one
    position, the mixers' sums over one row, and its share of the work done once per row. All
    methods run inside a compiled function.

    Args:
        network: `mdnn.Network` that can be causal.
        steps: int, refeed steps; `None` for the number in the network's options.

    Attributes:
        num_columns: int, positions of a row.
        num_rows: int, rows of one context.
        grid: tuple of ints, sizes of the context axes.
        width: int, number of channels.
        takes_prefix: bool, whether `prefill` accepts the beginning of a context.
        piece: int, positions of a piece of a context for `read`; 0 where contexts are read at once.
        dtype: dtype of computations and caches.
    """

    def __init__(self, network, steps=None):
        self.network = network
        self.options = network.options.changed(causal=True, steps=steps)
        self.grid, self.width = network.grid, network.width
        self.num_columns, self.num_rows = self.grid[-1], product(self.grid[:-1])
        runs = network.runs(self.options.steps)
        self.caches = CachedMixing(network.blocks, self.grid, self.width, runs)
        self.takes_prefix, self.dtype = self.caches.takes_prefix, self.caches.dtype
        self.restore_row = self.caches.restore_row
        self.empty_reading, self.piece = self.caches.empty_reading, self._piece()
        # The largest number of steps of each position, int32 `[rows, columns]`.
        self.limits = None
        if self.options.adaptive and network.step_limits is not None:
            limits = network.step_limits.of_positions()
            self.limits = limits.reshape((self.num_rows, self.num_columns))

    def _piece(self):
        """Returns the attribute `piece`.

        Contexts of more positions than `backbone.slab` are read in pieces of several whole indices
        of the slowest axis, about a slab long.
        """
        network, slab = self.network, self.network.config.backbone.slab
        apart = self.options.adaptive or network.random_states()
        if not self.caches.reads_pieces or apart or not slab or len(self.grid) < 2:
            return 0
        size, each = self.grid[0], product(self.grid[1:])
        if size * each <= slab or size == 1:
            return 0
        count = max(n for n in range(1, size) if n * each <= max(slab, each) and size % n == 0)
        return count * each

    def prepare_weights(self, identity=None):
        """Returns `weights`, to be computed once, before all loops.

        Args:
            identity: the identities of the contexts, see `CallOptions`; `None` for none.

        Returns:
            List of dicts: one per use, then one per random initial state of the recurrence,
            `[rows, columns, width]`, then the identities.
        """
        shape = (self.num_rows, self.num_columns, self.width)
        states = self.network.random_states()
        return [
            *self.caches.prepare_weights(),
            *({"state": ops.cast(ops.reshape(state, shape), self.dtype)} for state in states),
            *([] if identity is None else [{IDENTITY: identity}]),
        ]

    def start_row(self, weights, past_rows, row):
        """Returns `row_context` of a row number: int32 `[batch]`, or `[1]` for all contexts.

        The last entries are the row's random initial states, `[columns, batch, width]`, and its
        limits on the number of steps, `[columns, batch]`, if there are any.

        Args:
            weights, past_rows: results of `prepare_weights` and `empty_rows` or `finish_row`.
            row: int32 `[batch]` or `[1]`.
        """
        own, states = self._split(weights)
        rows = [ops.take(state["state"], row, axis=0) for state in states]
        rows = [{"state": ops.transpose(state, (1, 0, 2))} for state in rows]
        if self.limits is not None:
            rows.append({"limits": ops.transpose(ops.take(self.limits, row, axis=0))})
        return [*self.caches.start_row(own, past_rows, row), *rows]

    def finish_row(self, weights, past_rows, row, current_row):
        """Returns `past_rows` with the current row of each context added, once it is complete.

        Args:
            weights, past_rows, row: see `start_row`.
            current_row: the state of the row after its last column.
        """
        return self.caches.finish_row(self._split(weights)[0], past_rows, row, current_row)

    def _split(self, values):
        """Splits a list into the entries of the caches and those of the random initial states."""
        count = len(self.caches.uses)
        return values[:count], [value for value in values[count:] if IDENTITY not in value]

    def _options(self, weights):
        """Returns the options of a call with the identities in `weights`."""
        return self.options.changed(identity=weights[-1].get(IDENTITY) if weights else None)

    def _embed(self, tokens, weights):
        """Embeds int32 `[batch, n, 8]` tokens; slots hold the identities in `weights`."""
        return slotted(self.network.embedding(tokens), tokens, self._options(weights))

    def empty_rows(self, tokens):
        """Returns `past_rows` before the first row, for the batch size of `tokens`."""
        return self.caches.empty_rows(ops.shape(tokens)[0])

    def empty_row(self, tokens):
        """Returns `current_row` before a row's first column, for the batch size of `tokens`."""
        return self.caches.empty_row(ops.shape(tokens)[0])

    def step(self, tokens, column, weights, row_context, current_row):
        """Runs one column of a row.

        Args:
            tokens: int32 `[batch, 8]`, the tokens of that column.
            column: int32, the number of the column.
            weights: result of `prepare_weights`.
            row_context: result of `start_row` for the row.
            current_row: result of `empty_row` or `restore_row`, or of this method for the
                previous column.

        Returns:
            Tuple of the input of the heads, `[batch, width]`, and the new `current_row`.
        """
        x = ops.reshape(self._embed(tokens[:, None], weights), self.caches.shape(1, 1))
        shape, more = self.caches.shape(1, 1), self._split(row_context)[1]
        limits = None
        if self.limits is not None:
            limits = ops.take(more.pop()["limits"], column, axis=0)
            limits = ops.reshape(limits, (*shape[:-1], 1))
        states = [ops.reshape(ops.take(state["state"], column, axis=0), shape) for state in more]
        marks = self._marks(tokens[:, None], shape)
        run = self._running(x, states, limits, self._options(weights), marks)
        x, current_row = self.caches.step(run, weights, row_context, current_row, column)
        return ops.reshape(self.network.normed(x), (-1, self.width)), current_row

    def prefill(self, tokens, weights, row):
        """Runs whole contexts, or their beginning, in one pass.

        Args:
            tokens: int32 `[batch, positions, 8]`. If `takes_prefix`, it may hold only the first
                rows, or only the first columns of a single row.
            weights: result of `prepare_weights`.
            row: int32 `[batch]`, or `[1]` for all contexts, the row at which decoding goes on.

        Returns:
            Tuple of `past_rows` for that row, and the list of the inputs of each use,
            `[batch, rows, columns, width]`, for `restore_row`.
        """
        return self._read(tokens, weights, row)[1:]

    def read(self, tokens, weights, past_rows, first, row=None):
        """Runs a piece of whole contexts; the pieces before it have been run.

        Args:
            tokens: int32 `[batch, piece, 8]`.
            weights: result of `prepare_weights`.
            past_rows: the second result for the piece before; of the first one `empty_reading` of
                the size of the batch.
            first: int32 `[1]`, the number of the piece's first row.
            row: int32 `[1]`, a row of the piece at which decoding goes on; `None` if another
                piece follows.

        Returns:
            Tuple of the inputs of the heads, `[batch, piece, width]`; `past_rows` for the next
            piece or, with `row`, for that row; and what `prefill` returns second.
        """
        x, past_rows, inputs = self._read(tokens, weights, row, past_rows, first)
        hidden = ops.reshape(self.network.normed(x), (-1, tokens.shape[1], self.width))
        return hidden, past_rows, inputs

    def _read(self, tokens, weights, row=None, past_rows=None, first=None):
        positions, n = tokens.shape[1], self.num_columns
        rows, columns = (positions // n, n) if positions >= n else (1, positions)
        x = ops.reshape(self._embed(tokens, weights), self.caches.shape(rows, columns))
        shape = self.caches.shape(rows, columns)
        states = [
            ops.reshape(state["state"][:rows, :columns], shape) for state in self._split(weights)[1]
        ]
        limits = None
        if self.limits is not None:
            limits = self.limits[:rows, :columns].reshape((1, *shape[1:-1], 1))
        marks = self._marks(tokens, shape)
        run = self._running(x, states, limits, self._options(weights), marks)
        return self.caches.prefill(run, weights, rows, columns, row, past_rows, first)

    def _marks(self, tokens, shape):
        """Returns `Network.marks` of tokens, reshaped to an input shape; `None` without marks."""
        marks = self.network.marks(tokens)
        return None if marks is None else ops.reshape(marks, shape[:-1])

    def _running(self, x, states, limits, options, marks=None):
        """Returns a function that runs the backbone, with its refeed steps, on embedded tokens.

        Args:
            x: embedded tokens.
            states: the random initial states; empty if the initial states are not random.
            limits: see `mdnn.models.thinking.stopping.run_until_stopped`.
            options: `CallOptions`.
            marks: see `mdnn.models.blocks.residual_block.run_blocks`.
        """
        network = self.network
        states = tuple(states) or network.first_states(x)

        def run(mix):
            steps = options.steps
            if marks is not None:
                # Such blocks run once: configs refuse them with refeeding.
                return run_blocks(network.blocks, x, options, False, mix, marks)
            if options.adaptive:
                arguments = (steps, limits, options, False, mix)
                return run_until_stopped(network.refeed, x, states, *arguments)[0][0]
            return network.iterate(x, states, steps, 0, options, training=False, mix=mix)[0]

        return run
