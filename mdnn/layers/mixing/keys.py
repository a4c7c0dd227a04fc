"""The mixer `keys`: values summed by keys along axes, read by queries."""

import dataclasses
from typing import ClassVar

from mdnn.errors import MdnnError
from mdnn.layers.mixing.keyed_caches import (
    ColumnKeysCache,
    FollowersCache,
    RowKeysCache,
    RunningSumCache,
    SummedRowsCache,
)
from mdnn.layers.mixing.keyed_sum import KeyedSum
from mdnn.layers.mixing.mixer import Mixer, check_heads, register_mixer, wired_causally
from mdnn.option_field import option


@register_mixer
@dataclasses.dataclass(frozen=True)
class KeysMixer(Mixer):
    """Configures `KeyedSum` along one axis, or all of them in row-major order."""

    kind: str = "keys"
    wiring: str = option("causal", choices=("causal", "full"))
    heads: int = option(1, least=1)
    # Factor on the logits of keys and queries: the larger, the fewer features a key has.
    sharpness: float = option(4.0, least=0.01, most=1000.0)
    # Features of each head's keys and queries (0: as many as its values have): the more, the more
    # keys can be told apart.
    features: int = option(0, least=0, most=4096)
    # "previous": the key of a position is the query of the one before it, so that a position reads
    # what followed positions like itself.
    match: str = option("own", choices=("own", "previous"))
    # Whether each position decides how much it counts for those that read it.
    write_gate: bool = False
    # Whether each position decides how much of what was before it stays.
    forget_gate: bool = False

    example: ClassVar[dict] = {"heads": 2}
    several_axes: ClassVar[bool] = True
    size_free = True
    can_be_causal = True

    @property
    def is_causal(self):
        return wired_causally(self.wiring)

    def check(self, where, rank, width, channels):
        super().check(where, rank, width, channels)
        check_heads(self, where, width, channels)
        if self.forget_gate and self.wiring == "full":
            raise MdnnError(
                f'{where}.forget_gate: expected false with wiring = "full": positions that read '
                "all others have no order in which to forget"
            )
        if 1 < len(self.axes) < rank:
            raise MdnnError(
                f"{where}.axes: keys mixes one axis or all {rank}, received {list(self.axes)}"
            )

    def narrowed(self, width, narrow):
        # A slice of a head's features is not a softmax over them.
        return self if narrow == width else None

    def make_layer(self, rank, name, dtype=None):
        return KeyedSum(
            self.context_axes(rank),
            heads=self.heads,
            wiring=self.wiring,
            sharpness=self.sharpness,
            features=self.features,
            match=self.match,
            write_gate=self.write_gate,
            forget_gate=self.forget_gate,
            name=name,
            dtype=dtype,
        )

    def make_caches(self, layer, grid, width, columns=True):
        axes = self.context_axes(len(grid) if columns else len(grid) - 1)
        if len(axes) > 1:
            kind = RunningSumCache if columns else SummedRowsCache
            if not columns and self.match == "previous":
                kind = FollowersCache
            return [kind(layer, axes, grid, width, columns)]
        kind = RowKeysCache if columns and axes[0] == len(grid) else ColumnKeysCache
        return [kind(layer, axes[0], grid, width, columns)]

    def largest_matrix(self, sizes, width):
        return sizes[-1] ** 2
