"""Counts the bytes that the devices of a compiled program exchange."""

import math
import re

KINDS = ("all-reduce", "all-gather", "all-to-all", "reduce-scatter", "collective-permute")
"""Operations of XLA's programs that exchange arrays between devices."""

_LINE = re.compile(rf"= (?P<result>.*?) (?P<kind>{'|'.join(KINDS)})(?:-start)?\(")
_ARRAY = re.compile(r"\b(?P<dtype>pred|[a-z]+\d+\w*)\[(?P<sizes>[\d,]*)\]")


def exchanged_bytes(program):
    """Returns the bytes of the results of all exchanges of a program, on one device.

    Args:
        program: str, the text of an optimized program of XLA, as `compiled.as_text()` returns it.

    Returns:
        Dict from the kinds in `KINDS` that occur to bytes.
    """
    total = {}
    for line in program.splitlines():
        match = _LINE.search(line)
        if match is None:
            continue
        size = sum(
            _item_size(array["dtype"]) * math.prod(int(n) for n in array["sizes"].split(",") if n)
            for array in _ARRAY.finditer(match["result"])
        )
        total[match["kind"]] = total.get(match["kind"], 0) + size
    return total


def _item_size(dtype):
    bits = re.search(r"\d+", dtype)
    return 1 if bits is None else max(1, int(bits[0]) // 8)
