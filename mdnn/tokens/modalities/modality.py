"""Defines the interface of a modality: one kind of token, and one kind of item made of such tokens.

A modality is one object in one file; `mdnn.tokens.modalities.register_modality` registers it. No
other code compares the names of modalities. A subclass of `ItemModality` that is to appear in the
items task defines `tokens`, `value` and `accepts`, and the methods for files and manifests that it
supports.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Modality:
    """Describes one kind of token: its name, number, byte sizes and coordinates.

    Args:
        name: str, as used in configs, commands and weight names.
        index: int from 0 to 15, the value of the column `modality`; 0 is padding.
        bytes: tuple of at most three integers, the number of values of each byte, most significant
            first. `n` bytes fill the columns `byte_1` to `byte_n`; the other columns are 0.
        coordinates: tuple of the names of at most three coordinates, slowest first. They fill the
            columns `place_1` to `place_n`.

    Attributes:
        kind: the kind of item that its tokens form, a string; `None` for a modality that is not
            part of items.
        whole_values: Number of values of all bytes read as one number, the size of the paper's
            tables (`tokens.table = "full"`); `None`: bytes always have a table each.
        sized_by_vocabulary: bool, whether all bytes are always read as one number, below the
            size of the network's vocabulary (`tokens.subwords`).
        ordered_rms: tuple, the root mean square of each byte's table with
            `tokens.table_init = "ordered"`; empty for bytes that are not magnitudes.
        leading_zeros: Number of first bytes that are 0 in most tokens. Row 0 of their tables starts
            at zero; otherwise most tokens would share most of their vector at first, and the
            mixer `keys` could hardly tell them apart.
    """

    name: str
    index: int
    bytes: tuple[int, ...] = ()
    coordinates: tuple[str, ...] = ()

    kind = None
    whole_values = None
    sized_by_vocabulary = False
    ordered_rms = ()
    leading_zeros = 0

    @property
    def joined(self):
        """Number of bytes that `whole_values` reads as one number."""
        return len(self.bytes)

    @property
    def probe(self):
        """`(low, high, change)`: values of the last byte for measurements on random tokens.

        Values are drawn from `low` to `high - 1`; adding `change` gives another valid value.
        """
        classes = self.bytes[-1]
        # Printable characters, where the byte has that many values.
        return (32, 127, 128) if classes >= 255 else (0, classes // 2, classes // 2)

    def check_config(self, tokens):
        """Refuses a config table `tokens` that does not fit this modality.

        Called for every registered modality, whether or not the config names it.
        """
