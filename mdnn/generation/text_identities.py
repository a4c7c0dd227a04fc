"""Identities among which each text of a batch chooses, by name."""

import numpy as np

from mdnn.generation.text_decoder import TextDecoder
from mdnn.identity.identity_table import identity_table, slot_counts


class TextIdentities:
    """The identities of one network, and decoders whose rows have identities of their own.

    Args:
        run: `mdnn.runs.run_folder.Run` of a text network.
        files: dict from names to files that `mdnn adapt` made for the network.

    Attributes:
        names: list of str, the names of the rows of the tables; the first one is `""`, none.
        slots: list of int, the learned slots of each row.

    Raises:
        MdnnError: see `mdnn.identity.identity_table.identity_table`.
    """

    def __init__(self, run, files):
        self.run, self.names = run, ["", *files]
        self.tables = identity_table(run, list(files.values()))
        self.slots = [n or run.config.context.slots for n in slot_counts(files.values())]
        self.decoders = {}

    def rows(self, names):
        """Returns the rows of names, int32 `[texts]`, and their numbers of slots, a list."""
        rows = [self.names.index(name) for name in names]
        return np.array(rows, "int32"), [self.slots[row] for row in rows]

    def decoder(self, **options):
        """Returns a `TextDecoder` of this network with the identities, made once for options."""
        key = tuple(sorted(options.items()))
        if key not in self.decoders:
            words = len(self.run.tokenizer.words)
            self.decoders[key] = TextDecoder(
                self.run.model, words=words, identities=self.tables, **options
            )
        return self.decoders[key]
