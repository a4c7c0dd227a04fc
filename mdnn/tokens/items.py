"""Defines `Item`: one text, picture, film or sound with its kind."""

from dataclasses import dataclass

import numpy as np

from mdnn.errors import MdnnError, did_you_mean
from mdnn.tokens.modalities import item_kinds, modality


@dataclass(frozen=True, eq=False, slots=True)
class Item:
    """Holds one text, picture, film or sound.

    Args:
        kind: `"text"`, `"image"`, `"grey"`, `"video"`, `"grey_video"`, `"audio"` or a registered
            modality: the modality of its tokens (texts may have `word` tokens, too).
        value: str, or array: image uint8 `[height, width, 3]` (red, green, blue), grey uint8
            `[height, width]`, video uint8 `[frames, height, width, 3]`, grey_video uint8
            `[frames, height, width]`, audio and spectrum int16 `[samples]`.
        rate: int, samples per second of a sound; `None` for the network's sample rate.
        name: str, the label in error messages, such as the file's path.

    Raises:
        MdnnError: the value does not match the kind, or an array is empty.
    """

    kind: str
    value: str | np.ndarray
    rate: int | None = None
    name: str = ""

    def __post_init__(self):
        called = self.name or f"an item of kind {self.kind}"
        check_known(self.kind, f"{called}: ")
        modality(self.kind).check(self.value, called)


def check_known(kind, where=""):
    """Refuses a string that is not a kind of item; the message begins with `where`.

    Raises:
        MdnnError: no registered modality forms such items.
    """
    known = item_kinds()
    if kind not in known:
        raise MdnnError(
            f"{where}unknown kind {kind!r}{did_you_mean(kind, known)}; known: {', '.join(known)}"
        )


def check_kind(kind, kinds, name):
    """Refuses an item of a kind that is not accepted, such as one that a network does not have.

    Args:
        kind: str, the item's kind.
        kinds: names of the accepted kinds; `None`: all.
        name: str, the label in the error message.

    Raises:
        MdnnError: `kinds` does not contain the kind.
    """
    if kinds is not None and kind not in kinds:
        raise MdnnError(
            f"{name}: expected an item of the kinds {', '.join(kinds)}, received {kind}"
        )


def accepted_kind(kind, kinds):
    """Returns the kind that an item of another kind is taken as, such as a sound as a grid.

    Args:
        kind: str, a kind of item.
        kinds: names of the accepted kinds; `None`: all.

    Returns:
        The kind itself if it is accepted or no accepted kind has the same files and values.
    """
    if kinds is None or kind in kinds:
        return kind
    form = modality(kind)
    same = (
        name
        for name in kinds
        if modality(name).key == form.key
        and (modality(name).dtype, modality(name).value_axes) == (form.dtype, form.value_axes)
    )
    return next(same, kind)


def accepted_item(item, kinds):
    """Returns an item as one of the accepted kind (see `accepted_kind`), or the item itself."""
    kind = accepted_kind(item.kind, kinds)
    return item if kind == item.kind else Item(kind, item.value, item.rate, item.name)


def as_item(value, name=""):
    """Wraps a string or an array as an `Item`; the kind follows from dtype and shape.

    Args:
        value: An `Item`; a string (text); or an array: uint8 `[h, w]` grey, uint8 `[h, w, 3]`
            image, uint8 `[n, h, w, 3]` video, int16 `[n]` audio at the network's sample rate.
        name: str, the label in error messages.

    Returns:
        An `Item`; `value` itself if it is one.

    Raises:
        MdnnError: no kind has such a dtype and shape.
    """
    if isinstance(value, Item):
        return value
    for kind in item_kinds():
        if modality(kind).accepts(value):
            return Item(kind, value, name=name)
    is_array = isinstance(value, np.ndarray)
    received = f"an array {value.dtype} {list(value.shape)}" if is_array else type(value).__name__
    raise MdnnError(
        f"{name or 'an item'}: expected a string, a picture (uint8 [h, w] or [h, w, 3]), a film "
        f"(uint8 [n, h, w, 3]), a sound (int16 [n]) or an Item, received {received}"
    )


def pixel_item(pixels, name=""):
    """Returns a picture or film as an `Item`, RGB or grey by its number of channels.

    Args:
        pixels: uint8 `[height, width, channels]` or `[frames, height, width, channels]`, one
            channel (grey) or three (RGB).
        name: str, the label in error messages.
    """
    if pixels.shape[-1] == 1:
        kind, pixels = ("grey_video" if pixels.ndim == 4 else "grey"), pixels[..., 0]
    else:
        kind = "video" if pixels.ndim == 4 else "image"
    return Item(kind, np.ascontiguousarray(pixels), name=name)
