"""PNG and WAV files in a graph against those outside, and what is refused there."""

import io
import resource
import struct
import wave
import zlib

import keras
import numpy as np
import pytest
from PIL import Image

from mdnn.datasets.media.media_files import item_bytes, read_picture, read_sound
from mdnn.tokens.item_tokenizer import ItemTokenizer
from mdnn.tokens.items import Item

if keras.backend.backend() != "tensorflow":
    pytest.skip("graphs with strings are TensorFlow's", allow_module_level=True)

import tensorflow as tf

from mdnn.serving.export import graph_files as files

RATE = 1000
TOKENIZER = ItemTokenizer(rate=RATE)
KINDS = {"grey": 4, "image": 3}
rng = np.random.default_rng(5)
GREY = rng.integers(0, 256, (3, 5), "uint8")
COLOURS = rng.integers(0, 256, (4, 3, 3), "uint8")
SOUND = np.array([0, 1, -1, 32767, -32768, 77], "int16")


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def png_rows(data):
    return files.png_rows(data, 2, 20, KINDS, "grey, image")


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def grey_rows(data):
    return files.png_rows(data, 2, 20, {"grey": 4}, "text, grey")


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def wav_rows(data):
    return files.wav_rows(data, 0, 20, 7, RATE)


def saved(picture, **options):
    """A PNG by Pillow."""
    with io.BytesIO() as file:
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        image.save(file, format="PNG", **options)
        return file.getvalue()


def chunk(tag, body):
    check = zlib.crc32(tag + body)
    return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", check)


def header(width=5, height=3, depth=8, colour=0, stream=b"", before=b""):
    """A PNG by hand."""
    about = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", about), before, chunk(b"IDAT", stream), chunk(b"IEND", b"")
    return b"".join([files.PNG, *parts])


def pcm(samples=SOUND, rate=RATE, channels=1, width=2):
    with io.BytesIO() as file:
        with wave.open(file, "wb") as sound:
            sound.setnchannels(channels)
            sound.setsampwidth(width)
            sound.setframerate(rate)
            sound.writeframes(samples.tobytes())
        return file.getvalue()


def test_pictures_as_outside():
    found = {"grey": saved(GREY), "image": saved(COLOURS)}
    found["grey", "text chunks"] = saved(GREY, pnginfo=_note())
    found["behind its end"] = saved(COLOURS) + b"more"
    for data in found.values():
        item = read_picture(data, "a.png")
        np.testing.assert_array_equal(png_rows(data), TOKENIZER.tokens(item)[:, :7])
    np.testing.assert_array_equal(grey_rows(saved(GREY)), TOKENIZER.tokens(GREY)[:, :7])


def test_nothing_is_made_by_a_headers_word_alone():
    stream = zlib.compress(ROWS)
    with pytest.raises(tf.errors.InvalidArgumentError, match="5 x 5 pixels"):
        png_rows(header(5, 5, stream=stream))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(tf.errors.InvalidArgumentError, match="8000 x 8000 pixels"):
        png_rows(header(8000, 8000, stream=stream))
    with pytest.raises(tf.errors.InvalidArgumentError, match="100000 x 100000 pixels"):
        png_rows(header(100_000, 100_000, stream=stream))
    # Kilobytes: 8000 x 8000 pixels alone are 64,000 of them.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000


def _note():
    from PIL.PngImagePlugin import PngInfo

    note = PngInfo()
    note.add_text("Comment", "IEND tRNS " * 20, zip=True)
    return note


PALETTE = Image.fromarray(GREY).convert("P")
ROWS = b"".join(b"\0" + row.tobytes() for row in GREY)
TRANSPARENT = chunk(b"tRNS", b"\0\7")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GIF89a", "expected a PNG file"),
        (files.PNG, "a truncated PNG: it ends in its header"),
        (saved(GREY)[:30], "a truncated PNG: it ends in its header"),
        (files.PNG + b"\0" * 40, r"a PNG without a header \(IHDR\)"),
        (
            saved(GREY.astype("uint16") * 257),
            "expected a PNG of 8-bit RGB or grey, received 16-bit",
        ),
        (saved(np.dstack([COLOURS, COLOURS[..., 0]])), "received 8-bit RGB with alpha"),
        (saved(Image.fromarray(GREY).convert("LA")), "received 8-bit grey with alpha"),
        (saved(PALETTE), "8-bit palette"),
        (saved(Image.fromarray(GREY).convert("1")), "received 1-bit grey"),
        (header(colour=200), "received 8-bit RGB with alpha"),
        (header(0, 5), "a PNG without pixels: 0 x 5"),
        (header(5, 5, stream=zlib.compress(ROWS)), "5 x 5 pixels, this network takes 20 at most"),
        (header(2**32 - 1, 2**32 - 1), "4294967295 x 4294967295 pixels, this network takes 20"),
        (saved(GREY)[:-1], "a truncated PNG of"),
        (saved(GREY)[:-12], "a truncated PNG of"),
        (saved(GREY)[:-20], "a truncated PNG of"),
        (header(stream=zlib.compress(ROWS))[:33], "a truncated PNG of"),
        (header(stream=zlib.compress(ROWS), before=TRANSPARENT), "without transparency"),
        (item_bytes(Item("grey_video", np.stack([GREY, GREY])))[0], "expected one picture without"),
        (header(stream=zlib.compress(ROWS[:7])), "Invalid PNG data"),
        (header(stream=b"nonsense"), "Invalid PNG data"),
        (header(stream=zlib.compress(ROWS), before=chunk(b"eXIf", b"") * 10_000), "10000 chunks"),
    ],
)
def test_what_is_no_picture(data, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message) as caught:
        png_rows(data)
    if "Invalid" not in message:
        assert "prompt 3: image: " in str(caught.value)


def test_a_check_sum_that_is_wrong():
    data = bytearray(header(stream=zlib.compress(ROWS)))
    assert png_rows(bytes(data)).shape == (15, 7)
    data[-13] ^= 1
    with pytest.raises(tf.errors.InvalidArgumentError, match="Invalid PNG data"):
        png_rows(bytes(data))


def test_a_picture_of_a_kind_that_the_network_has_not():
    message = "prompt 3: image: expected an item of the kinds text, grey, received image"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        grey_rows(saved(COLOURS))


def extensible(code=1):
    """A WAV with the longer header, and chunks around it that say nothing."""
    form = struct.pack("<HHIIHHHHIH", 0xFFFE, 1, RATE, 2 * RATE, 2, 16, 22, 16, 4, code)
    form += bytes.fromhex("000000001000800000aa00389b71")
    chunks = [(b"LIST", b"odd"), (b"fmt ", form), (b"data", SOUND.tobytes()), (b"LIST", b"more")]
    body = b"WAVE"
    for tag, content in chunks:
        body += tag + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("data", [pcm(), pcm(SOUND[:1]), pcm() + b"behind it"])
def test_sounds_as_outside(data):
    item = read_sound(data, name="a.wav")
    np.testing.assert_array_equal(wav_rows(data), TOKENIZER.tokens(item)[:, :7])


def test_a_sound_with_the_longer_header():
    # Python's own reader takes it from version 3.12 on.
    np.testing.assert_array_equal(wav_rows(extensible()), TOKENIZER.tokens(SOUND)[:, :7])


LONG = np.zeros(21, "int16")
PROMISES = pcm()[:40] + struct.pack("<I", 2**32 - 1) + SOUND.tobytes()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"RIF", "expected a WAV file of 16-bit PCM"),
        (b"RIFF", "expected a WAV file of 16-bit PCM"),
        (saved(GREY), "expected a WAV file of 16-bit PCM"),
        (pcm()[:12], "a truncated or damaged WAV: its header"),
        (pcm()[:38], "a truncated or damaged WAV: its header"),
        (pcm()[:12] + pcm()[36:], "a truncated or damaged WAV: its header"),
        (pcm(width=1), "expected a WAV file of 16-bit PCM, received format 1 of 8 bits"),
        (pcm(width=4, samples=LONG[:4]), "received format 1 of 32 bits"),
        (extensible(3), "received format 3 of 16 bits"),
        (pcm(channels=2), r"expected one channel \(mono\), received 2: mix them first"),
        (pcm(rate=8000), "expected 1000 samples per second, received 8000: resample it first"),
        (pcm()[:-1], "its header promises 6 samples, received 5"),
        (pcm()[:44], "its header promises 6 samples, received 0"),
        (PROMISES, "its header promises 2147483647 samples, received 6"),
        (pcm(SOUND[:0]), "a sound without samples"),
        (pcm(LONG), "21 samples, this network takes 20 at most"),
        (b"RIFF" + b"\xff" * 4 + b"WAVE" + b"LIST\0\0\0\0" * 10_001, "more than 10000 chunks"),
    ],
)
def test_what_is_no_sound(data, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match="prompt 1: audio: .*" + message):
        wav_rows(data)


def test_pictures_come_back():
    for kind, picture in (("grey", GREY), ("image", COLOURS)):
        rows = TOKENIZER.tokens(Item(kind, picture))[:, :4]
        # A smaller one in the same batch, and units after it.
        rows = np.stack([rows, rows])
        height, width, *_ = picture.shape
        channels = 1 if kind == "grey" else 3
        large, small = files.png(rows, tf.constant([height, 1]), tf.constant([width, 2]), channels)
        np.testing.assert_array_equal(read_picture(large.numpy(), "a.png").value, picture)
        assert read_picture(small.numpy(), "a.png").kind == kind
        expected = picture.reshape(-1, *picture.shape[2:])[None, :2]
        np.testing.assert_array_equal(read_picture(small.numpy(), "a.png").value, expected)


def test_every_sample_comes_back_in_the_same_file():
    samples = np.arange(-32768, 32768).astype("int16")
    rows = TOKENIZER.tokens(samples)[None, :, :4]
    (found,) = files.wav(rows, tf.constant([65_536]), RATE).numpy()
    assert found == item_bytes(Item("audio", samples, rate=RATE))[0]
    (found,) = files.wav(rows, tf.constant([3]), RATE).numpy()
    assert found == item_bytes(Item("audio", samples[:3], rate=RATE))[0]
