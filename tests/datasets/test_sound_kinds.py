"""Every kind of WAV in the collections of scipy and CPython, written here; FLAC, OGG and MP3."""

import io
import struct
import sys

import numpy as np
import pytest

from mdnn.datasets.media.media_files import read_item
from mdnn.datasets.media.sound_files import decode_compressed, decode_wav
from mdnn.errors import MdnnError

SAMPLES = np.array([0, 1, -1, 32767, -32768, 256, 255, -12345], np.int64)
GUID = bytes.fromhex("000000001000800000aa00389b71")


def chunk(tag, body, order="<"):
    return tag + struct.pack(f"{order}I", len(body)) + body + b"\0" * (len(body) % 2)


def make_wav(
    raw, kind=1, channels=1, bits=16, rate=8000, before=(), after=(), order="<", size=None, more=b""
):
    """Bytes of a WAV file with any format and any chunks around its samples."""
    width = (bits + 7) // 8
    block = channels * width
    layout = struct.pack(f"{order}HHIIHH", kind, channels, rate, rate * block, block, bits) + more
    data = b"data" + struct.pack(f"{order}I", len(raw) if size is None else size) + raw
    data += b"\0" * (len(raw) % 2)
    body = b"WAVE" + b"".join([*before, chunk(b"fmt ", layout, order), data, *after])
    return (b"RIFX" if order == ">" else b"RIFF") + struct.pack(f"{order}I", len(body)) + body


def extensible(kind, bits, guid=GUID, order="<"):
    """Of RIFX the numbers of the GUID are big endian, as libsndfile and scipy have them."""
    if order == ">" and guid == GUID:
        guid = struct.pack(">HH", 0, 0x10) + GUID[6:]
        return struct.pack(">HHII", 22, bits, 4, kind) + guid
    return struct.pack(f"{order}HHIH", 22, bits, 4, kind) + guid


def integers(samples, width, order="<"):
    """Bytes of whole numbers of any width."""
    wide = samples.astype(f"{order}i8").view(np.uint8).reshape(-1, 8)
    return (wide[:, :width] if order == "<" else wide[:, 8 - width :]).tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [9, 12, 16, 20, 24, 32, 36, 48, 53, 64])
def test_whole_numbers_of_any_width(bits, order):
    """What holds 16 bits in its highest bytes is read; anything else named, or rounded."""
    width = (bits + 7) // 8
    shifted = SAMPLES << 8 * (width - 2)
    for kind, more in ((1, b""), (1, b"\0\0"), (0xFFFE, extensible(1, bits, order=order))):
        raw = integers(shifted, width, order)
        item = decode_wav(make_wav(raw, kind, bits=bits, order=order, more=more))
        assert (item.rate, item.value.dtype) == (8000, np.int16)
        np.testing.assert_array_equal(item.value, SAMPLES)
    if width > 2:
        shifted[3] -= 1
        data = make_wav(integers(shifted, width, order), bits=bits, order=order)
        with pytest.raises(MdnnError, match=r"^a: its samples do not fit 16 bits; data\.convert"):
            decode_wav(data, name="a")
        np.testing.assert_array_equal(decode_wav(data, convert=True).value, SAMPLES)


def test_8_bit_is_unsigned():
    raw = bytes([0, 127, 128, 255])
    for kind, more in ((1, b""), (0xFFFE, extensible(1, 8))):
        item = decode_wav(make_wav(raw, kind, bits=8, more=more))
        assert item.value.tolist() == [-32768, -256, 0, 32512]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("width", [4, 8])
def test_floats(width, order):
    values = SAMPLES / 32768
    for kind, more in ((3, b"\0\0"), (0xFFFE, extensible(3, 8 * width, order=order))):
        raw = values.astype(f"{order}f{width}").tobytes()
        item = decode_wav(make_wav(raw, kind, bits=8 * width, order=order, more=more))
        np.testing.assert_array_equal(item.value, SAMPLES)
    for strange, clipped in ((0.3, 9830), (1.5, 32767), (1.0, 32767), (-2.0, -32768)):
        raw = np.array([0.0, strange], f"{order}f{width}").tobytes()
        data = make_wav(raw, 3, bits=8 * width, order=order)
        with pytest.raises(MdnnError, match="its samples do not fit 16 bits"):
            decode_wav(data)
        assert decode_wav(data, convert=True).value.tolist() == [0, clipped]
    for strange in (np.nan, np.inf):
        raw = np.array([0.0, strange], f"{order}f{width}").tobytes()
        for convert in (False, True):
            with pytest.raises(MdnnError, match="expected finite samples, received NaN or inf"):
                decode_wav(make_wav(raw, 3, bits=8 * width, order=order), convert=convert)


def test_a_law_and_mu_law():
    """The values of ITU-T G.711: 14 and 13 bits, all of them 16-bit numbers."""
    every = bytes(range(256))
    mu = decode_wav(make_wav(every, 7, bits=8)).value
    assert mu[[0, 1, 127, 128, 255]].tolist() == [-32124, -31100, 0, 32124, 0]
    a = decode_wav(make_wav(every, 6, bits=8)).value
    assert a[[0, 0x55, 0xD5, 0x80, 0x2A, 0xAA]].tolist() == [-5504, -8, 8, 5504, -32256, 32256]
    for values in (mu, a):
        np.testing.assert_array_equal(np.sort(values), np.sort(-values))
    if sys.version_info < (3, 13):
        with pytest.warns(DeprecationWarning, match="audioop"):
            import audioop
        assert audioop.ulaw2lin(every, 2) == mu.astype("<i2").tobytes()
        assert audioop.alaw2lin(every, 2) == a.astype("<i2").tobytes()


@pytest.mark.parametrize("channels", [2, 3, 5])
def test_channels(channels):
    same = np.repeat(SAMPLES, channels)
    item = decode_wav(make_wav(integers(same, 2), channels=channels))
    np.testing.assert_array_equal(item.value, SAMPLES)
    other = same.copy()
    other[1] += 2 * channels
    data = make_wav(integers(other, 2), channels=channels)
    with pytest.raises(MdnnError, match=rf"one channel .* received {channels} that differ; data"):
        decode_wav(data)
    assert decode_wav(data, convert=True).value[0] == 2


def test_chunks_around_the_samples():
    raw = integers(SAMPLES, 2)
    odd = [chunk(b"LIST", b"INFOabc"), chunk(b"fact", bytes(4)), chunk(b"bext", bytes(603))]
    odd += [chunk(b"JUNK", b""), chunk(b"PEAK", bytes(17)), chunk(b"\0\1\2\3", b"x")]
    for before, after in ((odd, ()), ((), odd), (odd[:2], odd)):
        item = decode_wav(make_wav(raw, before=before, after=after))
        np.testing.assert_array_equal(item.value, SAMPLES)
    # a chunk that is cut after the samples, bytes after the file, a wrong size of the file
    data = make_wav(raw, after=[chunk(b"LIST", bytes(40))])
    for other in (data[:-20], data + bytes(99), data[:4] + b"\xff" * 4 + data[8:]):
        np.testing.assert_array_equal(decode_wav(other).value, SAMPLES)
    # an odd number of bytes without the one that fills it up
    raw = bytes([128, 255, 0])
    assert len(decode_wav(make_wav(raw, bits=8)[:-1]).value) == 3


def test_rf64():
    raw = integers(SAMPLES, 2)
    sizes = chunk(b"ds64", struct.pack("<QQQI", 2**33, len(raw), len(SAMPLES), 0))
    data = b"RF64" + make_wav(raw, before=[sizes], size=2**32 - 1)[4:]
    np.testing.assert_array_equal(decode_wav(data).value, SAMPLES)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (make_wav(bytes(8), 2, bits=4), "received Microsoft ADPCM"),
        (make_wav(bytes(8), 17, bits=4), "received IMA ADPCM"),
        (make_wav(bytes(8), 49, bits=0), r"received GSM 6\.10"),
        (make_wav(bytes(8), 85, bits=0), "received MP3"),
        (make_wav(bytes(8), 0x1234), "received format 4660"),
        (make_wav(bytes(8), 0xFFFE, more=extensible(2, 16)), "received Microsoft ADPCM"),
        (make_wav(bytes(8), 0xFFFE, more=extensible(1, 16, bytes(14))), "of the kind 0100000000"),
        (make_wav(bytes(8), 0xFFFE), "of the kind none"),
        (make_wav(bytes(8), bits=0), "a damaged WAV: 0-bit samples of 1 channels"),
        (make_wav(bytes(9), bits=72), "a damaged WAV: 72-bit"),
        (make_wav(bytes(8), 3, bits=16), "a damaged WAV: 16-bit"),
        (make_wav(bytes(8), channels=0), "a damaged WAV: 16-bit samples of 0 channels"),
        (make_wav(bytes(8))[:32] + b"\4\0" + make_wav(bytes(8))[34:], "of 1 channels in 4 bytes"),
        (make_wav(bytes(7)), "promises 3 samples, received 3"),
        (b"RIFF\0\0\0\0WAVE", "its header ends at byte 12"),
        (make_wav(bytes(8), before=[b"LIST\xff\0\0\0"]), "the chunk 'LIST' at byte 12 leaves"),
        (make_wav(bytes(8)).replace(b"data", b"DATA"), "no chunk with samples"),
        (b"RIFF\4\0\0\0WEBP", "expected a WAV file, received 12 bytes beginning with b'RIFF"),
        (b"FORM" + bytes(99), "expected a WAV file, received 103 bytes"),
    ],
)
def test_what_is_refused_by_name(data, message):
    for convert in (False, True):
        with pytest.raises(MdnnError, match=message) as error:
            decode_wav(data, name="a.wav", convert=convert)
        assert str(error.value).startswith("a.wav: ")


TONE = np.rint(9000 * np.sin(np.arange(16_000) / 9)).astype(np.int16)


def encoded(form, subtype, samples, rate=16_000):
    soundfile = pytest.importorskip("soundfile")
    with io.BytesIO() as file:
        soundfile.write(file, samples, rate, format=form, subtype=subtype)
        return file.getvalue()


@pytest.mark.parametrize(
    ("suffix", "form", "subtype"),
    [
        *[(".flac", "FLAC", "PCM_16"), (".flac", "FLAC", "PCM_24"), (".aiff", "AIFF", "PCM_16")],
        *[(".au", "AU", "PCM_16"), (".caf", "CAF", "PCM_16"), (".aifc", "AIFF", "PCM_16")],
    ],
)
def test_formats_that_lose_nothing(tmp_path, suffix, form, subtype):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encoded(form, subtype, TONE))
    item = read_item(path)
    assert (item.rate, item.kind) == (16_000, "audio")
    np.testing.assert_array_equal(item.value, TONE)
    assert read_item(path, rate=8000).rate == 8000
    path.write_bytes(encoded(form, subtype, np.stack([TONE, TONE], axis=1)))
    np.testing.assert_array_equal(read_item(path).value, TONE)
    path.write_bytes(encoded(form, subtype, np.stack([TONE, -TONE], axis=1)))
    with pytest.raises(MdnnError, match="received 2 that differ"):
        read_item(path)
    assert not read_item(path, convert=True).value.any()


def test_24_bit_flac():
    data = encoded("FLAC", "PCM_24", TONE.astype(np.int32) << 16 | 512)
    with pytest.raises(MdnnError, match="its samples do not fit 16 bits"):
        decode_compressed(data)
    assert np.abs(decode_compressed(data, convert=True).value - TONE).max() <= 1


@pytest.mark.parametrize(
    ("suffix", "form", "subtype"),
    [(".ogg", "OGG", "VORBIS"), (".opus", "OGG", "OPUS"), (".mp3", "MP3", "MPEG_LAYER_III")],
)
def test_formats_that_lose_something_themselves(tmp_path, suffix, form, subtype):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encoded(form, subtype, TONE))
    item = read_item(path)
    assert item.rate == 16_000
    assert abs(len(item.value) - len(TONE)) < 2500
    loud = np.abs(item.value.astype(float)).mean() / np.abs(TONE.astype(float)).mean()
    assert 0.9 < loud < 1.1


def test_sounds_that_are_none(tmp_path, monkeypatch):
    pytest.importorskip("soundfile")
    path = tmp_path / "a.flac"
    for data in (b"", b"fLaC", b"hello" * 99, encoded("FLAC", "PCM_16", TONE)[:60]):
        path.write_bytes(data)
        with pytest.raises(
            MdnnError, match=r"a\.flac: (cannot be read as a sound: [\w ]+\.$|a sound|a trunc)"
        ):
            read_item(path)
    monkeypatch.setattr("mdnn.datasets.media.sound_files.MAX_SAMPLES", 999)
    path.write_bytes(encoded("FLAC", "PCM_16", TONE))
    with pytest.raises(MdnnError, match="at most 999 samples, received 16,000"):
        read_item(path)


def test_without_soundfile(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    (tmp_path / "a.mp3").write_bytes(b"ID3")
    with pytest.raises(
        MdnnError, match=r"a\.mp3: .* needs the package soundfile \(.*mdnn\[sound\]"
    ):
        read_item(tmp_path / "a.mp3")
