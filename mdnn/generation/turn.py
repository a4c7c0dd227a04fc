"""Items in turn: one unit after another, each from the positions before it."""

from keras import ops

from mdnn.generation.item_writer import ItemWriter, at_positions
from mdnn.models.compiling import jit_compile
from mdnn.models.incremental import Columns
from mdnn.tokens.features import MODALITY


class TurnWriter(ItemWriter):
    """Writes items unit by unit.

    A unit costs about one position, not a pass of the whole context: all contexts of a batch go
    through their rows column by column, the first row from its first column on (see
    `mdnn.models.incremental.Columns`).

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
        self.columns = None
        if by_columns:
            self.columns = Columns(self.network, self.steps)
            if xla:
                self.jit_compile = jit_compile(xla)

    def call(self, inputs):
        tokens = inputs["tokens"]
        nothing = ops.zeros_like(inputs["count"])
        state = (tokens, nothing, nothing)
        state = self._by_columns(state, inputs) if self.columns else self._whole(state, inputs)
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
        columns = self.columns
        tokens, first = inputs["tokens"], inputs["first"]
        prepared = columns.prepare()
        begin = (first - 1) // columns.row
        # What there is before the answers' rows; nothing where they all begin in the first.
        rows = columns.no_rows(tokens)
        if any(rows):
            rows = ops.cond(
                ops.any(begin > 0), lambda: columns.read(tokens, prepared)[0], lambda: rows
            )

        def goes_on(*state):
            return ops.any(self._pending(state, inputs))

        def write_row(number, tokens, written, stopped, rows):
            row = ops.minimum(begin + number, columns.rows - 1)
            given = columns.begin(prepared, rows, row)

            def write_column(column, *carried):
                *state, kept = carried
                position = row * columns.row + column
                here = at_positions(state[0], position[:, None])[:, 0]
                hidden, kept = columns.column(here, column, prepared, given, kept)
                # In the first row the prompt's positions are run, too.
                active = ops.logical_and(
                    self._pending(state, inputs), position + 1 == first + state[1]
                )
                state = ops.cond(
                    ops.any(active),
                    lambda: self._write(state, hidden[:, None], position + 1, inputs),
                    lambda: tuple(state),
                )
                return (column + 1, *state, kept)

            _, *state, kept = ops.while_loop(
                lambda column, *carried: ops.logical_and(
                    column < columns.row, goes_on(*carried[:3])
                ),
                write_column,
                (_int(0), tokens, written, stopped, columns.empty(tokens)),
            )
            rows = columns.end(prepared, rows, row, kept)
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
