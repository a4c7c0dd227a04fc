"""Puts several identities of one network side by side, for batches whose rows choose among them."""

import numpy as np

from mdnn.errors import MdnnError
from mdnn.identity.adapted_network import adapted_config, check_belongs, dense_pair
from mdnn.identity.identity_file import SLOTS, read_identity
from mdnn.models.blocks.fold import RowBottleneck
from mdnn.models.blocks.row_identity import EMBEDDING


def identity_table(run, identities):
    """Returns the numbers of several identities as tables, one row each.

    Args:
        run: `mdnn.runs.run_folder.Run`.
        identities: list of files that `mdnn adapt` made.

    Returns:
        Dict from names of blocks to dicts of `offset` and `gain`, float32 `[1 + n, channels]`; if
        an identity has learned slots, also `embedding`, a dict of `slots`, float32
        `[1 + n, slots, channels]`. Row 0 changes nothing.

    Raises:
        MdnnError: an identity of another network, one with matrices (`--lora`), or a network with
            folds.
    """
    found = []
    for file in identities:
        identity = read_identity(file)
        file = "the identity" if file is identity else file
        check_belongs(run, identity, file)
        adapted_config(run.config, identity.kind, identity.slots)
        if identity.kind != "offset":
            raise MdnnError(
                f"{file}: several identities in one batch have offsets and gains; an identity with "
                "matrices (--lora) is served alone: mdnn adapt --merge makes a run of it"
            )
        found.append(identity)
    tables = {}
    if most := max(identity.slots for identity in found):
        tables[EMBEDDING] = {SLOTS: _slot_table(found, most, run.unpacked.width)}
    for block in run.unpacked.blocks:
        if dense_pair(block) is None:
            continue
        if isinstance(block, RowBottleneck):
            raise MdnnError(
                f"{block.name}: several identities in one batch need a network without folds; mdnn "
                "adapt --merge makes a run of one"
            )
        tables[block.name] = {}
        for name, neutral in (("offset", 0.0), ("gain", 1.0)):
            rows = [identity.arrays[f"{block.name}.{name}"] for identity in found]
            size = (dense_pair(block)[0].units, dense_pair(block)[1].kernel.shape[0])
            first = np.full(size[name == "gain"], neutral, "float32")
            tables[block.name][name] = np.stack([first, *rows])
    return tables


def slot_counts(identities):
    """Returns the numbers of slots of the rows of a table: 0, then those of its identities."""
    return [0, *(read_identity(identity).slots for identity in identities)]


def _slot_table(identities, most, width):
    table = np.zeros((1 + len(identities), most, width), "float32")
    for number, identity in enumerate(identities, 1):
        if identity.slots:
            table[number, : identity.slots] = identity.arrays[SLOTS]
    return table
