"""Defines `ReadOptions`: how an item is read from a file."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """Options for reading an item from a file.

    Args:
        rate: int, samples per second that a sound is resampled to; `None`: its own.
        convert: bool, whether lossy conversions are allowed.
        encoding: str, the encoding of a text as Python names it.
        kinds: names of the kinds of items that are accepted; `None`: all.
    """

    rate: int | None = None
    convert: bool = False
    encoding: str = "utf-8"
    kinds: tuple[str, ...] | None = None
