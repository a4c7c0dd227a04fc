"""Converts proposed cuts into a fixed number of chunks with bounded lengths, without a loop."""

import dataclasses
import math

from keras import ops


def num_chunks(positions, shortest):
    """Returns the number of chunks that a context has room for, an int."""
    return math.ceil(positions / shortest)


def chunk_starts(wanted, shortest, longest):
    """Returns the first position of each chunk.

    The first chunk begins at position 0; each further one at the first proposed cut that leaves the
    chunk before it at least `shortest` letters, and after `longest` letters at the latest. The next
    chunk's beginning is thus a function of this one's. The function is doubled (after 1, 2, 4, ...
    chunks), so that log2(chunks) look-ups find all of them.

    Args:
        wanted: boolean `[batch, positions]`, whether a cut before a position is proposed.
        shortest, longest: ints, the lengths of a chunk.

    Returns:
        int32 `[batch, chunks + 1]`; entries beyond the last chunk are `positions` or more.
    """
    positions = wanted.shape[1]
    here = ops.arange(positions, dtype="int32")[None]
    wanted = ops.pad(ops.cast(wanted, "int32"), [[0, 0], [0, longest]])
    following = here + longest + 0 * wanted[:, :positions]
    for distance in reversed(range(shortest, longest)):
        cut = wanted[:, distance : distance + positions] > 0
        following = ops.where(cut, here + distance, following)
    # The last entry, which points to itself, is the end of the context.
    following = ops.pad(
        ops.minimum(following, positions), [[0, 0], [0, 1]], constant_values=positions
    )
    count, starts = num_chunks(positions, shortest) + 1, ops.zeros_like(following[:, :1])
    while starts.shape[1] < count:
        starts = ops.concatenate([starts, ops.take_along_axis(following, starts, axis=1)], axis=1)
        following = ops.take_along_axis(following, following, axis=1)
    return starts[:, :count]


@dataclasses.dataclass(frozen=True)
class ChunkLayout:
    """The chunks of a batch of contexts.

    Attributes:
        members: `[batch, chunks, positions]`, 1 where a chunk has a position, otherwise 0.
        offset: int32 `[batch, positions]`, the number of a letter in its chunk, from 0.
        to_end: int32 `[batch, positions]`, the number of letters after it in its chunk.
        starts: result of `chunk_starts`.
        strength: float32 `[batch, positions]`, the strength of a cut before each position.
    """

    members: object
    offset: object
    to_end: object
    starts: object
    strength: object

    @property
    def cut(self):
        """Float32 `[batch, positions]`, 1 where a chunk begins, otherwise 0."""
        return ops.cast(ops.equal(self.offset, 0), "float32")

    def at_ends(self):
        """Returns the strength of the cut at the end of each chunk, float32 `[batch, chunks]`."""
        here = ops.arange(self.strength.shape[1], dtype="int32")
        ends = ops.cast(ops.equal(here, self.starts[:, 1:, None]), "float32")
        return ops.matmul(ends, self.strength[..., None])[..., 0]

    @classmethod
    def of(cls, strength, shortest, longest, dtype):
        """Returns the layout for strengths; lengths as of `chunk_starts`.

        Args:
            strength: float `[batch, positions]`, the strength of a cut before each position.
            shortest, longest: int, see `chunk_starts`.
            dtype: str, that of the layout's matrices.
        """
        wanted, strength = strength >= 0.5, ops.cast(strength, "float32")
        starts = chunk_starts(wanted, shortest, longest)
        here = ops.arange(wanted.shape[1], dtype="int32")
        first, behind = starts[:, :-1, None], starts[:, 1:, None]
        inside = ops.logical_and(here >= first, here < behind)
        offset = here - ops.max(ops.where(inside, first, 0), axis=1)
        to_end = ops.max(ops.where(inside, behind, 0), axis=1) - 1 - here
        return cls(ops.cast(inside, dtype), offset, to_end, starts, strength)
