"""Pictures and films as the bytes of PNG files, and back."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from mdnn.datasets.media.picture_files import PNG, check_pixels, decode, signature
from mdnn.errors import MdnnError
from mdnn.tokens.items import Item

# colour types of a PNG header that are taken, and those that are not
_KINDS = {0: "grey", 2: "image"}
_COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}

# frame header of an animated PNG: number, width, height, x, y, delay (2), dispose, blend
_FRAME = struct.Struct(">IIIIIHHBB")
_CLEAR, _RESTORE = 1, 2

# passes of an interlaced PNG: first column and row, steps
_INTERLACED = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def decode_png(data, name="a PNG"):
    """Returns the picture, or the film of an animated PNG, in the bytes of a file.

    Args:
        data: Bytes.
        name: String, what errors and the item are called.

    Returns:
        An `Item` of kind image or grey; video or grey_video if it is animated.

    Raises:
        MdnnError: Bytes that are no PNG, another depth than 8 bit, another colour than RGB and
            grey (a palette, alpha), more than `mdnn.datasets.media.picture_files.MAX_PIXELS`
            pixels, a file that is truncated or damaged.
    """
    kind, height, width, header = _png_header(data, name)
    chunks = _png_chunks(data, name)
    tags = [tag for tag, _ in chunks]
    if b"tRNS" in tags:
        raise MdnnError(f"{name}: expected a PNG without transparency, received a tRNS chunk")
    if b"acTL" not in tags:
        stream = b"".join(body for tag, body in chunks if tag == b"IDAT")
        return Item(kind, _decode_stream(header, width, height, stream, name), name=name)
    return Item(
        {"grey": "grey_video", "image": "video"}[kind],
        _frames(chunks, header, height, width, name),
        name=name,
    )


def encode_png(item):
    """Returns the bytes of a PNG file that holds a picture; of a film, an animated PNG.

    Every frame of a film is there whole and for a tenth of a second.

    Args:
        item: An `Item` of kind image, grey, video or grey_video.

    Raises:
        MdnnError: An item of another kind.
    """
    if item.kind in ("image", "grey"):
        with io.BytesIO() as file:
            Image.fromarray(item.value).save(file, format="PNG")
            return file.getvalue()
    if item.kind not in ("video", "grey_video"):
        raise MdnnError(f"{item.name or 'an item'}: a PNG holds no {item.kind}")
    count, height, width = item.value.shape[:3]
    parts, sequence = [], 0
    for number, picture in enumerate(item.value):
        whole = encode_png(Item("image" if item.kind == "video" else "grey", picture))
        chunks = _png_chunks(whole, "a frame")
        if not number:
            parts += [PNG, _chunk(*chunks[0]), _chunk(b"acTL", struct.pack(">II", count, 0))]
        frame = _FRAME.pack(sequence, width, height, 0, 0, 1, 10, 0, 0)
        parts.append(_chunk(b"fcTL", frame))
        sequence += 1
        for tag, body in chunks:
            if tag == b"IDAT" and number:
                parts.append(_chunk(b"fdAT", struct.pack(">I", sequence) + body))
                sequence += 1
            elif tag == b"IDAT":
                parts.append(_chunk(tag, body))
    return b"".join([*parts, _chunk(b"IEND", b"")])


def _png_header(data, name):
    """Returns `(kind, height, width, header)` of a PNG, `header` the IHDR chunk's body."""
    if not data.startswith(PNG):
        kind = "a truncated PNG" if data and PNG.startswith(data) else "expected a PNG file"
        raise MdnnError(f"{name}: {kind}, received {signature(data)}")
    header = data[16:29]
    if len(header) < 13:
        raise MdnnError(f"{name}: a truncated PNG: it ends in its header")
    if data[8:16] != b"\0\0\0\x0dIHDR":
        raise MdnnError(f"{name}: a PNG without a header (IHDR)")
    width, height, depth, colour = struct.unpack(">IIBB", header[:10])
    if colour not in _KINDS or depth != 8:
        received = _COLOURS.get(colour, f"colour type {colour}")
        raise MdnnError(
            f"{name}: expected a PNG of 8 bit RGB or grey, received {depth} bit {received}"
        )
    if not width or not height:
        raise MdnnError(f"{name}: a PNG without pixels: {width} x {height}")
    check_pixels(width * height, f"{width} x {height}", name)
    return _KINDS[colour], height, width, header


def _png_chunks(data, name):
    """Returns a PNG's chunks up to its end, `(tag, body)` each, their check sums checked."""
    chunks, at = [], len(PNG)
    while not chunks or chunks[-1][0] != b"IEND":
        size, tag = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body, check = data[at + 8 : at + 8 + size], data[at + 8 + size : at + 12 + size]
        if len(check) < 4:
            raise MdnnError(f"{name}: a truncated PNG: it ends at byte {len(data)}")
        if zlib.crc32(body, zlib.crc32(tag)) != int.from_bytes(check, "big"):
            raise MdnnError(
                f"{name}: a damaged PNG: the check sum of {tag!r} at byte {at} is wrong"
            )
        chunks.append((tag, body))
        at += 12 + size
    return chunks


def _chunk(tag, body):
    check = zlib.crc32(body, zlib.crc32(tag))
    return b"".join([struct.pack(">I", len(body)), tag, body, struct.pack(">I", check)])


def _decode_stream(header, width, height, stream, name):
    """Returns the pixels of a PNG's compressed stream."""
    _check_stream(header, width, height, stream, name)
    header = struct.pack(">II", width, height) + header[8:]
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", stream), _chunk(b"IEND", b""))
    return decode(b"".join([PNG, *chunks]), "PNG", name)


def _check_stream(header, width, height, stream, name):
    """Refuses a stream with fewer bytes than the picture: the decoder takes zeros for the rest."""
    channels = 3 if header[9] == 2 else 1
    passes = _INTERLACED if header[12] else ((0, 0, 1, 1),)
    missing = 0
    for x, y, step_x, step_y in passes:
        columns, rows = -((x - width) // step_x), -((y - height) // step_y)
        # each row begins with a byte that names its filter
        missing += rows * (1 + columns * channels) if columns > 0 else 0
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


def _frames(chunks, header, height, width, name):
    """Returns the frames of an animated PNG, uint8 `[frames, height, width(, 3)]`."""
    promised = next(body for tag, body in chunks if tag == b"acTL")[:4]
    streams, frames = [], []
    for tag, body in chunks:
        if tag == b"fcTL":
            if len(body) != _FRAME.size:
                raise MdnnError(f"{name}: a damaged PNG: a frame header of {len(body)} bytes")
            frames.append(_FRAME.unpack(body))
            streams.append([])
        # the picture before the first frame is for readers that show no films
        elif tag == b"IDAT" and frames:
            streams[-1].append(body)
        elif tag == b"fdAT" and frames:
            streams[-1].append(body[4:])
    if len(frames) != int.from_bytes(promised, "big") or not frames:
        raise MdnnError(
            f"{name}: its header promises {int.from_bytes(promised, 'big')} frames, "
            f"received {len(frames)}"
        )
    what = f"{len(frames)} frames of {width} x {height}"
    check_pixels(len(frames) * height * width, what, name)
    canvas, film = None, []
    for (_, w, h, x, y, _, _, dispose, _), stream in zip(frames, streams, strict=True):
        if not w or not h or x + w > width or y + h > height:
            raise MdnnError(f"{name}: a frame of {w} x {h} at {x}, {y} leaves {width} x {height}")
        part = _decode_stream(header, w, h, b"".join(stream), name)
        if canvas is None:
            canvas = np.zeros((height, width, *part.shape[2:]), dtype=np.uint8)
        before = canvas.copy()
        canvas[y : y + h, x : x + w] = part
        film.append(canvas.copy())
        if dispose == _CLEAR:
            canvas[y : y + h, x : x + w] = 0
        elif dispose == _RESTORE:
            canvas = before
    return np.stack(film)
