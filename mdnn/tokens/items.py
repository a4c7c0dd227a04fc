"""Defines `Item`: one text, picture, film or sound with its kind."""

from dataclasses import dataclass

import numpy as np

from mdnn.errors import MdnnError

RANKS = {"image": 3, "grey": 2, "video": 4, "grey_video": 3, "audio": 1}
"""Number of array axes, by kind."""


@dataclass(frozen=True, eq=False, slots=True)
class Item:
    """Holds one text, picture, film or sound.

    Args:
        kind: `"text"`, `"image"`, `"grey"`, `"video"`, `"grey_video"` or `"audio"`: the modality
            of its tokens (texts may have `word` tokens, too).
        value: String, or array: image uint8 `[height, width, 3]` (red, green, blue), grey uint8
            `[height, width]`, video uint8 `[frames, height, width, 3]`, grey_video uint8
            `[frames, height, width]`, audio int16 `[samples]`.
        rate: Integer, samples per second of a sound; `None` for the network's sample rate.
        name: String, the label in error messages, such as the file's path.

    Raises:
        MdnnError: If the value does not match the kind, or an array is empty.
    """

    kind: str
    value: str | np.ndarray
    rate: int | None = None
    name: str = ""

    def __post_init__(self):
        called = self.name or f"an item of kind {self.kind}"
        if self.kind == "text":
            if not isinstance(self.value, str):
                received = type(self.value).__name__
                raise MdnnError(f"{called}: expected a string, received {received}")
            return
        if self.kind not in RANKS:
            known = ", ".join(("text", *RANKS))
            raise MdnnError(f"{called}: unknown kind {self.kind!r}; known: {known}")
        dtype = np.dtype("int16" if self.kind == "audio" else "uint8")
        shape = np.shape(self.value)
        colours = self.kind in ("image", "video")
        if (
            not isinstance(self.value, np.ndarray)
            or self.value.dtype != dtype
            or len(shape) != RANKS[self.kind]
            or (colours and shape[-1] != 3)
        ):
            received = getattr(self.value, "dtype", type(self.value).__name__)
            raise MdnnError(
                f"{called}: expected {_ARRAYS[self.kind]}, received {received} {list(shape)}"
            )
        if not self.value.size:
            raise MdnnError(f"{called}: expected at least one value, received {list(shape)}")


_ARRAYS = {
    "image": "uint8 [height, width, 3]",
    "grey": "uint8 [height, width]",
    "video": "uint8 [frames, height, width, 3]",
    "grey_video": "uint8 [frames, height, width]",
    "audio": "int16 [samples]",
}


def as_item(value, name=""):
    """Wraps a string or an array as an `Item`; the kind follows from dtype and shape.

    Args:
        value: An `Item`; a string (text); or an array: uint8 `[h, w]` grey, uint8 `[h, w, 3]`
            image, uint8 `[n, h, w, 3]` video, int16 `[n]` audio at the network's sample rate.
        name: String, the label in error messages.

    Returns:
        An `Item`; `value` itself if it is one.

    Raises:
        MdnnError: If no kind has such a dtype and shape.
    """
    if isinstance(value, Item):
        return value
    if isinstance(value, str):
        return Item("text", value, name=name)
    if isinstance(value, np.ndarray):
        shape = value.shape
        if value.dtype == np.int16 and value.ndim == 1:
            return Item("audio", value, name=name)
        if value.dtype == np.uint8 and value.ndim == 2:
            return Item("grey", value, name=name)
        if value.dtype == np.uint8 and value.ndim == 3 and shape[-1] == 3:
            return Item("image", value, name=name)
        if value.dtype == np.uint8 and value.ndim == 4 and shape[-1] == 3:
            return Item("video", value, name=name)
        received = f"an array {value.dtype} {list(shape)}"
    else:
        received = type(value).__name__
    raise MdnnError(
        f"{name or 'an item'}: expected a string, a picture (uint8 [h, w] or [h, w, 3]), a film "
        f"(uint8 [n, h, w, 3]), a sound (int16 [n]) or an Item, received {received}"
    )
