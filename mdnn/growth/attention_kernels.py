"""Grows the projections of `AxisAttention`: more heads of the same size."""

import numpy as np

from mdnn.errors import MdnnError
from mdnn.growth.origins import NEW, placed


def grow_attention(old, new, around):
    """Returns the origins of an `AxisAttention`'s weights.

    New heads have output weights of zero: their rows of the output projection.

    Args and Raises: see `mdnn.growth.axis_kernels.grow_multidim`.
    """
    where, name = around.where, around.grid.name(new.axis, False)
    if old.wiring != new.wiring or old.rotary != new.rotary:
        raise MdnnError(
            f"{where}: growing keeps wiring = {old.wiring!r} and rotary = {old.rotary}, received "
            f"{new.wiring!r} and {new.rotary}"
        )
    shared = old.heads // old.kv_heads
    if old.rotary_base != new.rotary_base or shared != new.heads // new.kv_heads:
        raise MdnnError(
            f"{where}: growing keeps rotary_base = {old.rotary_base} and {shared} heads for each "
            f"head of keys, received {new.rotary_base} and {new.heads // new.kv_heads}"
        )
    whole = old.wiring == "full" or False in around.modes
    if whole and around.exact and name in around.grid.longer:
        raise MdnnError(
            f"{where}.wiring: attention that sees later positions would read the new ones of "
            f"{name!r}, which changes the old scores"
        )
    width = len(around.channels)
    size, longer = around.width // old.heads, width // new.heads
    if size != longer or new.heads < old.heads:
        raise MdnnError(
            f"{where}.heads: growing keeps heads of {size} channels (their scores are scaled and "
            f"turned by that number), expected {width // size} heads of {width} channels, received "
            f"{new.heads}"
        )
    inner = np.concatenate([np.arange(around.width), np.full(width - around.width, NEW)])
    keys = np.concatenate(
        [np.arange(around.width // shared), np.full((width - around.width) // shared, NEW)]
    )
    maps = {"query": inner, "key": keys, "value": keys}
    return grow_projections(old, new, around, maps, inner)


def grow_projections(old, new, around, outputs, inner):
    """Returns the origins of a layer's projections, whose new heads have output weights of zero.

    Args:
        old, new, around: see `mdnn.growth.axis_kernels.grow_multidim`.
        outputs: dict from the names of the input projections to int arrays: old indices of their
            outputs, or `NEW`.
        inner: the same of the inputs of the output projection, `result`.
    """
    found = {}
    for part, channels in outputs.items():
        before, after = getattr(old, part), getattr(new, part)
        initial = np.asarray(after.kernel)

        def fill(news, initial=initial):
            # Unless they hold zeros, channels that are new reach no old head.
            return initial if around.silent else np.where(news[0] & ~news[1], 0, initial)

        found[id(after.kernel)] = placed(
            before.kernel, after.kernel, [around.channels, channels], fill
        )
    before, after = old.result.kernel, new.result.kernel
    initial = np.asarray(after)

    def fill_result(news):
        silent = news[0] | (news[1] if around.silent else False)
        return np.where(silent, 0, initial)

    found[id(after)] = placed(before, after, [inner, around.channels], fill_result)
    return found
