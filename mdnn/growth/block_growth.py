"""Grows residual blocks: their norms, dense layers and mixers."""

import dataclasses

import numpy as np

from mdnn import activations
from mdnn.errors import MdnnError
from mdnn.growth.axis_kernels import Surroundings
from mdnn.growth.channel_maps import Groups, activated, channel_map, halves
from mdnn.growth.grid_change import GridChange
from mdnn.growth.mixer_growth import grow_mixer
from mdnn.growth.new_blocks import added_block
from mdnn.growth.origins import NEW, placed
from mdnn.layers.rms_norm import RMSNorm
from mdnn.models.blocks import FeedForwardBlock, LinearBlock
from mdnn.models.fold import RowBottleneck
from mdnn.models.mixing import MixingBlock


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
        """Returns the `Surroundings` of a mixer on given channels of this stream's grid."""
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
            rules += _mix_rules(old, new, widths)
    return rules


def _mix_rules(old, new, widths):
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


def grow_block(old, new, stream, where):
    """Returns the origins of a residual block's weights.

    Args:
        old, new: blocks of the same name.
        stream: `Stream`.
        where: string, the config key of the block's layer, for errors.

    Returns:
        Dict from the ids of the new variables to `Origin`s.

    Raises:
        MdnnError: the larger block could not compute what the old one did.
    """
    for name in ("norm", "residual", "bias"):
        _kept(old, new, name, where)
    found = grow_norm(old.norm_layer, new.norm_layer, stream, f"{where}.norm")
    for kind, grow in (
        (FeedForwardBlock, _grow_feedforward),
        (LinearBlock, _grow_linear),
        (MixingBlock, _grow_mix),
        (RowBottleneck, _grow_fold),
    ):
        if isinstance(new, kind):
            if type(old) is not type(new):
                raise MdnnError(f"{where}.kind: growing keeps the kind of a layer")
            return found | grow(old, new, stream, where)
    raise MdnnError(f"{where}.kind: no growth rule for a {type(new).__name__}")


def grow_norm(old, new, stream, where):
    """Returns the origins of a norm's weights on a wider stream.

    The mean square is taken over more channels, of which the new ones are zero: the gains grow by
    sqrt(D / D'), and epsilon is smaller by D / D' (`backbone.norm_epsilon`).
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
        silent_rows: boolean, whether the weights of new inputs are zero.
        silent_columns: boolean, whether the weights of new outputs are zero.
    """
    initial = np.asarray(new.kernel)

    def fill(news):
        zero = (news[0] & silent_rows) | (news[1] & silent_columns)
        return np.where(zero, 0, initial)

    found = {id(new.kernel): placed(old.kernel, new.kernel, [rows, columns], fill)}
    if new.bias is not None:
        found[id(new.bias)] = placed(old.bias, new.bias, [columns], 0.0)
    return found


def _grow_feedforward(old, new, stream, where):
    for name in ("gate", "activation"):
        _kept(old, new, name, where)
    rules = activated(new.gate_function, new.gate) + activated(new.function, new.activation)
    hidden = channel_map(old.width, new.width, rules, f"{where}.width")
    columns = halves(hidden, old.width) if new.gate != "none" else hidden
    return grow_dense(old.dense_in, new.dense_in, stream.channels, columns) | grow_dense(
        old.dense_out, new.dense_out, hidden, stream.channels, True, True
    )


def _grow_linear(old, new, stream, where):
    _kept(old, new, "activation", where)
    _check_zero(new.function, new.activation, stream, where)
    return grow_dense(old.dense, new.dense, stream.channels, stream.channels, False, True)


def _check_zero(function, name, stream, where):
    """Refuses an activation that is not zero at zero, in a wider stream."""
    if function is None or not stream.wider:
        return
    if np.asarray(activations.get(name)(np.zeros((1, 4), "float32"))).any():
        raise MdnnError(
            f"{where}.activation: {name} of zero is not zero, so that new channels of the stream "
            "would not be silent"
        )


def _grow_mix(old, new, stream, where):
    for name in ("gate", "activation", "project", "stack", "times"):
        _kept(old, new, name, where)
    if len(old.mixers) != len(new.mixers):
        raise MdnnError(
            f"{where}.mixer: growing keeps the {len(old.mixers)} mixers, received {len(new.mixers)}"
        )
    found = {}
    width = stream.width
    if new.project:
        # Inside, new channels are computed, but have output weights of zero.
        width = old.mixing_width(width)
        widths = width, new.mixing_width(len(stream.channels))
        place = f"{where}.width" if old.width or new.width else where
        inner = channel_map(*widths, _mix_rules(old, new, widths), place)
        columns = halves(inner, width) if new.gate != "none" else inner
        found |= grow_dense(old.dense_in, new.dense_in, stream.channels, columns)
        found |= grow_dense(old.dense_out, new.dense_out, inner, stream.channels, True, True)
    else:
        inner = stream.channels
        _check_zero(new.function, new.activation, stream, where)
    for before, after in zip(old.sets, new.sets, strict=True):
        for number, (a, b) in enumerate(zip(before, after, strict=True)):
            place = f"{where}.mixer.{number}"
            around = stream.around(place, inner, width, not new.project)
            found |= grow_mixer(a, b, around)
    return found


def _grow_fold(old, new, stream, where):
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
    return found | grow_blocks(old.branches, new.branches, inner, f"{where}.block")


def _paired(old, new):
    """Returns the blocks of a fold that were there before, as pairs."""
    known = {branch.name: branch for branch in old.branches}
    return [(known[b.name], b) for b in new.branches if b.name in known]


def grow_blocks(old, new, stream, where):
    """Returns the origins of the weights of a list of blocks.

    A new block starts as a copy of the block that has the same place in the old stack, its last
    kernel zero: it adds nothing to the stream before the first step.

    Args:
        old, new: lists of blocks named `block_<number>_<label>`.
        stream: `Stream`.
        where: string, the config key of the layers, for errors.
    """
    known = {block.name: block for block in old}
    if missing := [name for name in known if name not in {block.name for block in new}]:
        raise MdnnError(f"{where}: growing cannot remove layers: {missing[0]} is missing")
    labels = list(dict.fromkeys(_label(block.name) for block in new))
    found = {}
    for block in new:
        here = f"{where}.{labels.index(_label(block.name))}"
        if block.name in known:
            found |= grow_block(known[block.name], block, stream, here)
        else:

            def grow(before, after, here=here):
                return grow_block(before, after, stream, here)

            found |= added_block(block, known, grow, here)
    return found


def _label(name):
    return name.split("_", 2)[2]


def _kept(old, new, name, where):
    """Refuses a change of a key that growing must keep."""
    if getattr(old, name) != getattr(new, name):
        raise MdnnError(
            f"{where}.{name}: expected {getattr(old, name)!r} as before growing, received "
            f"{getattr(new, name)!r}"
        )
