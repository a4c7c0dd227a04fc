"""What every way to mix axes has in common, and the registry of all of them."""

import dataclasses
import math
from typing import ClassVar

from mdnn.errors import MdnnError

MIXERS = {}
"""The registered mixers: a dict from `kind`, as a config names it, to the class."""


def register_mixer(cls):
    """Adds a class to `MIXERS`: a decorator of subclasses of `Mixer`.

    Raises:
        ValueError: the class has no `kind` of its own, or that of another mixer.
    """
    kind = {field.name: field.default for field in dataclasses.fields(cls)}["kind"]
    other = MIXERS.get(kind)
    if not kind or (other is not None and other.__qualname__ != cls.__qualname__):
        taken = f" (that of {other.__qualname__})" if other else ""
        raise ValueError(f"Expected a new `kind` in {cls.__qualname__}. Received: {kind!r}{taken}")
    MIXERS[kind] = cls
    return cls


def make_mixer(table):
    """Returns the mixer of a table.

    Args:
        table: dict of the keys of a `[[backbone.layer.mixer]]` table (`kind` is `"dense"` where
            it is missing), or a `Mixer`.

    Raises:
        MdnnError: an unknown `kind` or key.
    """
    if isinstance(table, Mixer):
        return table
    words = dict(table)
    kind = words.get("kind", Mixer.default)
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
    """The table of one mixer, and everything that is made from it.

    A subclass adds the words of its table as fields, replaces `kind`, and defines `make_layer`
    and, where some wiring can be causal, `make_caches`. Axes: 1 is the slowest context axis, -1
    the channels; no axes: all context axes. A config may name them (`mdnn.config.axis_names`).

    Attributes:
        example: dict of words that a small table needs, for tests.
        several_axes: whether one mixer mixes any number of axes; otherwise exactly one.
        mixes_channels: whether it takes `axes = [-1]`.
        size_free: whether the weights fit a grid of any size.
        positionwise: whether every position has weights of its own.
        is_causal: whether, as configured, no position depends on later ones.
        can_be_causal: whether the layer can be called with `causal=True`.
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
        """Returns the tables that a config chooses from: see `mdnn.config.schema.parse`."""
        return MIXERS

    def context_axes(self, rank):
        """Returns the axes that are mixed, of `rank` context axes: a tuple of ints."""
        return tuple(self.axes) or tuple(range(1, rank + 1))

    def check(self, where, rank, width, channels):
        """Refuses words that do not fit the stream.

        Args:
            where: str, name of the table, for errors.
            rank: int, number of context axes.
            width: int, channels of the stream.
            channels: str, name of the key that says `width`, for errors.

        Raises:
            MdnnError: the first such word.
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
        """Makes the layer.

        Args:
            rank: int, number of context axes of the stream.
            name: str.
            dtype: dtype or dtype policy of the layer.

        Returns:
            A `keras.layers.Layer` for inputs of `layer_shape`, with a method `operations`.
        """
        raise NotImplementedError

    def layer_shape(self, shape):
        """Returns the shape that the layer takes for a stream `[batch, t1, ..., tk, channels]`."""
        return tuple(shape)

    def apply(self, layer, x, causal=None):
        """Applies the layer to a stream.

        Args:
            layer: what `make_layer` returned, built.
            x: `[batch, t1, ..., tk, channels]`.
            causal: boolean; `None`: as wired.

        Returns:
            Tensor of the shape of `x`.
        """
        return layer(x, causal=causal)

    def make_caches(self, layer, grid, width, columns=True):
        """Makes what the mixer needs to run position by position.

        Args:
            layer: what `make_layer` returned, built.
            grid: tuple of ints, the sizes of the context axes, the last one's being the columns.
            width: int, channels.
            columns: boolean; `False`: the grid's last size is 1 and no axis of the layer, as
                inside a fold, whose rows are single positions.

        Returns:
            List of `DecodingCache`, whose outputs are applied one after another; empty where every
            position is mixed alone, and as every other one.
        """
        raise NotImplementedError

    def stays_in_rows(self, rank):
        """Returns whether a row of the fastest of `rank` axes is mixed alone, and as any other."""
        return self.context_axes(rank) in ((rank,), (-1,)) and not self.positionwise

    def operations(self, layer, shape):
        """Returns the multiply-adds for one example of a stream of `shape`."""
        return layer.operations(self.layer_shape(shape))

    def values(self, shape):
        """Returns how many values are written for one example of a stream of `shape`."""
        return math.prod(shape[1:])

    def largest_matrix(self, sizes, width):
        """Returns the entries of the largest matrix that is made, live or not.

        Args:
            sizes: tuple of ints, the sizes of the context axes.
            width: int, channels.
        """
        return 0

    def to_table(self):
        """Returns a dict from which `make_mixer` makes the same mixer."""
        return {**dataclasses.asdict(self), "axes": list(self.axes)}


def wired_causally(wiring):
    """Returns whether the words of a wiring include `"causal"`."""
    return "causal" in wiring.split("+")


def check_groups(mixer, where, width, channels):
    """Refuses a number of channel groups that does not divide the channels; see `Mixer.check`."""
    if width % mixer.groups:
        raise MdnnError(
            f"{where}.groups: expected a divisor of {channels} = {width}, received {mixer.groups}"
        )


def check_window_given(mixer, where):
    """Refuses a table without `window`; see `Mixer.check`."""
    if mixer.window is None:
        raise MdnnError(f"{where}.window: {mixer.kind} needs a window")
