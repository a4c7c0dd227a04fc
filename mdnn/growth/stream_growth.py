"""The residual stream that grows: its channels, and the norms and dense layers that work on it."""

import dataclasses

import numpy as np

from mdnn.errors import MdnnError
from mdnn.growth.axis_kernels import Surroundings
from mdnn.growth.channel_maps import Groups, activated
from mdnn.growth.grid_change import GridChange
from mdnn.growth.origins import placed
from mdnn.layers.rms_norm import RMSNorm
from mdnn.models.blocks.feed_forward import LinearBlock
from mdnn.models.blocks.mixing_block import MixingBlock


@dataclasses.dataclass(frozen=True)
class Stream:
    """The residual stream before and after growing.

    New channels of the stream hold zeros: nothing writes into them before the first step.

    Args:
        grid: `GridChange`.
        channels: the channel map.
        width: int, old number of channels.
        modes, exact: see `Surroundings`.
    """

    grid: GridChange
    channels: np.ndarray
    width: int
    modes: frozenset
    exact: bool = True

    @property
    def wider(self):
        return len(self.channels) > self.width

    def around(self, where, channels, width, silent):
        """Returns the `Surroundings` of a mixer on given channels of this stream's grid.

        Args:
            where: str, the layer, for errors.
            channels: the channel map of the mixer's input.
            width: int, old number of its channels.
            silent: bool, whether new channels hold zeros.
        """
        return Surroundings(where, self.grid, channels, width, silent, self.modes, self.exact)


def stream_rules(pairs, widths):
    """Returns the rules for the channels of a stream, from the blocks that work on it directly.

    Args:
        pairs: list of pairs `(old block, new block)`.
        widths: pair of ints, channels of the stream before and after.
    """
    rules = []
    for old, new in pairs:
        if isinstance(new, LinearBlock):
            rules += activated(new.function, new.activation)
        elif isinstance(new, MixingBlock) and not new.project:
            rules += mix_rules(old, new, widths)
    return rules


def mix_rules(old, new, widths):
    """Returns the rules for the channels of a stream that a mixing block works on directly.

    Args:
        old, new: `MixingBlock`s.
        widths: pair of ints, channels of the stream before and after.
    """
    rules = []
    for mixers in zip(old.mixers, new.mixers, strict=False):
        groups = [_kernels(mixer, width) for mixer, width in zip(mixers, widths, strict=True)]
        if max(groups) > 1:
            rules.append(Groups(*groups))
    for function, name in ((new.function, new.activation), (new.gate_function, new.gate)):
        rules += activated(function, name)
    return rules


def _kernels(mixer, width):
    """Returns the number of groups of channels with their own kernels."""
    sharing = getattr(mixer, "sharing", "shared")
    if -1 in mixer.axes or sharing not in ("groups", "separate"):
        return 1
    return width if sharing == "separate" else mixer.groups


def grow_norm(old, new, stream, where):
    """Returns the origins of a norm's weights on a wider stream.

    The mean square is taken over more channels, of which the new ones are zero: the gains grow by
    sqrt(D / D'), and epsilon is smaller by D / D' (`backbone.norm_epsilon`).

    Args:
        old, new: built norm layers, or `None` without a norm.
        stream: `Stream`.
        where: str, the norm's config key, for errors.

    Returns:
        Dict from the ids of the new variables to `Origin`s.

    Raises:
        MdnnError: a layer norm of a wider stream, or another epsilon than the width asks for.
    """
    if new is None:
        return {}
    if not stream.wider:
        return {id(b): placed(a, b, [None]) for a, b in zip(old.weights, new.weights, strict=True)}
    if not isinstance(new, RMSNorm):
        raise MdnnError(
            f"{where}: 'layer' takes the mean over the stream, which zeros in new channels would "
            "move; 'rms' grows"
        )
    ratio = stream.width / len(stream.channels)
    if abs(new.epsilon / (old.epsilon * ratio) - 1) > 1e-6:
        raise MdnnError(
            f"backbone.norm_epsilon: expected {old.epsilon * ratio:g} for {len(stream.channels)} "
            f"channels, received {new.epsilon:g}"
        )
    fill = float(np.mean(np.asarray(old.scale))) * ratio**0.5
    return {id(new.scale): placed(old.scale, new.scale, [stream.channels], fill, ratio**0.5)}


def grow_dense(old, new, rows, columns, silent_rows=False, silent_columns=False):
    """Returns the origins of a dense layer's kernel and bias.

    Args:
        old, new: built dense layers.
        rows, columns: maps of its inputs and outputs; `None`: unchanged.
        silent_rows: bool, whether the weights of new inputs are zero.
        silent_columns: bool, whether the weights of new outputs are zero.
    """
    initial = np.asarray(new.kernel)

    def fill(news):
        zero = (news[0] & silent_rows) | (news[1] & silent_columns)
        return np.where(zero, 0, initial)

    found = {id(new.kernel): placed(old.kernel, new.kernel, [rows, columns], fill)}
    if new.bias is not None:
        found[id(new.bias)] = placed(old.bias, new.bias, [columns], 0.0)
    return found


def check_kept(old, new, name, where):
    """Refuses a change of a key that growing must keep.

    Args:
        old, new: objects with the key as an attribute, before and after growing.
        name: str, the key.
        where: str, the config key or layer, for errors.

    Raises:
        MdnnError: the values differ.
    """
    if getattr(old, name) != getattr(new, name):
        raise MdnnError(
            f"{where}.{name}: expected {getattr(old, name)!r} as before growing, received "
            f"{getattr(new, name)!r}"
        )
