"""Items in turn: one unit after another, each from the positions before it."""

from keras import ops

from mdnn.generation.item_writer import ItemWriter, at_positions
from mdnn.models.compiling import compile_with_xla
from mdnn.models.incremental import IncrementalDecoder
from mdnn.tokens.features import MODALITY


class TurnWriter(ItemWriter):
    """Writes items unit by unit.

    A unit costs about one position, not a pass of the whole context: all contexts of a batch go
    through their rows column by column, the first row from its first column on (see
    `mdnn.models.incremental.IncrementalDecoder`).

    Args:
        model, kinds, steps, sampler, words: see `ItemWriter`.
        by_columns: whether to go column by column; otherwise the network is run whole for every
            unit.
        xla: whether XLA compiles what goes column by column: on a CPU that takes some seconds
            more once, and a third of the time from then on.

    Call arguments:
        inputs: see `ItemWriter`, and `steps` and `sizes` int32 `[n, 3]`: the place of unit i is
            `i // steps % sizes`.

    Returns:
        dict of `tokens` int32 `[n, positions, 8]` with the answers, `written` int32 `[n]`, how many
        units they have, and `stopped` int32 `[n]`, the modality that ended each, 0 for none.
    """

    def __init__(self, model, by_columns=True, xla=False, **kwargs):
        super().__init__(model, **kwargs)
        self.decoder = None
        if by_columns:
            self.decoder = IncrementalDecoder(self.network, self.steps)
            if xla:
                compile_with_xla(self)

    def call(self, inputs):
        tokens = inputs["tokens"]
        nothing = ops.zeros_like(inputs["count"])
        state = (tokens, nothing, nothing)
        state = self._by_columns(state, inputs) if self.decoder else self._whole(state, inputs)
        return dict(zip(("tokens", "written", "stopped"), state, strict=True))

    def _pending(self, state, inputs):
        """Which contexts' answers go on: bool `[n]`."""
        _, written, stopped = state
        return ops.logical_and(stopped == 0, written < inputs["count"])

    def _whole(self, state, inputs):
        def goes_on(*state):
            return ops.any(self._pending(state, inputs))

        def write(*state):
            position = inputs["first"] + state[1]
            hidden = at_positions(self.hidden(state[0], True), position[:, None] - 1)
            return self._write(state, hidden, position, inputs)

        return ops.while_loop(goes_on, write, state)

    def _by_columns(self, state, inputs):
        decoder = self.decoder
        tokens, first = inputs["tokens"], inputs["first"]
        weights = decoder.prepare_weights()
        begin = (first - 1) // decoder.num_columns
        # What there is before the answers' rows; nothing where they all begin in the first.
        rows = decoder.empty_rows(tokens)
        if any(rows):
            rows = ops.cond(
                ops.any(begin > 0), lambda: decoder.prefill(tokens, weights)[0], lambda: rows
            )

        def goes_on(*state):
            return ops.any(self._pending(state, inputs))

        def write_row(number, tokens, written, stopped, rows):
            row = ops.minimum(begin + number, decoder.num_rows - 1)
            context = decoder.start_row(weights, rows, row)

            def write_column(column, *carried):
                *state, current_row = carried
                position = row * decoder.num_columns + column
                here = at_positions(state[0], position[:, None])[:, 0]
                hidden, current_row = decoder.step(here, column, weights, context, current_row)
                # In the first row the prompt's positions are run, too.
                active = ops.logical_and(
                    self._pending(state, inputs), position + 1 == first + state[1]
                )
                state = ops.cond(
                    ops.any(active),
                    lambda: self._write(state, hidden[:, None], position + 1, inputs),
                    lambda: tuple(state),
                )
                return (column + 1, *state, current_row)

            _, *state, current_row = ops.while_loop(
                lambda column, *carried: ops.logical_and(
                    column < decoder.num_columns, goes_on(*carried[:3])
                ),
                write_column,
                (_int(0), tokens, written, stopped, decoder.empty_row(tokens)),
            )
            rows = decoder.finish_row(weights, rows, row, current_row)
            return (number + 1, *state, rows)

        _, *state, _ = ops.while_loop(
            lambda number, *carried: goes_on(*carried[:3]),
            write_row,
            (_int(0), *state, rows),
        )
        return tuple(state)

    def _write(self, state, hidden, position, inputs):
        """The state with one more unit at `position` of each context whose turn it is.

        `hidden`: `[n, 1, width]`, of the position before.
        """
        tokens, written, stopped = state
        number = (position - inputs["first"])[:, None]
        rows = self.decide(hidden, inputs, position[:, None], number)
        own = self.is_own(rows, inputs)[:, 0]
        active = ops.logical_and(self._pending(state, inputs), number[:, 0] == written)
        ended = ops.logical_and(active, ops.logical_not(own))
        active = ops.logical_and(active, own)
        places = number[..., None] // inputs["steps"][:, None] % inputs["sizes"][:, None]
        rows_here = self.placed(rows, places, inputs)
        old = at_positions(tokens, position[:, None])
        new = ops.where(active[:, None, None], rows_here, old)[:, 0]
        batch = ops.arange(ops.shape(tokens)[0], dtype="int32")
        indices = ops.stack([batch, ops.minimum(position, self.positions - 1)], axis=-1)
        tokens = ops.scatter_update(tokens, indices, new)
        written = written + ops.cast(active, "int32")
        stopped = ops.where(ended, rows[:, 0, MODALITY], stopped)
        return tokens, written, stopped


def _int(value):
    return ops.convert_to_tensor(value, dtype="int32")
