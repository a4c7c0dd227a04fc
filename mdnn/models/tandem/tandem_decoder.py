"""Runs all members position by position, with the caches of each."""

from mdnn.errors import MdnnError
from mdnn.models.incremental import IncrementalDecoder


class TandemDecoder:
    """Has the methods of `mdnn.models.incremental.IncrementalDecoder`, for all members at once.

    Weights and caches have the members as their first axis.

    Args:
        network: `mdnn.models.tandem.tandem_network.TandemNetwork`.
        steps: int, refeed steps: 1 or `None`.
    """

    def __init__(self, network, steps=None):
        self.members, self.width = network.members, network.width
        self.one = IncrementalDecoder(network.template, steps)
        self.grid, self.dtype = self.one.grid, self.one.dtype
        self.num_columns, self.num_rows = self.one.num_columns, self.one.num_rows
        self.takes_prefix = self.one.takes_prefix
        # Contexts are read at once.
        self.piece = 0

    def prepare_weights(self, identity=None):
        """See `IncrementalDecoder.prepare_weights`; members have no identities."""
        if identity is not None:
            raise MdnnError("identity: networks in tandem take none; adapt one member alone")
        return self.members.each(self.one.prepare_weights)

    def start_row(self, weights, past_rows, row):
        """See `IncrementalDecoder.start_row`."""
        return self.members.each(
            lambda own, before: self.one.start_row(own, before, row), weights, past_rows
        )

    def finish_row(self, weights, past_rows, row, current_row):
        """See `IncrementalDecoder.finish_row`."""
        return self.members.each(
            lambda own, before, x: self.one.finish_row(own, before, row, x),
            weights,
            past_rows,
            current_row,
        )

    def empty_rows(self, tokens):
        """See `IncrementalDecoder.empty_rows`."""
        return self.members.each(lambda: self.one.empty_rows(tokens))

    def empty_row(self, tokens):
        """See `IncrementalDecoder.empty_row`."""
        return self.members.each(lambda: self.one.empty_row(tokens))

    def restore_row(self, inputs, row):
        """See `mdnn.models.cached_mixing.CachedMixing.restore_row`."""
        return self.members.each(lambda x: self.one.restore_row(x, row), inputs)

    def step(self, tokens, column, weights, row_context, current_row):
        """See `IncrementalDecoder.step`."""

        def step(own, context, current):
            return self.one.step(tokens, column, own, context, current)

        hidden, current_row = self.members.each(step, weights, row_context, current_row)
        return self.members.joined(hidden), current_row

    def prefill(self, tokens, weights, row):
        """See `IncrementalDecoder.prefill`."""
        return self.members.each(lambda own: self.one.prefill(tokens, own, row), weights)
