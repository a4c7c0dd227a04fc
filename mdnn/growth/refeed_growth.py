"""Grows refeeding: wider learned states, and more steps, which start with a gate of zero."""

import numpy as np

from mdnn.errors import MdnnError
from mdnn.growth.origins import NEW, created, placed

KEPT = ("inner_steps", "feedback", "damping", "initial_state")


def grow_refeed(old, new, stream):
    """Returns the origins of the weights of a network's `Refeed` layer.

    The gates of new steps are zero: they leave the state as it is before the first optimizer step.

    Args:
        old, new: networks.
        stream: `mdnn.growth.stream_growth.Stream`.

    Returns:
        Dict from the ids of the new variables to `mdnn.growth.origins.Origin`s.

    Raises:
        MdnnError: other values of `[refeed]` keys, or random states, which are drawn for a size.
    """
    before, after = old.config.refeed, new.config.refeed
    for name in KEPT:
        if getattr(before, name) != getattr(after, name):
            raise MdnnError(
                f"refeed.{name}: expected {getattr(before, name)!r} as before growing, received "
                f"{getattr(after, name)!r}"
            )
    added = after.steps - before.steps
    if added < 0:
        raise MdnnError(
            f"refeed.steps: growing: expected at least {before.steps}, received {after.steps}"
        )
    # A network that is shrunk may lose its steps with a gate, and others.
    gated = stream.exact or before.gated_steps
    if gated and after.gated_steps != before.gated_steps + added:
        raise MdnnError(
            f"refeed.gated_steps: expected {before.gated_steps + added}, so that new steps change "
            f"nothing at first, received {after.gated_steps}"
        )
    if before.initial_state == "random" and (stream.wider or stream.grid.changed):
        raise MdnnError(
            "refeed.initial_state: random states are drawn again for another grid or width; the "
            "old scores would change"
        )
    found = {}
    if new.refeed is None:
        return found
    for a, b in zip(_first(old.refeed), _first(new.refeed), strict=True):
        found[id(b)] = placed(a, b, [stream.channels], 0.0)
    if new.refeed.gates is not None:
        if before.gated_steps:
            source = np.concatenate([np.arange(before.gated_steps), np.full(added, NEW)])
            found[id(new.refeed.gates)] = placed(old.refeed.gates, new.refeed.gates, [source], 0.0)
        else:
            found[id(new.refeed.gates)] = created(new.refeed.gates, 0.0)
    return found


def _first(refeed):
    return (refeed.first or ()) if refeed is not None else ()
