"""WAV bytes to items and back; other rates."""

import io
import struct
import tracemalloc
import wave

import numpy as np
import pytest

from mdnn.datasets.media import sound_files
from mdnn.datasets.media.sound_files import decode_wav, encode_wav, resample
from mdnn.errors import MdnnError
from mdnn.tokens.items import Item

SAMPLES = np.array([0, 1, -1, 32767, -32768, 256, 255], np.int16)


RAW = SAMPLES.tobytes()


def wav(raw=RAW, channels=1, width=2, rate=8000):
    with io.BytesIO() as file:
        with wave.open(file, "wb") as sound:
            sound.setparams((channels, width, rate, 0, "NONE", ""))
            sound.writeframes(raw)
        return file.getvalue()


def promising(data, size):
    """WAV bytes whose header says another size of the samples."""
    at = data.index(b"data") + 4
    return data[:at] + struct.pack("<I", size) + data[at + 4 :]


def test_wav_round_trip_is_exact():
    every = np.arange(-32768, 32768).astype(np.int16)
    back = decode_wav(encode_wav(Item("audio", every, rate=44_100)), name="a.wav")
    assert (back.kind, back.rate, back.name) == ("audio", 44_100, "a.wav")
    assert back.value.dtype == np.int16
    np.testing.assert_array_equal(back.value, every)
    # the sound's own rate goes first
    assert decode_wav(encode_wav(Item("audio", SAMPLES), rate=16_000)).rate == 16_000
    assert decode_wav(encode_wav(Item("audio", SAMPLES, rate=8000), rate=16_000)).rate == 8000


def test_chunks_before_the_samples_are_passed_over():
    data = wav()
    at = data.index(b"data")
    data = data[:at] + b"LIST" + struct.pack("<I", 3) + b"abc\0" + data[at:]
    data = data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    np.testing.assert_array_equal(decode_wav(data).value, SAMPLES)


def test_every_truncated_wav_is_refused():
    data = wav()
    for length in range(len(data)):
        with pytest.raises(MdnnError, match=r"^a\.wav: "):
            decode_wav(data[:length], name="a.wav")


def test_damaged_wavs_give_one_error_or_a_sound():
    data = wav()
    random = np.random.default_rng(4)
    refused = 0
    for number in range(400):
        damaged = bytearray(data)
        damaged[number % len(data)] ^= 1 << random.integers(8)
        try:
            assert decode_wav(bytes(damaged)).value.dtype == np.int16
        except MdnnError:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "an empty file"),
        (b"\x89PNG\r\n\x1a\n....", "expected a WAV file, received 12 bytes beginning"),
        (wav(width=4, raw=bytes([1, 0, 0, 0])), "its samples do not fit 16 bits; data.convert"),
        (wav()[:20] + b"\2\0" + wav()[22:], "A-law or mu-law samples, received Microsoft ADPCM"),
        (wav(raw=bytes([1, 0, 2, 0]), channels=2), r"one channel \(mono\) .* 2 that differ"),
        (wav(raw=b""), "a sound without samples"),
        (promising(wav(), 16), "promises 8 samples, received 7"),
        (promising(wav(), 2**32 - 1), "promises 2147483647 samples, received 7"),
        (wav(rate=1), "100 to 768000 samples per second, received 1"),
        (wav(rate=800_000), "received 800000"),
    ],
)
@pytest.mark.parametrize("rate", [None, 8000])
def test_bad_wav(data, message, rate):
    with pytest.raises(MdnnError, match=message) as error:
        decode_wav(data, rate, "a.wav")
    assert str(error.value).startswith("a.wav: ")


def test_a_headers_word_allocates_nothing():
    data = promising(wav(), 2**32 - 2)
    tracemalloc.start()
    try:
        with pytest.raises(MdnnError, match="promises"):
            decode_wav(data)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("rate", [4000, 16_000, 11_025])
def test_a_tone_keeps_its_pitch_and_loudness(rate):
    time = np.arange(8000) / 8000
    tone = np.rint(20_000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
    item = decode_wav(encode_wav(Item("audio", tone, rate=8000)), rate)
    assert item.rate == rate
    assert item.value.dtype == np.int16
    assert len(item.value) == rate
    expected = 20_000 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    # the edges, where the filter finds silence beyond the sound, are left out
    inside = slice(rate // 10, -rate // 10)
    assert np.abs(item.value[inside] - expected[inside]).max() < 20
    np.testing.assert_array_equal(resample(tone, 8000, rate), item.value)


def test_what_is_above_half_the_rate_is_filtered_out():
    high = np.rint(20_000 * np.sin(2 * np.pi * 3500 * np.arange(8000) / 8000)).astype(np.int16)
    assert np.abs(resample(high, 8000, 4000)[400:-400]).max() < 100


def test_loud_sounds_are_clipped_not_wrapped():
    square = np.where(np.arange(4000) % 40 < 20, 32767, -32768).astype(np.int16)
    up = resample(square, 8000, 16_000)
    assert up.max() == 32767
    assert up.min() == -32768
    # a wrapped overshoot would have the other sign in the middle of a half wave
    assert (up[2000:6000].reshape(-1, 80)[:, 10:30] > 20_000).all()


def test_an_equal_rate_changes_nothing():
    assert resample(SAMPLES, 8000, 8000) is SAMPLES


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: resample(SAMPLES, 8000, 0), "x: expected 100 to 768000 .* received 0"),
        (lambda: resample(SAMPLES, 8000, 8000.5), r"received 8000\.5"),
        (lambda: resample(SAMPLES[:1], 192_000, 8000), "1 samples at 192000 per second are none"),
        (lambda: encode_wav(Item("audio", SAMPLES)), "its samples per second are not known"),
        (lambda: encode_wav(Item("text", "a")), "a WAV cannot hold text"),
    ],
)
def test_bad_requests(call, message):
    with pytest.raises(MdnnError, match=message.removeprefix("x: ")):
        call()


def test_a_low_rate_in_a_header_does_not_grow_a_sound_without_limit(monkeypatch):
    monkeypatch.setattr(sound_files, "MAX_SAMPLES", 1000)
    with pytest.raises(MdnnError, match=r"at most 1,000 samples, received 7 \(13,440 at 192000"):
        decode_wav(wav(rate=100), 192_000)
