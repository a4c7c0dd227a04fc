"""A causal network, one position at a time: what earlier positions gave is kept, not computed
again."""

import functools

from keras import ops

from mdnn.models.blocks import product
from mdnn.models.fold import RowBottleneck
from mdnn.models.fold_cache import FoldedRows
from mdnn.models.mixer_pasts import pasts_of
from mdnn.models.mixing import MixingBlock
from mdnn.models.pasts import Past, put


class Columns:
    """Runs a causal network position by position along a row, all contexts at the same column.

    A row is all positions of the fastest axis. Each use of a mixer or fold keeps what it needs of
    the positions before (`mdnn.models.pasts.Past`: `prepared`, `rows`, `given` and `kept` are lists
    of its dicts, one for each use); a position costs the dense layers of one position, the mixers'
    sums over one row and a share of what is done once for each row. Everything runs inside a
    compiled function.

    Args:
        network: `mdnn.Network` that can be causal.
        steps: int, steps; `None`: as the network's options say.

    Attributes:
        row: int, positions of a row, the columns.
        rows: int, rows of one context.
        shortens: whether `read` takes a context's beginning alone.
        dtype: of what is computed and kept.
    """

    def __init__(self, network, steps=None):
        self.network = network
        self.options = network.options.changed(causal=True, steps=steps)
        self.steps = self.options.steps
        self.grid = network.grid
        self.row, self.rows, self.width = network.row, product(self.grid[:-1]), network.width
        # What each layer keeps, by its identity; a layer that is used again keeps that again.
        self._of_layer, used = {}, []
        for branch in network.blocks:
            if isinstance(branch, RowBottleneck):
                used += self._found(branch, lambda b=branch: [_Folded(b, self.grid, self.width)])
            elif isinstance(branch, MixingBlock):
                for mixers in branch.sets:
                    for _ in range(branch.times):
                        for mixer, spec in zip(mixers, branch.mixers, strict=True):
                            make = (mixer, spec, self.grid, self.width)
                            used += self._found(mixer, lambda m=make: pasts_of(*m))
        self.uses = used * self.steps
        self.shortens = all(past.shortens for past in used)
        self.dtype = network.blocks[0].compute_dtype

    def _found(self, layer, make):
        if id(layer) not in self._of_layer:
            self._of_layer[id(layer)] = make()
        return self._of_layer[id(layer)]

    def prepare(self):
        """What is made of the weights, to be called once, before all loops."""
        made = {}
        for past in self.uses:
            if id(past) not in made:
                made[id(past)] = past.prepare()
        return [made[id(past)] for past in self.uses]

    def no_rows(self, like):
        """`rows` before there is any, for tokens `like`."""
        batch = ops.shape(like)[0]
        return [past.no_rows(batch, self.dtype) for past in self.uses]

    def empty(self, like):
        """`kept` before a row's first column, for tokens `like`."""
        batch = ops.shape(like)[0]
        return [past.empty(batch, self.dtype) for past in self.uses]

    def begin(self, prepared, rows, row):
        """What earlier rows give to a row; int32 `row` `[batch]`, or `[1]` for all."""
        each = zip(self.uses, prepared, rows, strict=True)
        return [past.begin(own, before, row) for past, own, before in each]

    def end(self, prepared, rows, row, kept):
        """`rows` with one more row of each context, whose columns all ran."""
        each = zip(self.uses, prepared, rows, kept, strict=True)
        return [past.end(own, before, row, x) for past, own, before, x in each]

    def column(self, tokens, number, prepared, given, kept):
        """What the heads are given for one column of a row.

        Args:
            tokens: int32 `[batch, 8]`, the positions of that column.
            number: int32, which column.
            prepared, given: as `prepare`, and `begin` for the row, give them.
            kept: as `empty`, or this function for the column before, gives it.

        Returns:
            `[batch, width]`, and the new `kept`.
        """
        shape, new = self._shape(1, 1), []

        def mix(past, x):
            place = len(new)
            x = ops.reshape(x, (-1, self.width))
            y, own = past.column(prepared[place], given[place], kept[place], number, x)
            new.append(own)
            return ops.reshape(y, shape)

        def fold(past, branch, x):
            return branch(x, folded=mix(past, branch.normed(x)), training=False)

        x = self._run(ops.reshape(self.network.embedding(tokens[:, None]), shape), mix, fold)
        return ops.reshape(self.network.normed(x), (-1, self.width)), new

    def read(self, tokens, prepared):
        """Reads contexts at once, or their beginning.

        Args:
            tokens: int32 `[batch, positions, 8]`. Where `shortens`, perhaps the
                first rows alone, or of a single row the first columns.
            prepared: as `prepare` gives it.

        Returns:
            `rows`, and what each use was given `[batch, rows, columns, width]`, for `row_of`.
        """
        positions = tokens.shape[1]
        count, columns = (
            (positions // self.row, self.row) if positions >= self.row else (1, positions)
        )
        found, inputs = [], []
        shape = self._shape(count, columns)
        if not self.shortens:
            shape = (-1, *self.grid, self.width)

        def seen(x):
            inputs.append(ops.reshape(x, (-1, count, columns, self.width)))
            return inputs[-1]

        def mix(past, x):
            y, rows = past.whole(prepared[len(found)], seen(x))
            found.append(rows)
            return ops.reshape(y, shape)

        def fold(past, branch, x):
            seen(branch.normed(x))
            y, rows = past.all(x)
            found.append(rows)
            return y

        self._run(ops.reshape(self.network.embedding(tokens), shape), mix, fold)
        return found, inputs

    def row_of(self, inputs, row):
        """`kept` of row `row` `[1]`, the same of all contexts, from what `read` gave."""
        each = zip(self.uses, inputs, strict=True)
        return [past.kept_of(ops.take(x, row, axis=1)[:, 0], row) for past, x in each]

    def _shape(self, rows, columns):
        """The shape of so many rows and columns, as branches take them."""
        slower = len(self.grid) - 1
        return (-1, *[1] * (slower - 1), *[rows] * (slower > 0), columns, self.width)

    def _run(self, x, mix, fold):
        """The network's forward pass with another way to run mixers and folds."""
        network, uses = self.network, self._of_layer

        def one(branch, mixer, spec, x):
            if not uses[id(mixer)]:
                return branch.mixed(mixer, spec, x, True)
            for past in uses[id(mixer)]:
                x = mix(past, x)
            return x

        def run_block(block, x):
            if isinstance(block, MixingBlock):
                y = block.transform(block.normed(x), True, False, mix=functools.partial(one, block))
                return block.add(x, y, False)
            if isinstance(block, RowBottleneck):
                return fold(uses[id(block)][0], block, x)
            return block(x, causal=True, training=False)

        states = network.first_states(x)
        return network.iterate(
            x, states, self.steps, options=self.options, training=False, run_block=run_block
        )[0]


class _Folded(Past):
    """What a fold keeps: the row's inputs, and whole rows as `FoldedRows` keeps them."""

    shortens = False

    def __init__(self, branch, grid, width):
        super().__init__(grid, width)
        self.folded = FoldedRows(branch, grid[:-1])

    def no_rows(self, batch, dtype):
        return self._named(self.folded.none(batch, dtype))

    def _named(self, tensors):
        return {str(k): tensor for k, tensor in enumerate(tensors)}

    def _listed(self, rows):
        return [rows[str(k)] for k in range(len(rows))]

    def empty(self, batch, dtype):
        return {"x": ops.zeros((self.row, batch, self.width), dtype)}

    def kept_of(self, x, row):
        return {"x": ops.transpose(self.to_columns(x), (1, 0, 2))}

    def begin(self, prepared, rows, row):
        y = self.folded.addition(self._listed(rows), row)
        y = ops.reshape(y, (-1, self.row, self.width))
        return {"added": ops.transpose(y, (1, 0, 2))}

    def column(self, prepared, given, kept, number, x):
        return ops.take(given["added"], number, axis=0), {"x": put(kept["x"], number, x)}

    def end(self, prepared, rows, row, kept):
        x = ops.reshape(ops.transpose(kept["x"], (1, 0, 2)), (-1, self.row * self.width))
        return self._named(self.folded.with_row(self._listed(rows), row, x))

    def all(self, x):
        """The branch's output for whole contexts, and `rows`."""
        y, rows = self.folded.all(x)
        return y, self._named(rows)
