"""The decoding cache of a block of n-grams."""

from keras import ops

from mdnn.layers.mixing.decoding_cache import DecodingCache, set_index


class NgramCache(DecodingCache):
    """Runs a `NgramBlock` character by character.

    `codes` in `current_row` holds the characters of each context, preceded by zeros, int32
    `[reach - 1 + positions, batch]`: decoding may go on from any position of a context that was
    read at once.

    Args:
        block: a built `mdnn.models.chunks.ngram_block.NgramBlock`.
        grid, width: see `DecodingCache`.
    """

    takes_prefix = False
    keeps_history = True

    def __init__(self, block, grid, width):
        super().__init__(grid, width)
        self.block, self.positions = block, self.num_rows * self.num_columns

    def start_row(self, weights, past_rows, row):
        return {"start": row[0] * self.num_columns}

    def empty_row(self, batch, dtype):
        return {"codes": ops.zeros((self.block.reach - 1 + self.positions, batch), "int32")}

    def prefill(self, weights, marks):
        codes = ops.transpose(ops.reshape(marks, (-1, self.positions)))
        codes = ops.pad(codes, [[self.block.reach - 1, 0], [0, 0]])
        return self.block.apply(self.block, marks), {}, {"codes": codes}

    def step(self, weights, row_context, current_row, column, marks):
        at, reach = row_context["start"] + column, self.block.reach
        codes = set_index(current_row["codes"], at + reach - 1, marks[:, 0])
        last = ops.slice(codes, (at, ops.zeros_like(at)), (reach, ops.shape(codes)[1]))
        return self.block.vectors(ops.transpose(last))[:, 0], {"codes": codes}
