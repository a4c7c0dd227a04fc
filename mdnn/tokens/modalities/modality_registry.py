"""Holds the registered modalities and looks them up by name, number and kind."""

import importlib.metadata
import re

from mdnn.errors import MdnnError, did_you_mean

ENTRY_POINTS = "mdnn.modalities"
"""Entry point group of modalities in installed packages: the name of the modality, and a module
that calls `register_modality` when imported."""

MAX_MODALITIES = 16
"""Number of values of the column `modality`: a mask token names the modality in one of 16 rows."""

_INPUTS = ("tokens", "seed", "temperature", "decoding", "samples", "height", "width", "moments")
"""Names of other inputs of a SavedModel's signatures."""

MODALITIES = {}
"""Dict from names to `Modality`s, in the order of their registration."""


def register_modality(modality):
    """Registers a modality, so that configs, manifests and commands can name it.

    An installed package can register one without an explicit import: give it an entry point in the
    group `mdnn.modalities` with the modality's name, in a module that calls this function.

    Args:
        modality: `mdnn.tokens.modalities.Modality`. The numbers 11 to 13 are free.

    Returns:
        The modality.

    Raises:
        MdnnError: an invalid name, a number that is out of range, or a name or number that another
            modality has.

    Example:

    >>> register_modality(Temperature("temperature", 11, (128,), ("offset",)))
    """
    name, index = modality.name, modality.index
    if not isinstance(name, str) or not re.fullmatch("[a-z][a-z0-9_]{0,31}", name):
        raise MdnnError(f"modality: expected a name of lower-case letters, received {name!r}")
    if name in _INPUTS:
        raise MdnnError(f"modality {name!r}: the name is reserved for an input of SavedModels")
    if not isinstance(index, int) or not 0 <= index < MAX_MODALITIES:
        raise MdnnError(
            f"modality {name!r}: expected a number from 0 to {MAX_MODALITIES - 1}, received {index}"
        )
    if len(modality.bytes) > 3 or len(modality.coordinates) > 3:
        raise MdnnError(f"modality {name!r}: expected at most three bytes and three coordinates")
    if any(not 2 <= classes <= 256 for classes in modality.bytes):
        raise MdnnError(
            f"modality {name!r}: expected 2 to 256 values of each byte, received "
            f"{list(modality.bytes)}"
        )
    for other in MODALITIES.values():
        if other != modality and (other.name == name or other.index == index):
            raise MdnnError(
                f"modality {name!r}: {other.name!r} with the number {other.index} is already "
                "registered"
            )
    MODALITIES.setdefault(name, modality)
    return modality


def modality(name):
    """Looks up a modality by name.

    Args:
        name: str, one of the names in `MODALITIES`, or of an installed package's modality.

    Returns:
        A `Modality`.

    Raises:
        MdnnError: no modality has this name.

    Example:

    >>> modality("text").bytes
    (17, 256, 256)
    """
    load_modalities([name])
    if name not in MODALITIES:
        raise MdnnError(
            f"unknown modality {name!r}{did_you_mean(name, MODALITIES)}; known: "
            f"{', '.join(MODALITIES)}"
        )
    return MODALITIES[name]


def load_modalities(names):
    """Imports the installed packages that offer modalities of these names, if there are any."""
    for name in names:
        if name not in MODALITIES:
            for entry in importlib.metadata.entry_points(group=ENTRY_POINTS, name=name):
                entry.load()


def modality_at(index):
    """Looks up a modality by its number; `None` for a number that no modality has."""
    return next((each for each in MODALITIES.values() if each.index == index), None)


def item_modalities():
    """Returns the names of the modalities that items are made of, a tuple of strings."""
    return tuple(name for name, each in MODALITIES.items() if each.kind is not None)


def item_kinds():
    """Returns the names of the kinds of items, a tuple of strings: `("text", "image", ...)`."""
    return tuple(dict.fromkeys(MODALITIES[name].kind for name in item_modalities()))


def kinds_of(names):
    """Returns the kinds of items that modalities form, a tuple of strings.

    Args:
        names: names of modalities, such as `("text", "word", "grey")`.
    """
    kinds = (modality(name).kind for name in names)
    return tuple(dict.fromkeys(kind for kind in kinds if kind is not None))
