"""The mixer `dense`: a dense layer along each of its axes."""

import dataclasses
import math
from typing import ClassVar

from keras import ops

from mdnn.errors import MdnnError
from mdnn.layers.mixing.axes_cache import AxesCache
from mdnn.layers.mixing.decoding_cache import DecodingCache
from mdnn.layers.mixing.dense_cache import DenseCache
from mdnn.layers.mixing.mixer import (
    Mixer,
    check_groups,
    narrowed_groups,
    register_mixer,
    wired_causally,
)
from mdnn.layers.multidim_dense import MultidimDense
from mdnn.layers.weight_rules import get_initializer
from mdnn.layers.wiring import toeplitz
from mdnn.option_field import option


@register_mixer
@dataclasses.dataclass(frozen=True)
class DenseMixer(Mixer):
    """Configures `MultidimDense`, optionally with a kernel per group of neighboring channels."""

    kind: str = "dense"
    sharing: str = option("groups", choices=("groups", "shared", "separate", "tied"))
    # Number of channel groups, each with its own kernel, for sharing = "groups".
    groups: int = option(1, least=1)
    wiring: str = "causal"
    execution: str = option("parallel", choices=("parallel", "sequential"))
    order: str = option("ascending", choices=("ascending", "descending"))
    self_connection: str = option("each", choices=("each", "once", "none"))
    window: int | None = option(None, least=0)
    density: float | None = option(None, least=0.0, most=1.0)
    seed: int = 0
    # Standard deviation of the initial kernels; 0 derives it from the fan-in.
    init_std: float = option(0.0, least=0.0)

    several_axes: ClassVar[bool] = True
    mixes_channels: ClassVar[bool] = True

    @property
    def positionwise(self):
        return self.sharing == "separate"

    @property
    def size_free(self):
        return self.axes == (-1,) and not self.positionwise

    @property
    def is_causal(self):
        return self.axes == (-1,) or wired_causally(self.wiring)

    @property
    def can_be_causal(self):
        return -1 in self.axes or wired_causally(self.wiring)

    @property
    def kernels(self):
        """Number of channel groups with their own kernels."""
        return self.groups if self.sharing == "groups" else 1

    def check(self, where, rank, width, channels):
        super().check(where, rank, width, channels)
        if -1 in self.axes and (len(self.axes) > 1 or self.sharing == "groups"):
            raise MdnnError(
                f"{where}.axes: expected a separate mixer for the channels (axes = [-1], "
                f"sharing = 'shared' or 'separate'), received axes = {list(self.axes)}, "
                f"sharing = {self.sharing!r}"
            )
        check_groups(self, where, width, channels)
        if self.order != "ascending" and self.execution == "parallel":
            raise MdnnError(
                f"{where}.order: an order of axes needs execution = 'sequential', received "
                f"order = {self.order!r} and execution = 'parallel'"
            )
        if self.seed and "random" not in self.wiring.split("+"):
            raise MdnnError(
                f"{where}.seed: expected 0 without 'random' wiring, received {self.seed} and "
                f"wiring = {self.wiring!r}"
            )

    def narrowed(self, width, narrow):
        return narrowed_groups(self, width, narrow) if self.kernels > 1 else self

    def make_layer(self, rank, name, dtype=None):
        sharing = self.sharing
        if sharing == "groups":
            sharing = (rank + 1,) if self.groups > 1 else "shared"
        start = get_initializer("random_normal", stddev=self.init_std) if self.init_std else None
        return MultidimDense(
            axes=self.context_axes(rank),
            sharing=sharing,
            execution=self.execution,
            order=self.order,
            self_connection=self.self_connection,
            wiring=self.wiring,
            window=self.window,
            density=self.density,
            seed=self.seed if "random" in self.wiring else None,
            kernel_initializer=start,
            name=name,
            dtype=dtype,
        )

    def layer_shape(self, shape):
        """Splits the channels of `shape` into groups if there are several kernels."""
        if self.kernels == 1:
            return tuple(shape)
        return (*shape[:-1], self.kernels, shape[-1] // self.kernels)

    def apply(self, layer, x, options=None):
        shape = ops.shape(x)
        if self.kernels > 1:
            x = ops.reshape(x, (-1, *self.layer_shape(shape)[1:]))
        # Channels have no order, so causality does not apply to them.
        x = layer(x) if -1 in self.axes else layer(x, **self.call_arguments(options))
        return ops.reshape(x, shape) if self.kernels > 1 else x

    def make_caches(self, layer, grid, width, columns=True):
        if -1 in self.axes:
            return [PositionwiseDense(layer, grid, width, columns)] if self.positionwise else []
        if columns and AxesCache.fits(layer, grid):
            return [AxesCache(layer, self.kernels, grid, width)]
        stages = [None]
        if self.execution == "sequential":
            stages = range(len(self.context_axes(len(grid) if columns else len(grid) - 1)))
        return [DenseCache(layer, self.kernels, grid, width, columns, stage) for stage in stages]

    def largest_matrix(self, sizes, width):
        largest = max((*sizes, width) if -1 in self.axes else sizes)
        if self.positionwise:
            return math.prod(sizes) * width * largest
        return largest * largest * self.kernels


class PositionwiseDense(DecodingCache):
    """Runs a dense layer over channels with weights per position; it has no state.

    Args:
        layer: `MultidimDense`.
        grid, width, columns: As in `DecodingCache`.
    """

    def __init__(self, layer, grid, width, columns):
        super().__init__(grid, width, columns)
        self.layer = layer

    def prepare_weights(self):
        (((_, kernel),),) = self.layer.causal_kernels()
        if "shift" in self.layer.wiring.split("+"):
            kernel = toeplitz(kernel)
        sizes = self.num_rows, self.num_columns, self.width, self.width
        return {"kernel": ops.reshape(kernel, sizes)}

    def start_row(self, weights, past_rows, row):
        return {"kernel": ops.take(weights["kernel"], row, axis=0)}

    def step(self, weights, row_context, current_row, column, x):
        kernel = ops.take(row_context["kernel"], column, axis=1)
        return ops.matmul(x[:, None], kernel)[:, 0], current_row

    def prefill(self, weights, x):
        kernel = weights["kernel"][None, : x.shape[1], : x.shape[2]]
        return ops.matmul(x[..., None, :], kernel)[..., 0, :], {}
