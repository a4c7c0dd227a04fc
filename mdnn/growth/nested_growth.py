"""Grows the blocks that hold blocks of their own: folds of rows, and chunks."""

import numpy as np

from mdnn.errors import MdnnError
from mdnn.growth.channel_maps import channel_map
from mdnn.growth.grid_change import GridChange
from mdnn.growth.origins import NEW, placed, same
from mdnn.growth.stream_growth import Stream, check_kept, grow_dense, grow_norm, stream_rules


def grow_fold(grow_blocks, old, new, stream, where):
    """Returns the origins of the weights of a fold, except its norm.

    Args:
        grow_blocks: `mdnn.growth.block_growth.grow_blocks`, for the inner blocks.
        old, new, stream, where: see `mdnn.growth.block_growth.grow_block`.
    """
    grid, rows = stream.grid, stream.grid.without_last()
    slower = grid.new_names[:-1]
    for number, name in enumerate(slower):
        before = [grid.old[other] for other in slower[:number] if other in grid.old]
        longer = stream.exact and name in grid.changed
        if longer and np.prod(before, dtype=int) > 1:
            raise MdnnError(
                f"{where}: a fold passes each row to the next; a longer {name!r} puts new rows "
                "between old ones"
            )
    widths = old.width, new.width
    inner_map = channel_map(*widths, stream_rules(_paired(old, new), widths), f"{where}.width")
    row = grid.old_sizes[-1], grid.new_sizes[-1]
    # A row is folded position by position, each with all channels of the stream.
    position = np.arange(row[1])[:, None]
    channel = stream.channels[None]
    known = (position < row[0]) & (channel != NEW)
    values = np.where(known, position * stream.width + channel, NEW).reshape(-1)
    longer = np.broadcast_to(position >= row[0], known.shape).reshape(-1)
    initial = np.asarray(new.dense_in.kernel)

    def fill_in(news):
        # New positions hold something, new channels hold zeros.
        return np.where(longer[:, None] | news[1], 0, initial)

    found = {
        id(new.dense_in.kernel): placed(
            old.dense_in.kernel, new.dense_in.kernel, [values, inner_map], fill_in
        )
    }
    if new.dense_in.bias is not None:
        found[id(new.dense_in.bias)] = placed(
            old.dense_in.bias, new.dense_in.bias, [inner_map], 0.0
        )
    for name in ("from_before", "from_itself"):
        found |= grow_dense(getattr(old, name), getattr(new, name), inner_map, inner_map)
    found |= grow_dense(old.dense_out, new.dense_out, inner_map, values, True, True)
    inner = Stream(rows, inner_map, old.width, stream.modes, stream.exact)
    return found | grow_blocks(old.blocks, new.blocks, inner, f"{where}.block")


def grow_chunks(grow_blocks, old, new, stream, where):
    """Returns the origins of the weights of a layer of chunks, except its norm.

    Texts are cut as before: the old positions come first in the new context, and so do their
    chunks. A letter receives only chunks before its own, so later positions change nothing.

    Args:
        grow_blocks, old, new, stream, where: see `grow_fold`.

    Raises:
        MdnnError: new positions stand between old ones, or another way to cut.
    """
    for name in ("cut", "shortest", "longest", "kernels"):
        check_kept(old, new, name, where)
    places = stream.grid.positions()
    if stream.exact and (places != np.arange(len(places))).any():
        raise MdnnError(
            f"{where}: chunks are cut from the text in order; a longer "
            f"{stream.grid.new_names[-1]!r} puts new positions between old ones"
        )
    widths = old.width, new.width
    inner = channel_map(*widths, stream_rules(_paired(old, new), widths), f"{where}.width")
    # A dense layer reads, and writes, the channels of one kernel after those of another.
    first = np.arange(new.kernels)[:, None] * stream.width
    joined = np.where(stream.channels == NEW, NEW, first + stream.channels).reshape(-1)
    found = grow_dense(old.dense_in, new.dense_in, joined, inner, False, True)
    found |= grow_dense(old.dense_out, new.dense_out, inner, joined, True, True)
    for name in ("from_start", "from_end", "to_letters"):
        found[id(getattr(new, name))] = same(getattr(old, name), getattr(new, name))
    table = placed(old.letter_table, new.letter_table, [None, stream.channels], 0.0)
    found[id(new.letter_table)] = table
    for before, after in zip(old.cutter.weights, new.cutter.weights, strict=True):
        # Those of a learned cut are matrices of the stream's channels, the identity at first.
        maps = [stream.channels] * 2 if old.cutter.learnt else [None]
        found[id(after)] = placed(before, after, maps)
    axis = ("chunk",)
    chunks = GridChange(axis, (old.chunks,), axis, (new.chunks,))
    within = Stream(chunks, inner, old.width, stream.modes, stream.exact)
    found |= grow_norm(old.norm_out, new.norm_out, within, f"{where}.norm")
    return found | grow_blocks(old.blocks, new.blocks, within, f"{where}.block")


def _paired(old, new):
    """Returns the inner blocks that were there before, as pairs."""
    known = {block.name: block for block in old.blocks}
    return [(known[b.name], b) for b in new.blocks if b.name in known]
