"""Defines the base class of mixers and their registry."""

import dataclasses
import functools
import importlib
import math
import pkgutil
from typing import ClassVar

from mdnn.errors import MdnnError

MIXERS = {}
"""Registered mixers, a dict from the config's `kind` to the class."""


@functools.cache
def load_mixers():
    """Imports every module of this package, which needs Keras.

    Returns:
        `MIXERS`, with the mixers of this package.
    """
    for module in pkgutil.iter_modules(importlib.import_module(__package__).__path__):
        importlib.import_module(f"{__package__}.{module.name}")
    return MIXERS


def register_mixer(cls):
    """Decorates a subclass of `Mixer` to add it to `MIXERS`.

    Raises:
        ValueError: the class has no `kind`, or another mixer has the same one.
    """
    kind = {field.name: field.default for field in dataclasses.fields(cls)}["kind"]
    other = MIXERS.get(kind)
    if not kind or (other is not None and other.__qualname__ != cls.__qualname__):
        taken = f" (that of {other.__qualname__})" if other else ""
        raise ValueError(f"Expected a new `kind` in {cls.__qualname__}. Received: {kind!r}{taken}")
    MIXERS[kind] = cls
    return cls


def make_mixer(table):
    """Builds a mixer from its config table.

    Args:
        table: dict of the keys of a `[[backbone.layer.mixer]]` table (default `kind`: `"dense"`),
            or a `Mixer`, which is returned unchanged.

    Returns:
        A `Mixer`.

    Raises:
        MdnnError: `kind` or a key is unknown.
    """
    if isinstance(table, Mixer):
        return table
    words = dict(table)
    kind = words.get("kind", Mixer.default)
    load_mixers()
    if kind not in MIXERS:
        raise MdnnError(f"kind: expected one of {', '.join(MIXERS)}; received {kind!r}")
    known = [field.name for field in dataclasses.fields(MIXERS[kind])]
    if unknown := [name for name in words if name not in known]:
        raise MdnnError(f"{kind}: unknown key {unknown[0]!r}; known: {', '.join(known)}")
    if "axes" in words:
        words["axes"] = tuple(words["axes"])
    return MIXERS[kind](**words)


@dataclasses.dataclass(frozen=True)
class Mixer:
    """Holds the config table of one mixer and builds its layer and decoding caches.

    A subclass adds its config keys as fields, replaces `kind`, and defines `make_layer` and, if the
    mixer can be causal, `make_caches`. Axis 1 is the slowest context axis, -1 the channels; an
    empty tuple means all context axes. Configs may also use names (`mdnn.config.axis_names`).

    Attributes:
        example: dict of the keys that a small table needs, for tests.
        several_axes: bool, whether a mixer takes any number of axes, not exactly one.
        mixes_channels: bool, whether `axes = [-1]` is supported.
        size_free: bool, whether the weights are independent of the grid's sizes.
        positionwise: bool, whether every position has its own weights.
        is_causal: bool, whether no position depends on later ones with this config.
        can_be_causal: bool, whether the layer supports `causal=True`.
    """

    kind: str = ""
    axes: tuple[int | str, ...] = ()

    default: ClassVar[str] = "dense"
    example: ClassVar[dict] = {}
    several_axes: ClassVar[bool] = False
    mixes_channels: ClassVar[bool] = False
    size_free = False
    positionwise = False
    is_causal = False
    can_be_causal = False

    @classmethod
    def variants(cls):
        """Returns the classes that a config selects by `kind` (see `mdnn.config.schema.parse`)."""
        return load_mixers()

    def narrowed(self, width, narrow):
        """Returns the mixer of the first channels of a layer.

        Args:
            width: int, channels of the layer.
            narrow: int, the number of channels that remain.

        Returns:
            A `Mixer` for `narrow` channels; `None` if they would split a group of channels.
        """
        return self

    def context_axes(self, rank):
        """Returns the mixed axes among `rank` context axes, a tuple of ints."""
        return tuple(self.axes) or tuple(range(1, rank + 1))

    def check(self, where, rank, width, channels):
        """Refuses keys that do not match the network's stream.

        Args:
            where: str, the table's name for error messages.
            rank: int, number of context axes.
            width: int, channels of the stream.
            channels: str, the config key that sets `width`, for error messages.

        Raises:
            MdnnError: a value is invalid; the message names the first one.
        """
        for axis in self.axes:
            if not -1 <= axis <= rank or axis == 0:
                raise MdnnError(
                    f"{where}.axes: expected numbers from 1 to {rank} (context axes) or -1 "
                    f"(channels), received {axis}"
                )
        axes = self.context_axes(rank)
        if not self.several_axes and len(axes) != 1:
            raise MdnnError(f"{where}.axes: {self.kind} mixes one axis, received {list(axes)}")
        if -1 in axes and not self.mixes_channels:
            raise MdnnError(f"{where}.axes: {self.kind} mixes a context axis, received -1")

    def make_layer(self, rank, name, dtype=None):
        """Builds the layer.

        Args:
            rank: int, number of context axes of the stream.
            name: str, the layer's name.
            dtype: Dtype or dtype policy of the layer.

        Returns:
            A `keras.layers.Layer` for inputs of `layer_shape`, with a method `operations`.
        """
        raise NotImplementedError

    def layer_shape(self, shape):
        """Returns the layer's input shape for a stream `[batch, t1, ..., tk, channels]`."""
        return tuple(shape)

    def apply(self, layer, x, options=None):
        """Applies the layer to a stream.

        Args:
            layer: the built result of `make_layer`.
            x: Tensor `[batch, t1, ..., tk, channels]`.
            options: `mdnn.models.call_options.CallOptions`, whose values the layer takes as call
                arguments; `None` to follow the wiring.

        Returns:
            Tensor of the shape of `x`.
        """
        return layer(x, **self.call_arguments(options))

    def call_arguments(self, options):
        """Returns the layer's call arguments, a dict, from the options of a call or `None`."""
        return {"causal": None if options is None else options.causal}

    def make_caches(self, layer, grid, width, columns=True):
        """Builds the caches for decoding position by position.

        Args:
            layer: the built result of `make_layer`.
            grid: tuple of ints, the sizes of the context axes, the last one the number of columns.
            width: int, channels.
            columns: bool; `False` if the layer lacks the last context axis, whose size is then
                1, as inside a fold, whose rows are single positions.

        Returns:
            List of `DecodingCache`, applied one after another; empty if the layer acts on each
            position separately with the same weights.
        """
        raise NotImplementedError

    def stays_in_rows(self, rank):
        """Returns whether each row is mixed separately and with the same weights."""
        return self.context_axes(rank) in ((rank,), (-1,)) and not self.positionwise

    def operations(self, layer, shape):
        """Counts the multiply-adds for one example of a stream of `shape`."""
        return layer.operations(self.layer_shape(shape))

    def values(self, shape):
        """Counts the output values for one example of a stream of `shape`."""
        return math.prod(shape[1:])

    def largest_matrix(self, sizes, width):
        """Returns the number of entries of the largest matrix, including masked entries.

        Args:
            sizes: tuple of ints, the sizes of the context axes.
            width: int, channels.
        """
        return 0

    def to_table(self):
        """Returns the config table, a dict that `make_mixer` accepts."""
        return {**dataclasses.asdict(self), "axes": list(self.axes)}


def wired_causally(wiring):
    """Returns whether a wiring includes `"causal"`."""
    return "causal" in wiring.split("+")


def narrowed_groups(mixer, width, narrow):
    """Returns a mixer with the first of its groups of channels; see `Mixer.narrowed`."""
    size = width // mixer.groups
    if narrow <= size:
        return dataclasses.replace(mixer, groups=1)
    if narrow % size:
        return None
    return dataclasses.replace(mixer, groups=narrow // size)


def check_groups(mixer, where, width, channels):
    """Refuses a number of groups that does not divide the channels; arguments: `Mixer.check`."""
    if width % mixer.groups:
        raise MdnnError(
            f"{where}.groups: expected a divisor of {channels} = {width}, received {mixer.groups}"
        )


def check_heads(mixer, where, width, channels):
    """Refuses a number of heads that does not divide the channels; arguments: `Mixer.check`."""
    if width % mixer.heads:
        raise MdnnError(
            f"{where}.heads: expected a divisor of {channels} = {width}, received {mixer.heads}"
        )


def check_window_given(mixer, where):
    """Refuses a table without `window`; arguments: `Mixer.check`."""
    if mixer.window is None:
        raise MdnnError(f"{where}.window: {mixer.kind} needs a window")
