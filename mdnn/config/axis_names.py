"""Names of the grid's axes, which mixers' `axes` may use in place of numbers."""

import dataclasses
import re

from mdnn.errors import MdnnError, did_you_mean

CHANNELS, CANDIDATES = "channels", "candidate"
_NAME = re.compile("[a-z][a-z0-9_]{0,39}")


def check_names(where, tables):
    """Refuses names of layers that are invalid or duplicate in the names of weights.

    Args:
        where: dotted key of the tables, for errors.
        tables: tuple of tables with a `name`.

    Raises:
        MdnnError: a name has other characters than a-z, 0-9 and _, or occurs twice.
    """
    names = [table.name for table in tables if table.name]
    for name in names:
        if not _NAME.fullmatch(name) or names.count(name) > 1:
            raise MdnnError(
                f"{where}.*.name: expected different names of small letters, digits and _, "
                f"received {name!r}"
            )


def axis_names(config):
    """Returns the names of the axes of a config's grid, slowest first, a tuple of strings."""
    return (CANDIDATES,) * (config.tokens.candidates > 0) + config.context.axis_names


def numbered(config):
    """Returns a config with the names of mixers' axes replaced by numbers.

    Args:
        config: `mdnn.Config`, parsed but not yet checked.

    Raises:
        MdnnError: `context.axes` does not fit the grid, or a mixer has an unknown axis.
    """
    context = config.context
    if context.axes and len(context.axes) != len(context.grid):
        raise MdnnError(
            f"context.axes: expected a name for each of the {len(context.grid)} axes of "
            f"context.grid, received {list(context.axes)}"
        )
    names = axis_names(config)
    for name in context.axes:
        if not _NAME.fullmatch(name) or name == CHANNELS or names.count(name) > 1:
            raise MdnnError(
                "context.axes: expected different names of small letters, digits and _, other than "
                f"{CHANNELS!r} and (with tokens.candidates) {CANDIDATES!r}, received {name!r}"
            )
    return _changed(config, lambda where, axis, rows: _number(where, axis, names, rows))


def with_axis_names(config, always=False):
    """Returns a config with mixers' axes named, if `context.axes` is set; else unchanged.

    Args:
        config: `mdnn.Config`.
        always: bool, whether to name them although `context.axes` is empty.
    """
    if not config.context.axes and not always:
        return config
    names = axis_names(config)
    return _changed(config, lambda where, axis, rows: CHANNELS if axis == -1 else names[axis - 1])


def _number(where, axis, names, rows):
    """Returns the number of a mixer's axis; `rows` is true for a mixer inside a fold."""
    names = names[: len(names) - rows]
    if not isinstance(axis, str):
        return axis
    if axis == CHANNELS:
        return -1
    if axis not in names:
        known = [*names, CHANNELS]
        raise MdnnError(
            f"{where}.axes: unknown axis {axis!r}{did_you_mean(axis, known)}; known: "
            f"{', '.join(known)}"
        )
    return names.index(axis) + 1


def _changed(config, change):
    """Returns a config with `change(where, axis, in_fold)` applied to all axes of its mixers."""

    def mixers_of(table, where, rows):
        changed = tuple(
            dataclasses.replace(
                mixer, axes=tuple(change(f"{where}.mixer.{k}", axis, rows) for axis in mixer.axes)
            )
            for k, mixer in enumerate(table.mixer)
        )
        return dataclasses.replace(table, mixer=changed)

    tables = []
    for number, table in enumerate(config.backbone.layer):
        where = f"backbone.layer.{number}"
        block = tuple(
            mixers_of(inner, f"{where}.block.{k}", True) for k, inner in enumerate(table.block)
        )
        tables.append(dataclasses.replace(mixers_of(table, where, False), block=block))
    backbone = dataclasses.replace(config.backbone, layer=tuple(tables))
    return dataclasses.replace(config, backbone=backbone)
