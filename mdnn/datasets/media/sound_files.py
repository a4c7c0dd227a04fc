"""Sounds as the bytes of files, and back; other rates."""

import functools
import io
import wave

import numpy as np
import soxr

from mdnn.datasets.media.conversion import to_16_bit, to_mono
from mdnn.datasets.media.wav_header import A_LAW, FLOAT, MU_LAW, read_wav_header
from mdnn.errors import MdnnError
from mdnn.tokens.items import Item
from mdnn.tokens.modalities import modality

MAX_SAMPLES = 256_000_000
"""Samples that a sound may have, before and after it is given another rate."""

RATES = (100, 768_000)
"""The lowest and the highest rate of a sound, samples per second."""


def decode_wav(data, rate=None, name="a WAV", convert=False):
    """Returns the sound in the bytes of a WAV file.

    PCM of any width, floats (full scale 1.0), A-law and mu-law are read, in RIFF, RIFX and RF64
    files and as WAVE_FORMAT_EXTENSIBLE, where one channel of 16 bits holds all of it.

    Args:
        data: Bytes.
        rate: int, samples per second that are wanted; `None`: the file's own.
        name: str, the item's name, which error messages show.
        convert: bool, whether channels that differ are averaged, and samples that do not fit
            16 bits rounded and clipped.

    Returns:
        An `Item` of kind audio.

    Raises:
        MdnnError: bytes that are not a WAV file, no sample, fewer samples than the header
            promises, a rate out of range; without `convert` channels that differ and samples
            that do not fit 16 bits.
    """
    header = read_wav_header(data, name)
    frame = header.channels * header.width
    promised = header.size // frame
    raw = memoryview(data)[header.start : header.start + promised * frame]
    if header.size % frame or len(raw) != promised * frame:
        raise MdnnError(
            f"{name}: a truncated WAV: its header promises {promised} samples, "
            f"received {len(raw) // frame}"
        )
    if not promised:
        raise MdnnError(f"{name}: a sound without samples")
    _check_rate(header.rate, name)
    samples, full_scale = _wav_samples(raw, header)
    samples = to_mono(samples.reshape(promised, header.channels), name, convert)
    samples = to_16_bit(samples, full_scale, name, convert)
    return _at_rate(samples, header.rate, rate, name)


def decode_compressed(data, rate=None, name="a sound", convert=False):
    """Returns the sound in the bytes of a FLAC, OGG (Vorbis, Opus), MP3, AIFF, AU or CAF file.

    The package soundfile decodes it. Formats that lose something themselves (Vorbis, Opus, MP3)
    are rounded to 16 bits without a word, as every player does.

    Args:
        data: Bytes.
        rate: int, samples per second that are wanted; `None`: the file's own.
        name: str, the item's name, which error messages show.
        convert: bool, as of `decode_wav`.

    Returns:
        An `Item` of kind audio.

    Raises:
        MdnnError: soundfile is not installed, bytes that it cannot read, no sample, more than
            `MAX_SAMPLES`, a rate out of range; without `convert` channels that differ and samples
            that do not fit 16 bits.
    """
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: its library is missing
        raise MdnnError(
            f"{name}: this kind of sound needs the package soundfile ({error}): "
            "pip install 'mdnn[sound]'"
        ) from None
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            frames, channels, own, subtype = (
                sound.frames,
                sound.channels,
                sound.samplerate,
                sound.subtype,
            )
            if frames * channels > MAX_SAMPLES:
                raise MdnnError(
                    f"{name}: at most {MAX_SAMPLES:,} samples, received {frames * channels:,}"
                )
            dtype = _DTYPES.get(subtype, "float64")
            samples = sound.read(frames, dtype=dtype, always_2d=True)
    except MdnnError:
        raise
    except Exception as error:  # decoders raise whatever they like on damaged files
        # without the name of the object that it was read from
        reason = str(error).rpartition(": ")[2]
        raise MdnnError(f"{name}: cannot be read as a sound: {reason}") from None
    if not len(samples):
        raise MdnnError(f"{name}: a sound without samples")
    # of MP3 the number of samples is an estimate
    if len(samples) < frames and subtype in _DTYPES:
        raise MdnnError(
            f"{name}: a truncated sound: its header promises {frames} samples, "
            f"received {len(samples)}"
        )
    _check_rate(own, name)
    samples = to_mono(samples, name, convert)
    full_scale = {"int16": 2**15, "int32": 2**31, "float64": 1.0}[dtype]
    exact = subtype in ("VORBIS", "OPUS") or subtype.startswith("MPEG")
    samples = to_16_bit(samples, full_scale, name, convert, exact)
    return _at_rate(samples, own, rate, name)


# Types of soundfile's whole-number samples; others are read as floats.
_DTYPES = {"PCM_S8": "int16", "PCM_U8": "int16", "PCM_16": "int16"} | dict.fromkeys(
    ("PCM_24", "PCM_32"), "int32"
)


def _check_rate(rate, name):
    if not isinstance(rate, int | np.integer) or not RATES[0] <= rate <= RATES[1]:
        raise MdnnError(
            f"{name}: expected {RATES[0]} to {RATES[1]} samples per second, received {rate}"
        )


def _at_rate(samples, own, rate, name):
    """Returns the item of samples, at a rate that is wanted."""
    if rate is None:
        return Item("audio", samples, rate=own, name=name)
    return Item("audio", resample(samples, own, rate, name), rate=rate, name=name)


def _wav_samples(raw, header):
    """Returns the samples of a WAV file, all channels in a row, and their full scale."""
    order = ">" if header.big_endian else "<"
    if header.format in (A_LAW, MU_LAW):
        table = _a_law() if header.format == A_LAW else _mu_law()
        return table[np.frombuffer(raw, dtype=np.uint8)], 2**15
    if header.format == FLOAT:
        return np.frombuffer(raw, dtype=f"{order}f{header.width}").astype(np.float64), 1.0
    if header.width == 1:
        # 8-bit samples are unsigned
        return (np.frombuffer(raw, dtype=np.uint8).astype(np.int16) - 128) * 256, 2**15
    if header.width in (2, 4, 8):
        samples = np.frombuffer(raw, dtype=f"{order}i{header.width}")
        return samples.astype(samples.dtype.newbyteorder("=")), 2 ** (8 * header.width - 1)
    # 3, 5, 6 and 7 bytes: the highest bytes of a number of 4 or 8
    wide = 4 if header.width == 3 else 8
    bytes_ = np.frombuffer(raw, dtype=np.uint8).reshape(-1, header.width)
    padded = np.zeros((len(bytes_), wide), dtype=np.uint8)
    padded[:, wide - header.width :] = bytes_[:, ::-1] if header.big_endian else bytes_
    return padded.view(f"<i{wide}")[:, 0].astype(f"i{wide}"), 2 ** (8 * wide - 1)


@functools.cache
def _mu_law():
    """Returns the 16-bit samples of the 256 bytes of mu-law (ITU-T G.711)."""
    byte = ~np.arange(256) & 255
    size = (((byte & 15) << 3) + 132 << (byte >> 4 & 7)) - 132
    return np.where(byte & 128, -size, size).astype(np.int16)


@functools.cache
def _a_law():
    """Returns the 16-bit samples of the 256 bytes of A-law (ITU-T G.711)."""
    byte = np.arange(256) ^ 0x55
    exponent = byte >> 4 & 7
    size = ((byte & 15) << 4) + 8 + np.where(exponent > 0, 256, 0)
    size = size << np.maximum(exponent - 1, 0)
    return np.where(byte & 128, size, -size).astype(np.int16)


def encode_wav(item, rate=None):
    """Returns the bytes of a WAV file that holds a sound, 16-bit PCM.

    Args:
        item: An `Item` of kind audio or spectrum.
        rate: int, samples per second where the item does not say.

    Raises:
        MdnnError: an item of another kind, a sound whose rate is not known.
    """
    if modality(item.kind).key != "audio":
        raise MdnnError(f"{item.name or 'an item'}: a WAV cannot hold {item.kind}")
    if item.rate is None and rate is None:
        raise MdnnError(f"{item.name or 'a sound'}: its samples per second are not known")
    with io.BytesIO() as file:
        with wave.open(file, "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(item.rate if item.rate is not None else rate)
            sound.writeframes(item.value.astype("<i2").tobytes())
        return file.getvalue()


def resample(samples, rate, new_rate, name="a sound"):
    """Returns a sound at another rate, by the resampler soxr (quality HQ).

    Computed in float32, without dither: the same samples give the same result.

    Args:
        samples: int16 `[samples]`.
        rate: int, samples per second of `samples`.
        new_rate: int, samples per second of the result.
        name: str, the sound's label in error messages.

    Returns:
        int16 `[about samples * new_rate / rate]`; `samples` itself where the rates are equal.

    Raises:
        MdnnError: a rate out of range, a result without samples or of more than `MAX_SAMPLES`.
    """
    for value in (rate, new_rate):
        _check_rate(value, name)
    if rate == new_rate:
        return samples
    wanted = len(samples) * new_rate // rate
    if max(wanted, len(samples)) > MAX_SAMPLES:
        raise MdnnError(
            f"{name}: at most {MAX_SAMPLES:,} samples, received {len(samples):,} "
            f"({wanted:,} at {new_rate} per second)"
        )
    changed = soxr.resample(samples.astype(np.float32), rate, new_rate, quality="HQ")
    if not len(changed):
        raise MdnnError(
            f"{name}: {len(samples)} samples at {rate} per second are none at {new_rate}"
        )
    return np.clip(np.rint(changed), -32768, 32767).astype(np.int16)
