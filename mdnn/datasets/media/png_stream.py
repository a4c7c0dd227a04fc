"""Checks the size of a PNG's compressed stream, and splits 16-bit samples into bytes."""

import zlib

import numpy as np

from mdnn.errors import MdnnError

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Channels of a pixel by color type."""

# Passes of an interlaced PNG: first column and row, steps.
_INTERLACED = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def _passes(header, width, height):
    """Returns the columns and rows of each pass of a picture; of one without passes, its own."""
    passes = _INTERLACED if header[12] else ((0, 0, 1, 1),)
    sizes = [(-((x - width) // dx), -((y - height) // dy)) for x, y, dx, dy in passes]
    return [(columns, rows) for columns, rows in sizes if columns > 0 and rows > 0]


def _stream_size(header, width, height):
    """Returns the bytes of a picture's pixels, including one filter byte per row, int."""
    bits = header[8] * CHANNELS[header[9]]
    return sum(
        rows * (1 + (columns * bits + 7) // 8) for columns, rows in _passes(header, width, height)
    )


def check_stream(header, width, height, stream, name):
    """Refuses a stream with fewer bytes than the picture: the decoder takes zeros for the rest.

    Args:
        header: bytes of the IHDR chunk.
        width, height: int, the picture's size in pixels.
        stream: bytes, the compressed pixels.
        name: str, the file, for errors.

    Raises:
        MdnnError: the stream is damaged or too short.
    """
    missing = _stream_size(header, width, height)
    expander = zlib.decompressobj()
    try:
        while missing > 0 and stream and not expander.eof:
            # in small pieces, whatever the stream says of its size
            missing -= len(expander.decompress(stream, 1 << 16))
            stream = expander.unconsumed_tail
    except zlib.error as error:
        raise MdnnError(f"{name}: a damaged PNG: {error}") from None
    # what the last bytes of the stream still give
    missing -= len(expander.flush()) if missing > 0 else 0
    if missing > 0:
        raise MdnnError(f"{name}: a truncated PNG: {missing} bytes of its pixels are missing")


def byte_lanes(header, width, height, stream):
    """Returns the streams of two 8-bit pictures: the higher and the lower bytes of a 16-bit one.

    A filter of PNG computes each byte of a pixel from the same byte of the pixels around it, so
    the bytes can be taken apart before the filters are undone.

    Args:
        header, width, height, stream: see `check_stream`; the depth is 16 bits.

    Returns:
        List of two compressed streams, bytes.
    """
    size = _stream_size(header, width, height)
    raw = np.frombuffer(zlib.decompressobj().decompress(stream, size), dtype=np.uint8)
    lanes, at, channels = ([], []), 0, CHANNELS[header[9]]
    for columns, rows in _passes(header, width, height):
        end = at + rows * (1 + 2 * columns * channels)
        block = raw[at:end].reshape(rows, -1)
        for number, lane in enumerate(lanes):
            lane.append(np.concatenate([block[:, :1], block[:, 1 + number :: 2]], axis=1).tobytes())
        at = end
    return [zlib.compress(b"".join(lane), 0) for lane in lanes]
