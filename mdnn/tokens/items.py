"""Items: one text, picture, film or sound each, as contexts hold them."""

from dataclasses import dataclass

import numpy as np

from mdnn.errors import MdnnError

RANKS = {"image": 3, "grey": 2, "video": 4, "grey_video": 3, "audio": 1}
"""How many axes the array of an item has, by kind."""


@dataclass(frozen=True, eq=False, slots=True)
class Item:
    """One text, picture, film or sound.

    Args:
        kind: `"text"`, `"image"`, `"grey"`, `"video"`, `"grey_video"` or `"audio"`: the modality
            of its units (a text may hold units of the modality `word`, too).
        value: a string, or an array: image uint8 `[height, width, 3]` (red, green, blue), grey
            uint8 `[height, width]`, video uint8 `[frames, height, width, 3]`, grey_video uint8
            `[frames, height, width]`, audio int16 `[samples]`.
        rate: samples per second of a sound; `None` where it is the network's own.
        name: what errors call it: a file's path, or what it is.

    Raises:
        MdnnError: a value that is none of its kind, or empty.
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
            raise MdnnError(f"{called}: it is empty, its shape is {list(shape)}")


_ARRAYS = {
    "image": "uint8 [height, width, 3]",
    "grey": "uint8 [height, width]",
    "video": "uint8 [frames, height, width, 3]",
    "grey_video": "uint8 [frames, height, width]",
    "audio": "int16 [samples]",
}


def as_item(value, name=""):
    """An `Item` from what a person has at hand.

    Args:
        value: an `Item`; a string (a text); an array: uint8 `[h, w]` grey, uint8 `[h, w, 3]`
            image, uint8 `[n, h, w, 3]` video, int16 `[n]` audio at the network's rate.
        name: what errors call it.

    Raises:
        MdnnError: anything else.
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
