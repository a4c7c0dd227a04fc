"""Autoregressive decoding: one token after another, each from the positions before it.

`decode_rows` is the one loop, of texts and of items; `AutoregressiveDecoder` decodes items with
it, `mdnn.generation.text_decoder.TextDecoder` texts.
"""

from keras import ops

from mdnn.generation.token_decoder import TokenDecoder, at_positions
from mdnn.models.compiling import compile_with_xla
from mdnn.models.incremental import IncrementalDecoder
from mdnn.tokens.features import MODALITY


def decode_rows(network, weights, cursor, state, *, token_at, write, unfinished, next_row):
    """Runs a network position by position along the rows of its grid, and decodes tokens.

    All contexts of a batch are at the same column. The inner loop runs the columns of a row, the
    outer one the rows, so that what is computed once for a row is no branch of each position.

    Args:
        network: `mdnn.models.incremental.IncrementalDecoder`.
        weights: as its `prepare_weights` returns them.
        cursor: dict, where the loop is: `row` int32 `[batch]`, or `[1]` where all contexts are at
            the same row; `column` int32, the next column to run; `past_rows`, `row_context` and
            `current_row`, the network's caches of the rows before, for this row, and of its
            columns so far.
        state: nested structure of tensors that the four functions read and change.
        token_at: function `(state, position)` that returns the tokens int32 `[batch, 8]` to run,
            `position` being int32 of the shape of `row`.
        write: function `(state, hidden, position)` that returns the state with what is decoded
            behind `position`; `hidden` `[batch, width]` is what the heads are given.
        unfinished: function `(state)` that returns whether decoding goes on, a boolean scalar.
        next_row: function `(cursor, state)` that returns both behind the last column of a row.

    Returns:
        The cursor and the state.
    """

    def run_row(cursor, state):
        row_context, start = cursor["row_context"], cursor["row"] * network.num_columns

        def in_row(column, current_row, state):
            return ops.logical_and(column < network.num_columns, unfinished(state))

        def step(column, current_row, state):
            position = start + column
            tokens = token_at(state, position)
            hidden, current_row = network.step(tokens, column, weights, row_context, current_row)
            return column + 1, current_row, write(state, hidden, position)

        column, current_row, state = ops.while_loop(
            in_row, step, (cursor["column"], cursor["current_row"], state)
        )
        cursor = {**cursor, "column": column, "current_row": current_row}
        return ops.cond(
            ops.equal(column, network.num_columns),
            lambda: next_row(cursor, state),
            lambda: (cursor, state),
        )

    return ops.while_loop(lambda cursor, state: unfinished(state), run_row, (cursor, state))


class AutoregressiveDecoder(TokenDecoder):
    """Decodes items token by token.

    A token costs about one position, not a pass over the whole context: all contexts of a batch
    go through their rows column by column, from the first column of the row before the answer on.

    Args:
        network, kinds, steps, sampler, words: see `TokenDecoder`.
        xla: whether XLA compiles it: on a CPU that takes some seconds more once, and a third of
            the time from then on.

    Call arguments:
        inputs: see `TokenDecoder`, and `steps` and `sizes` int32 `[n, 3]`, the strides of
            coordinates (`mdnn.generation.planning.coordinate_strides`).

    Returns:
        dict of `tokens` int32 `[n, positions, 8]` with the answers, `written` int32 `[n]`, how
        many tokens they have, and `stopped` int32 `[n]`, the modality that ended each, 0 for none.
    """

    def __init__(self, network, xla=False, **kwargs):
        super().__init__(network, **kwargs)
        self.incremental = IncrementalDecoder(network, self.steps)
        if xla:
            compile_with_xla(self)

    def call(self, inputs):
        network, tokens = self.incremental, inputs["tokens"]
        weights, last_row = network.prepare_weights(), network.num_rows - 1
        row = ops.minimum((inputs["first"] - 1) // network.num_columns, last_row)
        past_rows = network.empty_rows(tokens)
        # No prefill where all answers begin in the first row.
        if any(past_rows):
            past_rows = ops.cond(
                ops.any(row > 0), lambda: network.prefill(tokens, weights)[0], lambda: past_rows
            )

        def cursor_at(row, past_rows):
            return {
                "row": row,
                "column": _int(0),
                "past_rows": past_rows,
                "row_context": network.start_row(weights, past_rows, row),
                "current_row": network.empty_row(tokens),
            }

        def token_at(state, position):
            return at_positions(state["tokens"], position[:, None])[:, 0]

        def write(state, hidden, position):
            # Positions of the prompt, too, are run in the first row.
            is_next = position + 1 == inputs["first"] + state["written"]
            return ops.cond(
                ops.any(ops.logical_and(self._pending(state, inputs), is_next)),
                lambda: self._write(state, hidden[:, None], position + 1, inputs),
                lambda: state,
            )

        def next_row(cursor, state):
            row = cursor["row"]
            past_rows = network.finish_row(weights, cursor["past_rows"], row, cursor["current_row"])
            return cursor_at(ops.minimum(row + 1, last_row), past_rows), state

        nothing = ops.zeros_like(inputs["count"])
        _, state = decode_rows(
            network,
            weights,
            cursor_at(row, past_rows),
            {"tokens": tokens, "written": nothing, "stopped": nothing},
            token_at=token_at,
            write=write,
            unfinished=lambda state: ops.any(self._pending(state, inputs)),
            next_row=next_row,
        )
        return state

    def _pending(self, state, inputs):
        """Returns which contexts' answers go on, bool `[n]`."""
        return ops.logical_and(state["stopped"] == 0, state["written"] < inputs["count"])

    def _write(self, state, hidden, position, inputs):
        """Returns the state with one more token at `position` of each context whose turn it is.

        Args:
            state: dict of `tokens`, `written` and `stopped`.
            hidden: `[n, 1, width]`, of the position before.
            position: int32 `[n]`.
            inputs: the call's.
        """
        tokens, written = state["tokens"], state["written"]
        number = (position - inputs["first"])[:, None]
        decoded = self.decode(hidden, inputs, position[:, None], number)
        belongs = self.belongs(decoded, inputs)[:, 0]
        active = ops.logical_and(self._pending(state, inputs), number[:, 0] == written)
        ended = ops.logical_and(active, ops.logical_not(belongs))
        active = ops.logical_and(active, belongs)
        places = number[..., None] // inputs["steps"][:, None] % inputs["sizes"][:, None]
        new = self.placed(decoded, places, inputs)
        new = ops.where(active[:, None, None], new, at_positions(tokens, position[:, None]))[:, 0]
        batch = ops.arange(ops.shape(tokens)[0], dtype="int32")
        indices = ops.stack([batch, ops.minimum(position, self.positions - 1)], axis=-1)
        return {
            "tokens": ops.scatter_update(tokens, indices, new),
            "written": written + ops.cast(active, "int32"),
            "stopped": ops.where(ended, decoded[:, 0, MODALITY], state["stopped"]),
        }


def _int(value):
    return ops.convert_to_tensor(value, dtype="int32")
