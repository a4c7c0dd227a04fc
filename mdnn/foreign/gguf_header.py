"""Reads the header of a GGUF file, which is untrusted: metadata and the places of tensors.

The layout is that of the GGUF specification, versions 2 and 3: a magic number, counts, key-value
pairs, descriptions of tensors, then their data at aligned offsets. Every count and length is
compared with what is left of the file before anything is allocated.
"""

import dataclasses
import math
import mmap
import struct

from mdnn.errors import MdnnError, shown

MAX_KEYS, MAX_TENSORS = 1 << 16, 1 << 20
MAX_NAME = 1 << 10
"""Most bytes of the name of a key or tensor."""
MAX_DIMENSIONS = 4

_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9


@dataclasses.dataclass(frozen=True)
class TensorType:
    """Storage format of a tensor: blocks of `block` weights in `size` bytes each."""

    name: str
    block: int
    size: int


TENSOR_TYPES = {
    0: TensorType("F32", 1, 4),
    1: TensorType("F16", 1, 2),
    2: TensorType("Q4_0", 32, 18),
    3: TensorType("Q4_1", 32, 20),
    8: TensorType("Q8_0", 32, 34),
    12: TensorType("Q4_K", 256, 144),
    14: TensorType("Q6_K", 256, 210),
    30: TensorType("BF16", 1, 2),
}
"""The known types of tensors, by their numbers in a file."""

OTHER_TYPES = {
    6: "Q5_0",
    7: "Q5_1",
    9: "Q8_1",
    10: "Q2_K",
    11: "Q3_K",
    13: "Q5_K",
    15: "Q8_K",
    16: "IQ2_XXS",
    17: "IQ2_XS",
    18: "IQ3_XXS",
    19: "IQ1_S",
    20: "IQ4_NL",
    21: "IQ3_S",
    22: "IQ2_S",
    23: "IQ4_XS",
    24: "I8",
    25: "I16",
    26: "I32",
    27: "I64",
    28: "F64",
    29: "IQ1_M",
    34: "TQ1_0",
    35: "TQ2_0",
    39: "MXFP4",
}
"""Names of types that are not read, for errors."""


@dataclasses.dataclass(frozen=True)
class GgufTensor:
    """A tensor of a GGUF file.

    Args:
        type: `TensorType`.
        shape: tuple of ints, slowest axis first (the file lists the fastest first).
        start: int, the position of its first byte in the file.
        bytes: int, its size.
    """

    type: TensorType
    shape: tuple
    start: int
    bytes: int


@dataclasses.dataclass(frozen=True)
class GgufHeader:
    """Contents of the header of a GGUF file.

    Args:
        metadata: dict from keys to numbers, booleans, strings and lists of them.
        tensors: dict from names to `GgufTensor`.
    """

    metadata: dict
    tensors: dict


def read_header(path):
    """Reads the header of a GGUF file.

    Args:
        path: `pathlib.Path` of the file.

    Returns:
        `GgufHeader`.

    Raises:
        MdnnError: no GGUF file, a truncated or damaged one, or a tensor of an unknown type.
    """
    with open(path, "rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Reader(data, path).header()
        except ValueError as error:
            # Files without content cannot be mapped.
            raise MdnnError(f"{path} is not a GGUF file: {error}") from None


class _Reader:
    """Reads values one after another and refuses to read beyond the end.

    Args:
        data: bytes-like object.
        where: the file's name for errors.
    """

    def __init__(self, data, where):
        self.data, self.where, self.at, self.size = data, where, 0, len(data)

    def header(self):
        if self.bytes(4) != b"GGUF":
            raise MdnnError(f"{self.where} is not a GGUF file: it does not begin with 'GGUF'")
        version = self.number("I")
        if version not in (2, 3):
            raise MdnnError(f"{self.where}: expected GGUF version 2 or 3, received {version}")
        tensors, keys = self.count(MAX_TENSORS, "tensors"), self.count(MAX_KEYS, "keys")
        metadata = {}
        for _ in range(keys):
            name = self.name()
            if name in metadata:
                raise MdnnError(f"{self.where}: the key {shown(name)} occurs twice")
            metadata[name] = self.value(self.number("I"))
        described = [self.tensor() for _ in range(tensors)]
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20:
            raise MdnnError(f"{self.where}: unknown general.alignment {shown(alignment)}")
        start = -(-self.at // alignment) * alignment
        found = {}
        for name, kind, shape, offset in described:
            size = math.prod(shape) // kind.block * kind.size
            if offset % alignment or start + offset + size > self.size:
                raise MdnnError(
                    f"{self.where}: tensor {shown(name)} of {size:,} bytes at {offset:,} does not "
                    f"lie in the file of {self.size:,} bytes"
                )
            if name in found:
                raise MdnnError(f"{self.where}: the tensor {shown(name)} occurs twice")
            found[name] = GgufTensor(kind, shape, start + offset, size)
        return GgufHeader(metadata, found)

    def bytes(self, count):
        if count > self.size - self.at:
            raise MdnnError(
                f"{self.where} is truncated: expected {count:,} more bytes at {self.at:,}, the "
                f"file has {self.size:,}"
            )
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form):
        size = struct.calcsize(f"<{form}")
        return struct.unpack(f"<{form}", self.bytes(size))[0]

    def count(self, most, what):
        count = self.number("Q")
        if count > most:
            raise MdnnError(f"{self.where}: expected at most {most:,} {what}, received {count:,}")
        return count

    def string(self):
        return self.bytes(self.number("Q")).decode("utf-8", "replace")

    def name(self):
        length = self.count(MAX_NAME, "bytes of a name")
        return self.bytes(length).decode("utf-8", "replace")

    def value(self, kind):
        if kind == _STRING:
            return self.string()
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind != _ARRAY:
            raise MdnnError(f"{self.where}: unknown type {kind} of a value")
        kind, count = self.number("I"), self.number("Q")
        if kind == _STRING:
            # Each string takes the eight bytes of its length.
            if count > (self.size - self.at) // 8:
                raise MdnnError(f"{self.where} is truncated: expected {count:,} strings")
            return [self.string() for _ in range(count)]
        if kind not in _SCALARS:
            raise MdnnError(f"{self.where}: arrays of type {kind} are not known")
        size = struct.calcsize(f"<{_SCALARS[kind]}")
        return list(struct.unpack(f"<{count}{_SCALARS[kind]}", self.bytes(count * size)))

    def tensor(self):
        name, rank = self.name(), self.number("I")
        if not 1 <= rank <= MAX_DIMENSIONS:
            raise MdnnError(
                f"{self.where}: tensor {shown(name)}: expected 1 to {MAX_DIMENSIONS} axes, "
                f"received {rank}"
            )
        shape = tuple(reversed([self.number("Q") for _ in range(rank)]))
        number, offset = self.number("I"), self.number("Q")
        kind = TENSOR_TYPES.get(number)
        if kind is None:
            known = ", ".join(each.name for each in TENSOR_TYPES.values())
            raise MdnnError(
                f"{self.where}: tensor {shown(name)}: unknown type "
                f"{OTHER_TYPES.get(number, number)}; known: {known}"
            )
        if any(size > 1 << 40 for size in shape) or shape[-1] % kind.block:
            raise MdnnError(
                f"{self.where}: tensor {shown(name)}: expected rows of whole blocks of "
                f"{kind.block} {kind.name} weights, received {list(shape)}"
            )
        return name, kind, shape, offset
