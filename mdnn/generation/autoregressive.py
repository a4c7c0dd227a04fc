"""Decodes autoregressively: one token after another, each from the positions before it.

`decode_rows` is the common decoding loop. `AutoregressiveDecoder` uses it for items,
`mdnn.generation.text_decoder.TextDecoder` for texts.
"""

from keras import ops

from mdnn.generation.token_decoder import TokenDecoder, at_positions
from mdnn.models.compiling import compile_with_xla
from mdnn.tokens.features import MODALITY


def decode_rows(network, weights, cursor, state, *, token_at, write, unfinished, next_row):
    """Runs a network position by position along the rows of its grid, and decodes tokens.

    All contexts of a batch are at the same column. The outer loop runs over rows and the inner loop
    over the columns of a row, so the work done once per row needs no condition in the inner loop.

    Args:
        network: `mdnn.models.incremental.IncrementalDecoder`.
        weights: result of its `prepare_weights`.
        cursor: dict with the position of the loop: `row` int32 `[batch]`, or `[1]` if all contexts
            are at the same row; `column` int32, the next column to run; `past_rows`, `row_context`
            and `current_row`, the network's caches of completed rows, for the current row, and of
            the completed columns of the current row.
        state: nested structure of tensors that the four functions read and update.
        token_at: function `(state, position)` that returns the tokens int32 `[batch, 8]` to run;
            `position` is int32 with the shape of `row`.
        write: function `(state, hidden, position)` that returns the state with the token decoded
            for `position + 1`; `hidden` `[batch, width]` is the input of the heads.
        unfinished: function `(state)` that returns whether to continue, a boolean scalar.
        next_row: function `(cursor, state)` that is called after the last column of a row and
            returns the cursor and state for the next row.

    Returns:
        The final cursor and state.
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

    Caches reduce the cost of a token to about one position instead of a pass over the whole
    context. All contexts of a batch run through their rows column by column, starting with the
    first column of the row that contains the position before the answer.

    Args:
        network, kinds, steps, sampler, words: see `TokenDecoder`.
        xla: bool, whether to compile with XLA. On a CPU this adds a few seconds to the first call
            and reduces the time of later calls to a third.

    Call arguments:
        inputs: see `TokenDecoder`; additionally `steps` and `sizes` int32 `[n, 3]`, the strides of
            coordinates (`mdnn.generation.planning.coordinate_strides`).

    Returns:
        dict of `tokens` int32 `[n, positions, 8]`, the contexts with the answers; `written` int32
        `[n]`, the lengths of the answers in tokens; and `stopped` int32 `[n]`, the index of the
        modality that ended each answer, 0 for none.
    """

    def __init__(self, network, xla=False, **kwargs):
        super().__init__(network, **kwargs)
        self.incremental = network.decoder(self.steps)
        if xla:
            compile_with_xla(self)

    def call(self, inputs):
        network, tokens = self.incremental, inputs["tokens"]
        weights, last_row = network.prepare_weights(), network.num_rows - 1
        row = ops.minimum((inputs["first"] - 1) // network.num_columns, last_row)
        past_rows = network.empty_rows(tokens)
        # Prefill is unnecessary if all answers begin in the first row.
        if any(past_rows):
            past_rows = ops.cond(
                ops.any(row > 0),
                lambda: network.prefill(tokens, weights, row)[0],
                lambda: past_rows,
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
            # The first row may also run positions of the prompt, which decode nothing.
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
        """Returns a mask of contexts with unfinished answers, bool `[n]`."""
        return ops.logical_and(state["stopped"] == 0, state["written"] < inputs["count"])

    def _write(self, state, hidden, position, inputs):
        """Decodes a token at `position` in each context whose next token belongs there.

        Args:
            state: dict of `tokens`, `written` and `stopped`.
            hidden: `[n, 1, width]`, input of the heads at the preceding position.
            position: int32 `[n]`.
            inputs: the inputs of the call.

        Returns:
            The updated state.
        """
        tokens, written = state["tokens"], state["written"]
        number = (position - inputs["first"])[:, None]
        decoded = self.decode(hidden, inputs, position[:, None], number)
        belongs = self.belongs(decoded, inputs)[:, 0]
        active = ops.logical_and(self._pending(state, inputs), number[:, 0] == written)
        ended = ops.logical_and(active, ops.logical_not(belongs))
        active = ops.logical_and(active, belongs)
        coordinates = number[..., None] // inputs["steps"][:, None] % inputs["sizes"][:, None]
        new = self.with_coordinates(decoded, coordinates, inputs)
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
