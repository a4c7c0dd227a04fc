"""Runs the decoding caches of several blocks together."""

from keras import ops, tree

from mdnn.models.call_options import CAUSAL


class CachedMixing:
    """Holds and runs the decoding caches of every use of every mixer and fold.

    `weights`, `past_rows`, `row_context` and `current_row` are lists with one dict of
    `mdnn.layers.mixing.DecodingCache` per use. The weights of a layer that is used several times
    are prepared once.

    Args:
        blocks: list of `mdnn.models.blocks.residual_block.ResidualBlock`.
        grid: tuple of ints, sizes of the context axes; the last axis holds the columns.
        width: int, number of channels of the blocks' inputs.
        runs: int, number of times that the blocks run, one after another.
        columns: bool, whether the layers have the last axis of the grid (see
            `mdnn.layers.mixing.Mixer.make_caches`).

    Attributes:
        uses: list of `DecodingCache`, in the order in which they run.
        takes_prefix: bool, whether all caches can be prefilled with a prefix.
        reads_pieces: bool, whether all caches read a context in pieces.
        dtype: dtype of computations and caches.
    """

    def __init__(self, blocks, grid, width, runs=1, columns=True):
        self.blocks, self.grid, self.width, self.columns = blocks, tuple(grid), width, columns
        self._caches, uses = {}, []
        for block in blocks:
            inner = block.mixing_width(width)
            for layer, mixer in block.mixing_uses():
                if id(layer) not in self._caches:
                    self._caches[id(layer)] = mixer.make_caches(layer, grid, inner, columns)
                uses += self._caches[id(layer)]
        self.uses = uses * runs
        self.takes_prefix = all(cache.takes_prefix for cache in uses)
        self.reads_pieces = all(cache.reads_pieces for cache in uses)
        self.dtype = blocks[0].compute_dtype if blocks else None

    def prepare_weights(self):
        """Returns `weights`, to be computed once, before all loops."""
        made = {}
        for cache in self.uses:
            if id(cache) not in made:
                made[id(cache)] = cache.prepare_weights()
        return [made[id(cache)] for cache in self.uses]

    def empty_rows(self, batch):
        """Returns `past_rows` before the first row, for a batch."""
        return [cache.empty_rows(batch, self.dtype) for cache in self.uses]

    def empty_row(self, batch):
        """Returns `current_row` before a row's first column, for a batch."""
        return [cache.empty_row(batch, self.dtype) for cache in self.uses]

    def start_row(self, weights, past_rows, row):
        """Returns `row_context` of a row number: int32 `[batch]`, or `[1]` for all contexts.

        Args:
            weights, past_rows: results of `prepare_weights` and `empty_rows` or `finish_row`.
            row: int32 `[batch]` or `[1]`.
        """
        each = zip(self.uses, weights, past_rows, strict=True)
        return [cache.start_row(own, before, row) for cache, own, before in each]

    def finish_row(self, weights, past_rows, row, current_row):
        """Returns `past_rows` with the current row of each context added, once it is complete.

        Args:
            weights, past_rows, row: see `start_row`.
            current_row: the state of the row after its last column.
        """
        each = zip(self.uses, weights, past_rows, current_row, strict=True)
        return [cache.finish_row(own, before, row, x) for cache, own, before, x in each]

    def empty_reading(self, batch):
        """Returns the `past_rows` with which `prefill` starts the first piece of a context."""
        return [cache.empty_reading(batch, self.dtype) for cache in self.uses]

    def restore_row(self, inputs, row, first=0):
        """Returns `current_row` of a row from the inputs of `prefill`.

        Args:
            inputs: list, see `prefill`.
            row: int32 `[1]`, the row of all contexts.
            first: int32 `[1]`, the first row that was read.
        """
        each = zip(self.uses, inputs, strict=True)
        return [
            x
            if cache.keeps_history
            else cache.restore_row(ops.take(x, row - first, axis=1)[:, 0], row)
            for cache, x in each
        ]

    def step(self, run, weights, row_context, current_row, column):
        """Runs one position of each context.

        Args:
            run: function that takes a `mix` (see `CachedMixers`) and runs the blocks with it on
                inputs of `shape(1, 1)`.
            weights, row_context, current_row: lists, see the class.
            column: int32, the number of the column.

        Returns:
            Tuple of the result of `run` and the new `current_row`.
        """
        shape = self.shape(1, 1)[:-1]

        def use(cache, k, x):
            x = tree.map_structure(lambda v: ops.reshape(v, (-1, v.shape[-1])), x)
            y, new = cache.step(weights[k], row_context[k], current_row[k], column, x)
            return ops.reshape(y, (*shape, y.shape[-1])), new

        mix = CachedMixers(self._caches, use, conditional=True)
        return run(mix), mix.made

    def prefill(self, run, weights, rows, columns, row=None, past_rows=None, first=None):
        """Runs whole rows of all contexts.

        Args:
            run: see `step`; its inputs have the shape `shape(rows, columns)`.
            weights: list, see the class.
            rows, columns: ints.
            row, past_rows, first: see `DecodingCache.read`; `past_rows` is a list.

        Returns:
            Tuple of the result of `run`, `past_rows`, and the list of the inputs of each use,
            `[batch, rows, columns, channels]`, or its history, for `restore_row`.
        """
        shape = self.shape(rows, columns)[:-1]

        def use(cache, k, x):
            x = tree.map_structure(lambda v: ops.reshape(v, (-1, rows, columns, v.shape[-1])), x)
            before = None if past_rows is None else past_rows[k]
            y, after, *history = cache.read(weights[k], x, row, before, first)
            return ops.reshape(y, (*shape, y.shape[-1])), (after, *(history or [x]))

        mix = CachedMixers(self._caches, use)
        result = run(mix)
        return result, [after for after, _ in mix.made], [x for _, x in mix.made]

    @staticmethod
    def flat(dicts):
        """Merges the dicts of all uses into one dict with numbered keys."""
        return {f"{k}_{name}": x for k, own in enumerate(dicts) for name, x in own.items()}

    def listed(self, flat):
        """Splits a dict that holds the keys of `flat` into the list of dicts, one per use."""
        dicts = [{} for _ in self.uses]
        for name, x in flat.items():
            number, _, own = name.partition("_")
            if number.isdecimal():
                dicts[int(number)][own] = x
        return dicts

    def shape(self, rows, columns):
        """Returns the input shape of the blocks for numbers of rows and columns."""
        slower, total = self.grid[:-1], 1
        for size in slower:
            total *= size
        if slower and rows == total:
            rows = slower
        else:
            rows = (*[1] * (len(slower) - 1), *[rows] * bool(slower))
        return (-1, *rows, *[columns] * self.columns, self.width)


class CachedMixers:
    """Replaces the mixers of blocks by their decoding caches.

    It has the methods of `mdnn.models.thinking.stopping.WholePass`.

    Args:
        caches: dict from the ids of layers to lists of their caches.
        use: function `(cache, number of the use, input)` that returns the output and the new values
            of the cache.
        conditional: bool, whether `either` computes only one of its functions.

    Attributes:
        made: list of the new values of the caches, one per use.
    """

    def __init__(self, caches, use, conditional=False):
        self.caches, self.use, self.conditional, self.made = caches, use, conditional, []

    def __call__(self, layer, mixer, x):
        caches = self.caches[id(layer)]
        if not caches:
            return mixer.apply(layer, x, CAUSAL)
        for cache in caches:
            x, made = self.use(cache, len(self.made), x)
            self.made.append(made)
        return x

    def show(self, layer, mixer, x):
        if self.caches[id(layer)]:
            self(layer, mixer, x)

    def either(self, condition, run, keep):
        if not self.conditional:
            return run()
        start = len(self.made)

        def recorded(function):
            # Values computed in a conditional can leave it only as its result.
            def branch():
                result, made = function(), self.made[start:]
                del self.made[start:]
                return result, made

            return branch

        result, made = ops.cond(condition, recorded(run), recorded(keep))
        self.made += made
        return result
