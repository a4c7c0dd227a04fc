"""Reads the header of a WAV file: position and format of its samples.

Parsed here because Python's module `wave` reads other kinds of WAV files on each version.
"""

import struct
from dataclasses import dataclass

from mdnn.errors import MdnnError

PCM, FLOAT, A_LAW, MU_LAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE

# Names of the formats that are not read, for errors.
_NAMES = {
    2: "Microsoft ADPCM",
    17: "IMA ADPCM",
    49: "GSM 6.10",
    80: "MPEG layer 2",
    85: "MP3",
    255: "AAC",
}

# The end of the GUID of WAVE_FORMAT_EXTENSIBLE. Before it stand the format's number, of four
# bytes, and two numbers of two bytes.
_GUID_END = bytes.fromhex("800000aa00389b71")


@dataclass(frozen=True)
class WavHeader:
    """Format of the samples of a WAV file.

    Args:
        format: int, `PCM`, `FLOAT`, `A_LAW` or `MU_LAW`.
        channels: int, channels side by side.
        rate: int, samples per second.
        width: int, bytes of a sample.
        big_endian: bool, whether the highest byte comes first (RIFX).
        start: int, offset of the first sample in the file.
        size: int, bytes of all samples, as the header says.
    """

    format: int
    channels: int
    rate: int
    width: int
    big_endian: bool
    start: int
    size: int


def read_wav_header(data, name):
    """Returns the `WavHeader` of the bytes of a file.

    RIFF, RIFX (big endian) and RF64 (more than 4 GB) are read; chunks but `fmt `, `data` and
    `ds64` are passed over. What the header says of the file's own size is not looked at.

    Args:
        data: Bytes.
        name: str, the file's label in error messages.

    Raises:
        MdnnError: bytes that are not a WAV file, a header that is truncated or damaged, a format
            other than whole numbers of 8 to 64 bits, floats of 32 or 64 bits, A-law and mu-law.
    """
    if data[:4] not in (b"RIFF", b"RIFX", b"RF64") or data[8:12] not in (b"WAVE", b""):
        if not data:
            raise MdnnError(f"{name}: expected a WAV file, received an empty file")
        raise MdnnError(
            f"{name}: expected a WAV file, received {len(data)} bytes beginning with "
            f"{bytes(data[:12])!r}"
        )
    order = ">" if data[:4] == b"RIFX" else "<"
    at, layout, long_size = 12, None, None
    while True:
        head = data[at : at + 8]
        if len(head) < 8:
            what = "no chunk with samples" if layout else "its header ends"
            raise MdnnError(f"{name}: a truncated or damaged WAV: {what} at byte {len(data)}")
        tag, size = struct.unpack(f"{order}4sI", head)
        at += 8
        if tag == b"data" and layout:
            if data[:4] == b"RF64" and size == 0xFFFFFFFF and long_size is not None:
                size = long_size
            return WavHeader(*layout, order == ">", at, size)
        body = data[at : at + size]
        if len(body) < size:
            raise MdnnError(
                f"{name}: a truncated or damaged WAV: the chunk {tag.decode('latin-1')!r} "
                f"at byte {at - 8} leaves the file"
            )
        if tag == b"fmt ":
            layout = _layout(body, order, name)
        elif tag == b"ds64" and size >= 16:
            long_size = struct.unpack("<Q", body[8:16])[0]
        # a chunk of an odd size is followed by one byte
        at += size + size % 2


def _layout(body, order, name):
    """Returns format, channels, rate and width from a `fmt ` chunk."""
    if len(body) < 16:
        raise MdnnError(f"{name}: a truncated or damaged WAV: a format of {len(body)} bytes")
    kind, channels, rate, _, block, bits = struct.unpack(f"{order}HHIIHH", body[:16])
    if kind == EXTENSIBLE:
        guid = body[24:40]
        kind = _extensible_kind(guid, order)
        if kind is None:
            raise MdnnError(
                f"{name}: expected a WAV file of samples, received WAVE_FORMAT_EXTENSIBLE of "
                f"the kind {guid.hex() or 'none'}"
            )
    width = (bits + 7) // 8
    widths = {PCM: range(1, 9), FLOAT: (4, 8), A_LAW: (1,), MU_LAW: (1,)}
    if kind not in widths:
        known = _NAMES.get(kind, f"format {kind}")
        raise MdnnError(
            f"{name}: expected a WAV file of PCM, float, A-law or mu-law samples, received {known}"
        )
    if width not in widths[kind] or not channels or block != channels * width:
        raise MdnnError(
            f"{name}: a damaged WAV: {bits}-bit samples of {channels} channels in {block} bytes"
        )
    return kind, channels, rate, width


def _extensible_kind(guid, order):
    """Returns the format's number in a GUID; `None` for a GUID that holds none.

    In RIFX the numbers of a GUID are big endian, too; some programs write them as in RIFF.
    """
    for each in dict.fromkeys((order, "<")):
        if len(guid) == 16 and guid[8:] == _GUID_END:
            number, low, high = struct.unpack(f"{each}IHH", guid[:8])
            if (low, high) == (0, 0x10) and number < 2**16:
                return number
    return None
