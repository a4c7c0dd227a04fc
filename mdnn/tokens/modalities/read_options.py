"""Defines `ReadOptions`: how an item is read from a file."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """Options for reading an item from a file.

    Args:
        rate: Integer, samples per second that a sound is resampled to; `None`: its own.
        convert: Boolean, whether lossy conversions are allowed.
        encoding: String, the encoding of a text as Python names it.
        kinds: Names of the kinds of items that are accepted; `None`: all.
    """

    rate: int | None = None
    convert: bool = False
    encoding: str = "utf-8"
    kinds: tuple[str, ...] | None = None
