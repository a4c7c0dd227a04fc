"""PNG and JPEG bytes to items and back."""

import io
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from mdnn.datasets.media import picture_files
from mdnn.datasets.media.picture_files import decode_jpeg
from mdnn.datasets.media.png_files import decode_png, encode_png
from mdnn.errors import MdnnError
from mdnn.tokens.items import Item

RANDOM = np.random.default_rng(3)
ITEMS = [
    Item("image", RANDOM.integers(0, 256, (5, 7, 3), dtype=np.uint8)),
    Item("grey", RANDOM.integers(0, 256, (4, 3), dtype=np.uint8)),
    Item("image", RANDOM.integers(0, 256, (1, 1, 3), dtype=np.uint8)),
    # a repeated frame stays a frame
    Item("video", RANDOM.integers(0, 256, (2, 4, 3, 3), dtype=np.uint8)[[0, 0, 1, 1]]),
    Item("grey_video", RANDOM.integers(0, 256, (3, 2, 2), dtype=np.uint8)),
    Item("video", RANDOM.integers(0, 256, (1, 2, 2, 3), dtype=np.uint8)),
]
SMALL = Image.fromarray(ITEMS[0].value)


def interlaced(pixels):
    """The bytes of an interlaced PNG, written from the standard's own picture of the passes."""
    pattern = np.array(
        [
            [1, 6, 4, 6, 2, 6, 4, 6],
            [7, 7, 7, 7, 7, 7, 7, 7],
            [5, 6, 5, 6, 5, 6, 5, 6],
            [7, 7, 7, 7, 7, 7, 7, 7],
            [3, 6, 4, 6, 3, 6, 4, 6],
            [7, 7, 7, 7, 7, 7, 7, 7],
            [5, 6, 5, 6, 5, 6, 5, 6],
            [7, 7, 7, 7, 7, 7, 7, 7],
        ]
    )
    height, width = pixels.shape[:2]
    owner = np.tile(pattern, (height // 8 + 1, width // 8 + 1))[:height, :width]
    rows = []
    for number in range(1, 8):
        for y in range(height):
            inside = pixels[y, owner[y] == number].tobytes()
            rows.append(b"\0" + inside if inside else b"")
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 1)
    return b"".join(rows), header


def chunk(tag, body, check=0):
    crc = zlib.crc32(tag + body) ^ check
    return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", crc)


def png(*chunks, width=2, height=1, depth=8, colour=0):
    """The bytes of a PNG with any header, and other chunks."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join([chunk(b"IHDR", header), *chunks])


END = chunk(b"IEND", b"")
PIXELS = chunk(b"IDAT", zlib.compress(b"\0\x07\x08"))


def saved(picture, form="PNG", **options):
    with io.BytesIO() as file:
        picture.save(file, format=form, **options)
        return file.getvalue()


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.kind)
def test_png_round_trip_is_exact(item):
    back = decode_png(encode_png(item), "a.png")
    assert (back.kind, back.name) == (item.kind, "a.png")
    np.testing.assert_array_equal(back.value, item.value)


def test_others_read_what_is_written_and_write_what_is_read():
    for item in ITEMS:
        with Image.open(io.BytesIO(encode_png(item))) as picture:
            frames = []
            for number in range(getattr(picture, "n_frames", 1)):
                picture.seek(number)
                frames.append(np.array(picture))
        film = item.kind in ("video", "grey_video")
        np.testing.assert_array_equal(frames, item.value if film else item.value[None])
    text = {"pnginfo": None, "dpi": (72, 72), "icc_profile": b"no profile", "compress_level": 0}
    back = decode_png(saved(SMALL, **text))
    np.testing.assert_array_equal(back.value, ITEMS[0].value)


def test_frames_that_cover_a_part_of_a_film():
    frames = RANDOM.integers(0, 256, (3, 6, 5, 3), dtype=np.uint8)
    frames[1] = frames[0]
    frames[1, 2:4, 1:3] = 9
    frames[2] = frames[1]
    frames[2, 5, 4] = 8
    pictures = [Image.fromarray(frame) for frame in frames]
    data = saved(pictures[0], save_all=True, append_images=pictures[1:])
    np.testing.assert_array_equal(decode_png(data).value, frames)


@pytest.mark.parametrize(("dispose", "left"), [(0, [7, 9]), (1, [0, 9]), (2, [7, 9])])
def test_what_is_left_of_a_frame(dispose, left):
    """The second frame covers pixel 0 alone, the third pixel 1 alone."""

    def frame(sequence, width, x, dispose):
        return chunk(b"fcTL", struct.pack(">5I2H2B", sequence, width, 1, x, 0, 1, 10, dispose, 0))

    def data(sequence, value):
        packed = zlib.compress(bytes([0, value]))
        return chunk(b"fdAT", struct.pack(">I", sequence) + packed)

    film = png(
        chunk(b"acTL", struct.pack(">II", 3, 0)),
        *(frame(0, 2, 0, 0), PIXELS),
        *(frame(1, 1, 0, dispose), data(2, 5)),
        *(frame(3, 1, 1, 0), data(4, 9)),
        END,
    )
    film = decode_png(film)
    assert film.kind == "grey_video"
    if dispose == 0:
        left = [5, 9]
    np.testing.assert_array_equal(film.value[:, 0], [[7, 8], [5, 8], left])


@pytest.mark.parametrize("shape", [(1, 1), (1, 9, 3), (9, 1), (3, 5, 3), (5, 2), (17, 20, 3)])
def test_interlaced_pictures(shape):
    pixels = RANDOM.integers(0, 256, shape, dtype=np.uint8)
    rows, header = interlaced(pixels)

    def data(rows):
        body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + END
        return b"\x89PNG\r\n\x1a\n" + body

    np.testing.assert_array_equal(decode_png(data(rows)).value, pixels)
    with pytest.raises(MdnnError, match="a truncated PNG: 1 bytes"):
        decode_png(data(rows[:-1]))


@pytest.mark.parametrize("side", [1, 22, 23, 255, 256, 257, 700])
def test_pictures_of_one_colour(side):
    """Their streams are short: the last bytes give thousands of pixels."""
    item = decode_png(encode_png(Item("image", np.full((side, side, 3), 200, np.uint8))))
    assert item.value.shape == (side, side, 3)
    assert (item.value == 200).all()


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_is_what_pillow_reads(progressive):
    ramp = np.linspace(0, 255, 8 * 9 * 3).reshape(8, 9, 3).astype(np.uint8)
    for picture, kind in [(ramp, "image"), (ramp[..., 0].copy(), "grey")]:
        options = {"progressive": progressive, "comment": b"a comment", "icc_profile": b"none"}
        data = saved(Image.fromarray(picture), "JPEG", quality=95, **options)
        item = decode_jpeg(data, "a.jpg")
        assert (item.kind, item.name, item.value.dtype) == (kind, "a.jpg", np.uint8)
        with Image.open(io.BytesIO(data)) as expected:
            np.testing.assert_array_equal(item.value, np.array(expected))
        filled = decode_jpeg(data[:2] + b"\xff" + data[2:])
        np.testing.assert_array_equal(filled.value, item.value)


@pytest.mark.parametrize("form", ["PNG", "animated", "JPEG"])
def test_every_truncated_file_is_refused(form):
    decode = decode_jpeg if form == "JPEG" else decode_png
    data = encode_png(ITEMS[3]) if form == "animated" else saved(SMALL, form)
    decode(data)
    for length in range(len(data)):
        with pytest.raises(MdnnError, match=r"^a\.file: ") as error:
            decode(data[:length], "a.file")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_damaged_files_give_one_error_or_a_picture(form):
    decode = decode_jpeg if form == "JPEG" else decode_png
    data = saved(SMALL, form)
    refused = 0
    for number in range(300):
        damaged = bytearray(data)
        damaged[number % len(data)] ^= 1 << RANDOM.integers(8)
        try:
            assert decode(bytes(damaged)).value.dtype == np.uint8
        except MdnnError:
            refused += 1
    # every byte of a PNG counts
    assert refused == 300 if form == "PNG" else refused > 10


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a PNG file, received an empty file"),
        (saved(SMALL, "JPEG"), "expected a PNG file, received a JPEG file"),
        (b"RIFF....WAVE", "expected a PNG file, received a RIFF"),
        (b"hello, world", "expected a PNG file, received 12 bytes beginning with b'hello, w'"),
        (png(colour=5), "no such kind of PNG: 8 bits, color type 5"),
        (png(depth=3), "no such kind of PNG: 3 bits, color type 0"),
        (png(PIXELS, END, width=0), "a PNG without pixels: 0 x 1"),
        (
            png(width=100_000, height=100_000),
            "64,000,000 pixels are read, received 100000 x 100000",
        ),
        (png(width=2**32 - 1, height=2**32 - 1), "received 4294967295 x 4294967295"),
        (png(chunk(b"IDAT", zlib.compress(b"\0\x07\x08"), 1), END), "checksum of 'IDAT'"),
        # a stream that ends before the picture does
        (png(PIXELS, END, height=2), "a truncated PNG: 3 bytes of its pixels are missing"),
        (png(END), "a truncated PNG: 3 bytes"),
        (png(chunk(b"IDAT", b"hello"), END), "a damaged PNG: Error -3"),
        (png(chunk(b"acTL", b"\0\0\0\2\0\0\0\0"), PIXELS, END), "promises 2 frames, received 0"),
        (png(chunk(b"acTL", b"\xff" * 8), PIXELS, END), "promises 4294967295 frames"),
        (png(chunk(b"acTL", bytes(8)), PIXELS, END), "promises 0 frames"),
        (
            png(chunk(b"acTL", b"\0\0\0\1" * 2), chunk(b"fcTL", bytes(25)), PIXELS, END),
            "a frame header of 25 bytes",
        ),
        (
            png(
                chunk(b"acTL", b"\0\0\0\1" * 2),
                chunk(b"fcTL", struct.pack(">5I2H2B", 0, 2, 1, 1, 0, 1, 1, 0, 0)),
                PIXELS,
                END,
            ),
            "a frame of 2 x 1 at 1, 0 leaves 2 x 1",
        ),
    ],
)
def test_bad_png(data, message):
    with pytest.raises(MdnnError, match=message) as error:
        decode_png(data, "a.png")
    assert str(error.value).startswith("a.png: ")


def jpeg(depth=8, height=1, width=1, colours=1):
    frame = struct.pack(">BHHB", depth, height, width, colours) + bytes(3 * colours)
    return b"\xff\xd8\xff\xc0" + struct.pack(">H", 2 + len(frame)) + frame + b"\xff\xda\0\2\xff\xd9"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a JPEG file, received an empty file"),
        (encode_png(ITEMS[0]), "expected a JPEG file, received a PNG file"),
        (saved(Image.new("CMYK", (2, 2)), "JPEG"), "1 or 3 colors, received 8 bits and 4 colors"),
        (jpeg(depth=12), "received 12 bits and 1 colors"),
        (jpeg(width=65535, height=65535), "received 65535 x 65535"),
        (jpeg(height=0), "a JPEG without pixels: 1 x 0"),
        (jpeg(), "a truncated or damaged JPEG"),
        (b"\xff\xd8\xff\xda\0\2\xff\xd9", "no frame header"),
        (b"\xff\xd8\xff\xe0\0\1", "a segment of 1 bytes at byte 2"),
        (b"\xff\xd8hello", "no marker at byte 2"),
        (jpeg()[:-6] + jpeg()[2:], "its frame header"),
        (saved(SMALL, "JPEG")[:-2], "its end marker is missing"),
    ],
)
def test_bad_jpeg(data, message):
    with pytest.raises(MdnnError, match=message) as error:
        decode_jpeg(data, "a.jpg")
    assert str(error.value).startswith("a.jpg: ")


@pytest.mark.parametrize("name", ["PNG", "JPEG"])
def test_a_headers_word_allocates_nothing(name):
    huge = {
        "PNG": png(PIXELS, END, width=100_000, height=100_000),
        "JPEG": jpeg(width=65535, height=65535),
    }[name]
    decode = {"PNG": decode_png, "JPEG": decode_jpeg}[name]
    tracemalloc.start()
    try:
        start = time.process_time()
        with pytest.raises(MdnnError, match="pixels are read"):
            decode(huge)
        assert time.process_time() - start < 0.1
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_frames_of_a_film_count_together(monkeypatch):
    monkeypatch.setattr(picture_files, "MAX_PIXELS", 4 * 12)
    decode_png(encode_png(ITEMS[3]))
    monkeypatch.setattr(picture_files, "MAX_PIXELS", 4 * 12 - 1)
    with pytest.raises(MdnnError, match="at most 47 pixels are read, received 4 frames of 3 x 4"):
        decode_png(encode_png(ITEMS[3]))


def test_a_png_holds_no_sound():
    with pytest.raises(MdnnError, match="a PNG cannot hold audio"):
        encode_png(Item("audio", np.ones(1, np.int16)))
