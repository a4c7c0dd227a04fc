"""Every kind of picture in PngSuite, written here: its color types, depths, filters and faults."""

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mdnn.datasets.media.png_files import decode_png
from mdnn.errors import MdnnError

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
KINDS = [(0, d) for d in (1, 2, 4, 8, 16)] + [(2, 8), (2, 16), (4, 8), (4, 16), (6, 8), (6, 16)]
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
PASSES += ((0, 1, 1, 2),)
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(tag, body):
    return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))


def packed(row, depth):
    """Bytes of a row of samples `[columns * channels]`."""
    if depth == 16:
        return row.astype(">u2").tobytes()
    if depth == 8:
        return row.astype(np.uint8).tobytes()
    per = 8 // depth
    row = np.concatenate([row, np.zeros(-len(row) % per, row.dtype)]).reshape(-1, per)
    return (row << np.arange(8 - depth, -1, -depth)).sum(axis=1).astype(np.uint8).tobytes()


def filtered(rows, step, kinds):
    """Rows of bytes with the filters of the standard, each as a byte and the differences."""
    before, out = bytes(len(rows[0])), []
    for row, kind in zip(rows, kinds, strict=False):
        left, corner = bytes(step) + row, bytes(step) + before

        def guess(x, kind=kind, left=left, above=before, corner=corner):
            a, b, c = left[x], above[x], corner[x]
            if kind == 4:
                p = a + b - c
                return min((abs(p - v), n, v) for n, v in enumerate((a, b, c)))[2]
            return (0, a, b, (a + b) // 2)[kind]

        out.append(bytes([kind, *((row[x] - guess(x)) % 256 for x in range(len(row)))]))
        before = row
    return b"".join(out)


def make_png(samples, colour, depth, *chunks, interlaced=False, filters=(0, 1, 2, 3, 4), pieces=1):
    """Bytes of a PNG of samples `[height, width, channels]`."""
    height, width = samples.shape[:2]
    stream, step = b"", max(1, CHANNELS[colour] * depth // 8)
    for x, y, dx, dy in PASSES if interlaced else ((0, 0, 1, 1),):
        part = samples[y::dy, x::dx]
        if part.size:
            rows = [packed(row.reshape(-1).astype(np.int64), depth) for row in part]
            stream += filtered(rows, step, itertools.cycle(filters))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    data = zlib.compress(stream)
    size = -(-len(data) // pieces)
    parts = [chunk(b"IDAT", data[at : at + size]) for at in range(0, len(data), size)]
    return SIGNATURE + b"".join([chunk(b"IHDR", header), *chunks, *parts, chunk(b"IEND", b"")])


def draw(colour, depth, shape=(7, 9), opaque=True, fits=True):
    """Samples `[height, width, channels]`; 16-bit ones fit 8 bits."""
    random = np.random.default_rng([colour, depth])
    samples = random.integers(0, 2 ** min(depth, 8), (*shape, CHANNELS[colour]))
    if depth == 16:
        samples = samples * 257
        if not fits:
            samples[0, 0, 0] ^= 3
    if colour in (4, 6) and opaque:
        samples[..., -1] = 2**depth - 1
    return samples


def expected(samples, colour, depth):
    """8-bit pixels of samples."""
    colours = samples[..., :-1] if colour in (4, 6) else samples
    pixels = colours // 257 if depth == 16 else colours * 255 // (2**depth - 1)
    return (pixels[..., 0] if pixels.shape[-1] == 1 else pixels).astype(np.uint8)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour", "depth"), KINDS)
def test_colour_types_and_depths(colour, depth, interlaced):
    """basn* and basi*; f0* and f99 (each row another filter); oi* (pieces of the stream)."""
    for filters, pieces in [((0,), 1), ((0, 1, 2, 3, 4), 4), ((4, 3), 1000), ((1,), 2)]:
        samples = draw(colour, depth)
        data = make_png(
            samples, colour, depth, interlaced=interlaced, filters=filters, pieces=pieces
        )
        item = decode_png(data)
        assert item.kind == ("image" if colour in (2, 6) else "grey")
        np.testing.assert_array_equal(item.value, expected(samples, colour, depth))


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("side", [*range(1, 10), 32, 33, 40])
def test_odd_sizes(side, interlaced):
    """s01 to s40: small and odd sizes of palettes of 1, 2 and 4 bits."""
    for depth in (1, 2, 4, 8):
        number = 2**depth
        palette = np.random.default_rng(depth).integers(0, 256, (number, 3)).astype(np.uint8)
        samples = np.random.default_rng(side).integers(0, number, (side, side, 1))
        plte = chunk(b"PLTE", palette.tobytes())
        item = decode_png(make_png(samples, 3, depth, plte, interlaced=interlaced))
        pixels = palette[samples[..., 0]]
        if item.kind == "grey":
            pixels = pixels[..., 0]
        np.testing.assert_array_equal(item.value, pixels)


def test_palettes():
    """basn3p*, ch*: grey where the colors in use are grey, histograms and suggestions passed."""
    grey = np.repeat(np.arange(0, 256, 64, dtype=np.uint8)[:, None], 3, axis=1)
    samples = np.arange(4).reshape(2, 2, 1)
    others = chunk(b"hIST", bytes(8)), chunk(b"sPLT", b"six\0\x08" + bytes(6))
    item = decode_png(make_png(samples, 3, 2, chunk(b"PLTE", grey.tobytes()), *others))
    assert item.kind == "grey"
    np.testing.assert_array_equal(item.value, grey[samples[..., 0], 0])
    grey[3] = 9, 8, 7
    item = decode_png(make_png(samples, 3, 8, chunk(b"PLTE", grey.tobytes())))
    assert item.kind == "image"
    # a palette beside RGB is a suggestion
    item = decode_png(make_png(draw(2, 8), 2, 8, chunk(b"PLTE", grey.tobytes())))
    np.testing.assert_array_equal(item.value, draw(2, 8))
    for wrong in (b"", bytes(9)):
        with pytest.raises(MdnnError, match="a damaged PNG: color 3 of a palette of"):
            decode_png(make_png(samples, 3, 8, *([chunk(b"PLTE", wrong)] if wrong else [])))


@pytest.mark.parametrize(("colour", "depth"), [(4, 8), (6, 8), (4, 16), (6, 16)])
def test_real_transparency(colour, depth):
    """bg*, tp*: refused by name, and laid over white where it is asked for."""
    samples = draw(colour, depth)
    samples[0, 1, -1], samples[2, 3, -1] = 0, (2**depth - 1) // 5
    data = make_png(samples, colour, depth, chunk(b"bKGD", bytes(6)))
    with pytest.raises(MdnnError, match=r"^a\.png: 2 of 63 pixels are transparent; data\.convert"):
        decode_png(data, "a.png")
    pixels = decode_png(data, "a.png", convert=True).value
    whole = expected(samples, colour, depth)
    assert (pixels[0, 1] == 255).all()
    mixed = np.rint(whole[2, 3] / 5 + 255 * 4 / 5)
    assert np.abs(pixels[2, 3] - mixed).max() <= 1
    opaque = np.ones(whole.shape[:2], bool)
    opaque[0, 1] = opaque[2, 3] = False
    np.testing.assert_array_equal(pixels[opaque], whole[opaque])


@pytest.mark.parametrize(
    ("colour", "depth"), [(0, d) for d in (1, 2, 4, 8, 16)] + [(2, 8), (2, 16)]
)
def test_one_transparent_colour(colour, depth):
    """tbb*, tbg*, tbr*, tbw*, tp0*: a tRNS chunk counts where a pixel has that color."""
    samples = draw(colour, depth)
    samples[samples == 0] = 2**depth - 1
    key = np.zeros(CHANNELS[colour], ">u2")
    with_key = make_png(samples, colour, depth, chunk(b"tRNS", key.tobytes()))
    np.testing.assert_array_equal(decode_png(with_key).value, expected(samples, colour, depth))
    samples[3, 4] = 0
    with_key = make_png(samples, colour, depth, chunk(b"tRNS", key.tobytes()))
    with pytest.raises(MdnnError, match="1 of 63 pixels are transparent"):
        decode_png(with_key)
    pixels = decode_png(with_key, convert=True).value
    assert (pixels[3, 4] == 255).all()
    with pytest.raises(MdnnError, match="a tRNS chunk of 1 bytes"):
        decode_png(make_png(samples, colour, depth, chunk(b"tRNS", b"\0")))


def test_transparent_colours_of_a_palette():
    """tbbn3p08, tp1n3p08: only colors in use count."""
    palette = chunk(b"PLTE", bytes(range(12)))
    samples = np.array([[[0], [1]], [[1], [0]]])
    opaque = decode_png(make_png(samples, 3, 2, palette, chunk(b"tRNS", b"\xff\xff\0")))
    assert opaque.value.tolist() == [[[0, 1, 2], [3, 4, 5]], [[3, 4, 5], [0, 1, 2]]]
    data = make_png(samples, 3, 2, palette, chunk(b"tRNS", b"\x80"))
    with pytest.raises(MdnnError, match="2 of 4 pixels are transparent"):
        decode_png(data)
    assert decode_png(data, convert=True).value[0, 0].tolist() == [127, 128, 128]


@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_16_bit(colour):
    """*16: read where they fit 8 bits; otherwise refused by name, rounded where asked for."""
    samples = draw(colour, 16, fits=False)
    data = make_png(samples, colour, 16)
    with pytest.raises(MdnnError, match="its 16-bit samples do not fit 8 bits"):
        decode_png(data)
    colours = samples[..., :-1] if colour in (4, 6) else samples
    rounded = decode_png(data, convert=True).value
    np.testing.assert_array_equal(rounded.reshape(colours.shape), np.rint(colours / 257))
    # 8 bits in the higher byte
    high = draw(colour, 16) & 0xFF00
    if colour in (4, 6):
        high[..., -1] = 65535
        high = high[..., :-1]
        colour -= 4
    item = decode_png(make_png(high, colour, 16))
    np.testing.assert_array_equal(item.value.reshape(high.shape), high >> 8)


def test_chunks_that_say_no_pixels():
    """g*, cs*, cd*, ccw*, cm*, ct*, exif: gamma, significant bits, sizes, times, texts."""
    samples = draw(2, 8)
    body = {
        b"gAMA": struct.pack(">I", 35000),
        b"sBIT": b"\5\5\5",
        b"pHYs": struct.pack(">IIB", 1, 4, 0),
        b"cHRM": bytes(32),
        b"tIME": bytes([7, 208, 1, 1, 0, 0, 0]),
        b"tEXt": b"Title\0PngSuite",
        b"zTXt": b"Title\0\0" + zlib.compress(b"long" * 99),
        b"iTXt": "Title\0\0\0fi\0Otsikko\0café".encode(),
        b"eXIf": b"MM\0*\0\0\0\x08\0\0",
        b"iCCP": b"none\0\0" + zlib.compress(b"no profile"),
        b"sRGB": b"\0",
    }
    for tag, value in body.items():
        data = make_png(samples, 2, 8, chunk(tag, value))
        np.testing.assert_array_equal(decode_png(data).value, samples)


@pytest.mark.parametrize("level", [0, 3, 6, 9])
def test_levels_of_compression(level):
    """z00 to z09."""
    picture = draw(2, 8).astype(np.uint8)
    with io.BytesIO() as file:
        Image.fromarray(picture).save(file, "PNG", compress_level=level)
        np.testing.assert_array_equal(decode_png(file.getvalue()).value, picture)


GOOD = make_png(draw(0, 8), 0, 8)


def header(**changed):
    fields = {"width": 9, "height": 7, "depth": 8, "colour": 0, "method": 0, "filter": 0, "lace": 0}
    body = struct.pack(">IIBBBBB", *(fields | changed).values())
    return SIGNATURE + chunk(b"IHDR", body) + GOOD[33:]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        # xs*, xcr, xlf: the signature
        (b"\x88" + GOOD[1:], "expected a PNG file, received"),
        (GOOD.replace(b"\r\n", b"\n", 1), "expected a PNG file, received"),
        (GOOD.replace(b"\r\n", b"\r", 1), "expected a PNG file, received"),
        (GOOD.replace(b"PNG", b"png", 1), "expected a PNG file, received"),
        # xc1, xc9, xd0, xd3, xd9: color types and depths that there are not
        (header(colour=1), "color type 1"),
        (header(colour=9), "color type 9"),
        (header(depth=0), "0 bits"),
        (header(depth=3), "3 bits"),
        (header(depth=99), "99 bits"),
        (header(colour=2, depth=4), "4 bits, color type 2"),
        (header(colour=3, depth=16), "16 bits, color type 3"),
        (header(method=1), "compression 1"),
        (header(filter=1), "filter 1"),
        (header(lace=2), "interlace 2"),
        # xdt, xhd, xcs: no pixels, wrong checksums
        (GOOD[:33] + chunk(b"IEND", b""), "a truncated PNG: 70 bytes"),
        (GOOD[:29] + b"\0\0\0\0" + GOOD[33:], "checksum of 'IHDR'"),
        (GOOD[:-16] + b"\0\0\0\0" + GOOD[-12:], "checksum of 'IDAT'"),
    ],
)
def test_corrupt_files(data, message):
    for convert in (False, True):
        with pytest.raises(MdnnError, match=message):
            decode_png(data, "x.png", convert)


@pytest.mark.parametrize(("colour", "depth"), [(0, 1), (0, 16), (2, 16), (6, 16), (3, 4)])
@pytest.mark.parametrize("interlaced", [False, True])
def test_truncated_streams(colour, depth, interlaced):
    """Pillow fills what a stream lacks with zeros; here a missing byte is told."""
    palette = chunk(b"PLTE", bytes(48))
    good = make_png(draw(colour, depth), colour, depth, palette, interlaced=interlaced)
    decode_png(good)
    at = good.index(b"IDAT")
    size = int.from_bytes(good[at - 4 : at], "big")
    stream = zlib.decompress(good[at + 4 : at + 4 + size])[:-1]
    data = good[: at - 4] + chunk(b"IDAT", zlib.compress(stream)) + chunk(b"IEND", b"")
    with pytest.raises(MdnnError, match="a truncated PNG: 1 bytes of its pixels are missing"):
        decode_png(data)


def test_animated_pngs_of_other_kinds():
    def frames(mode, **options):
        pictures = [Image.new("RGBA", (4, 3), (9 * n, n, 5, 255)).convert(mode) for n in range(3)]
        with io.BytesIO() as file:
            pictures[0].save(file, "PNG", save_all=True, append_images=pictures[1:], **options)
            return file.getvalue(), [np.array(one.convert("RGB")) for one in pictures]

    for mode in ("RGBA", "RGB", "L"):
        data, pixels = frames(mode, duration=50)
        film = decode_png(data)
        assert film.kind == ("grey_video" if mode == "L" else "video")
        shown = np.stack(pixels)[..., 0] if mode == "L" else np.stack(pixels)
        np.testing.assert_array_equal(film.value, shown)
    data, pixels = frames("RGB", default_image=True)
    np.testing.assert_array_equal(decode_png(data).value, np.stack(pixels)[1:])
