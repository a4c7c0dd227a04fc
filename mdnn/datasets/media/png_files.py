"""Decodes and encodes PNG files: pictures and films.

Every color type and depth is read. Pillow undoes the filters; palettes, transparency and 16 bits
are taken apart here, because Pillow drops the lower byte of 16-bit colors and fills what a
truncated file lacks with zeros.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from mdnn.datasets.media.animated import read_frames
from mdnn.datasets.media.conversion import check_convert, is_grey, to_8_bit, without_alpha
from mdnn.datasets.media.picture_files import PNG, check_pixels, decode, signature
from mdnn.datasets.media.png_stream import byte_lanes, check_stream
from mdnn.errors import MdnnError
from mdnn.tokens.items import pixel_item
from mdnn.tokens.modalities import modality

# Depths of each color type.
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}

# Frame header of an animated PNG: number, width, height, x, y, delay (2), dispose, blend.
_FRAME = struct.Struct(">IIIIIHHBB")

# Chunks that the decoder is given of an animated PNG.
_USED = (b"IHDR", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"IDAT", b"fdAT", b"IEND")


def decode_png(data, name="a PNG", convert=False):
    """Returns the picture, or the film of an animated PNG, in the bytes of a file.

    Grey of any depth gives grey, and so does a palette whose colors in use are grey; the others
    give RGB. Transparency is dropped where all pixels are opaque, and 16 bits become 8 bits where
    that loses nothing.

    Args:
        data: Bytes.
        name: str, the item's name, which error messages show.
        convert: bool, whether transparent pixels are laid over white and 16-bit samples rounded.

    Returns:
        An `Item` of kind image or grey; video or grey_video if it is animated.

    Raises:
        MdnnError: bytes that are not a PNG file, more than
            `mdnn.datasets.media.picture_files.MAX_PIXELS` pixels, a file that is truncated or
            damaged; without `convert` a picture with transparent pixels or 16-bit samples that do
            not fit 8 bits.
    """
    header = _png_header(data, name)
    chunks = _png_chunks(data, name)
    width, height, depth, colour = struct.unpack(">IIBB", header[:10])
    if b"acTL" in (tag for tag, _ in chunks):
        return _film(chunks, header, name, convert)
    tables = dict(chunks)
    stream = b"".join(body for tag, body in chunks if tag == b"IDAT")
    if depth == 16:
        check_stream(header, width, height, stream, name)
        lanes = byte_lanes(header, width, height, stream)
        header = header[:8] + b"\x08" + header[9:]
        high, low = (_pixels(header, width, height, lane, name) for lane in lanes)
        samples = high.astype(np.uint16) << 8 | low
    else:
        samples = _pixels(header, width, height, stream, name)
    if colour == 3:
        samples, alpha = _from_palette(samples, tables, name)
    else:
        samples, alpha = _from_key(samples, tables.get(b"tRNS"), depth, colour, name)
    most = 65535 if depth == 16 else 255
    samples = without_alpha(samples, alpha, most, name, convert)
    if depth == 16:
        samples = to_8_bit(samples, name, convert)
    if colour == 3 and is_grey(samples):
        samples = samples[..., :1]
    return pixel_item(samples, name)


def encode_png(item, rate=None):
    """Returns the bytes of a PNG file that holds a picture; of a film, an animated PNG.

    Every frame of a film is shown for a tenth of a second.

    Args:
        item: An `Item` of a picture or film.
        rate: Without meaning for pictures.

    Raises:
        MdnnError: an item of another kind.
    """
    form = modality(item.kind)
    if form.suffix != ".png":
        raise MdnnError(f"{item.name or 'an item'}: a PNG cannot hold {item.kind}")
    film = len(form.coordinates) == 3
    first, *others = map(Image.fromarray, item.value if film else item.value[None])
    options = {}
    if others:
        # Blending opaque frames or not gives the same; Pillow merges equal frames of equal blend.
        blend = [number % 2 for number in range(len(others) + 1)]
        options = {"save_all": True, "append_images": others, "duration": 100, "blend": blend}
    with io.BytesIO() as file:
        first.save(file, format="PNG", **options)
        data = file.getvalue()
    if film and not others:
        # Pillow writes a film of one frame as a picture.
        frame = _FRAME.pack(0, *first.size, 0, 0, 1, 10, 0, 0)
        control = _chunk(b"acTL", struct.pack(">II", 1, 0)) + _chunk(b"fcTL", frame)
        data = data[:33] + control + data[33:]
    return data


def _png_header(data, name):
    """Returns the body of a PNG's header (IHDR), checked."""
    if not data.startswith(PNG):
        kind = "a truncated PNG" if data and PNG.startswith(data) else "expected a PNG file"
        raise MdnnError(f"{name}: {kind}, received {signature(data)}")
    header = data[16:29]
    if len(header) < 13:
        raise MdnnError(f"{name}: a truncated PNG: it ends in its header")
    if data[8:16] != b"\0\0\0\x0dIHDR":
        raise MdnnError(f"{name}: a PNG without a header (IHDR)")
    width, height, depth, colour, compression, filters, interlace = struct.unpack(
        ">IIBBBBB", header
    )
    if depth not in _DEPTHS.get(colour, ()) or compression or filters or interlace > 1:
        raise MdnnError(
            f"{name}: a damaged PNG: no such kind of PNG: {depth} bits, color type {colour}, "
            f"compression {compression}, filter {filters}, interlace {interlace}"
        )
    if not width or not height:
        raise MdnnError(f"{name}: a PNG without pixels: {width} x {height}")
    check_pixels(width * height, f"{width} x {height}", name)
    return header


def _png_chunks(data, name):
    """Returns a PNG's chunks up to its end, `(tag, body)` each, their checksums checked."""
    chunks, at = [], len(PNG)
    while not chunks or chunks[-1][0] != b"IEND":
        size, tag = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body, check = data[at + 8 : at + 8 + size], data[at + 8 + size : at + 12 + size]
        if len(check) < 4:
            raise MdnnError(f"{name}: a truncated PNG: it ends at byte {len(data)}")
        if zlib.crc32(body, zlib.crc32(tag)) != int.from_bytes(check, "big"):
            raise MdnnError(
                f"{name}: a damaged PNG: the checksum of {tag.decode('latin-1')!r} "
                f"at byte {at} is wrong"
            )
        chunks.append((tag, body))
        at += 12 + size
    return chunks


def _chunk(tag, body):
    check = zlib.crc32(body, zlib.crc32(tag))
    return b"".join([struct.pack(">I", len(body)), tag, body, struct.pack(">I", check)])


def _pixels(header, width, height, stream, name):
    """Returns the samples of a stream of at most 8 bits, uint8 `[height, width, channels]`.

    Of a palette they are the numbers of colors; grey of less than 8 bits is scaled to 255.
    """
    check_stream(header, width, height, stream, name)
    chunks = [(b"IHDR", header), (b"IDAT", stream), (b"IEND", b"")]
    if header[9] == 3:
        chunks.insert(1, (b"PLTE", bytes(768)))
    data = b"".join([PNG, *(_chunk(tag, body) for tag, body in chunks)])
    pixels = decode(data, "PNG", name)
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    return pixels.reshape(height, width, -1)


def _from_palette(numbers, tables, name):
    """Returns the colors `[height, width, 3]` of a palette's numbers, and their opacity."""
    palette = np.frombuffer(tables.get(b"PLTE", b"")[:768], dtype=np.uint8)
    palette = palette[: len(palette) // 3 * 3].reshape(-1, 3)
    numbers = numbers[..., 0]
    if not len(palette) or numbers.max() >= len(palette):
        raise MdnnError(
            f"{name}: a damaged PNG: color {numbers.max()} of a palette of {len(palette)}"
        )
    opacity = np.full(len(palette), 255, dtype=np.uint8)
    some = np.frombuffer(tables.get(b"tRNS", b"")[: len(palette)], dtype=np.uint8)
    opacity[: len(some)] = some
    return palette[numbers], opacity[numbers] if len(some) else None


def _from_key(samples, key, depth, colour, name):
    """Returns the samples without alpha, and the opacity `[height, width]` or `None`.

    A tRNS chunk names the one grey value or color that is transparent.
    """
    if colour in (4, 6):
        return samples[..., :-1], samples[..., -1]
    if key is None:
        return samples, None
    if len(key) < 2 * samples.shape[-1]:
        raise MdnnError(f"{name}: a damaged PNG: a tRNS chunk of {len(key)} bytes")
    value = np.frombuffer(key, dtype=">u2")[: samples.shape[-1]].astype(np.int64)
    if depth < 8:
        value = value * 255 // (2**depth - 1)
    most = 65535 if depth == 16 else 255
    return samples, np.where((samples == value).all(axis=-1), 0, most)


def _film(chunks, header, name, convert):
    """Returns the film of an animated PNG."""
    depth, colour = header[8:10]
    _check_frames(chunks, header, name)
    if depth == 16:
        check_convert(convert, name, "an animated PNG of 16 bits", "rounds it to 8 bits")
    data = b"".join([PNG, *(_chunk(tag, body) for tag, body in chunks if tag in _USED)])
    default = next(tag for tag, _ in chunks if tag in (b"fcTL", b"IDAT")) == b"IDAT"
    pixels = read_frames(data, "PNG", name, convert, skip=int(default))
    if colour in (0, 4) or (colour == 3 and is_grey(pixels)):
        pixels = pixels[..., :1]
    return pixel_item(pixels, name)


def _check_frames(chunks, header, name):
    """Refuses an animated PNG whose frames are not all there, whole and inside the picture."""
    width, height = struct.unpack(">II", header[:8])
    promised = int.from_bytes(dict(reversed(chunks))[b"acTL"][:4], "big")
    frames, streams = [(0, width, height, 0, 0)], [[]]
    for tag, body in chunks:
        if tag == b"fcTL":
            if len(body) != _FRAME.size:
                raise MdnnError(f"{name}: a damaged PNG: a frame header of {len(body)} bytes")
            frames.append(_FRAME.unpack(body)[:5])
            streams.append([])
        elif tag in (b"IDAT", b"fdAT"):
            streams[-1].append(body if tag == b"IDAT" else body[4:])
    if not streams[0]:
        # no picture for readers that show no films before the first frame
        del frames[0], streams[0]
        count = len(frames)
    else:
        count = len(frames) - 1
    if count != promised or not count:
        raise MdnnError(f"{name}: its header promises {promised} frames, received {count}")
    check_pixels(count * height * width, f"{count} frames of {width} x {height}", name)
    for (_, w, h, x, y), stream in zip(frames, streams, strict=True):
        if not w or not h or x + w > width or y + h > height:
            raise MdnnError(f"{name}: a frame of {w} x {h} at {x}, {y} leaves {width} x {height}")
        check_stream(header, w, h, b"".join(stream), name)
