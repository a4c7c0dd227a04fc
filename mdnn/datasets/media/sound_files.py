"""Sounds as the bytes of WAV files, and back; other rates."""

import io
import wave

import numpy as np
import soxr

from mdnn.errors import MdnnError
from mdnn.tokens.items import Item

MAX_SAMPLES = 256_000_000
"""Samples that a sound may have, before and after it is given another rate."""

RATES = (100, 768_000)
"""The lowest and the highest rate of a sound, samples per second."""


def decode_wav(data, rate=None, name="a WAV"):
    """Returns the sound in the bytes of a WAV file.

    Args:
        data: Bytes.
        rate: Integer, samples per second that are wanted; `None`: the file's own.
        name: String, what errors and the item are called.

    Returns:
        An `Item` of kind audio.

    Raises:
        MdnnError: Bytes that are no WAV, samples that are not 16-bit PCM, more than one
            channel, no sample, fewer samples than the header promises, a rate out of range.
    """
    try:
        with wave.open(io.BytesIO(data)) as sound:
            channels, width, own, promised = sound.getparams()[:4]
            if width != 2:
                raise wave.Error(f"{8 * width} bit samples")
            if channels != 1:
                raise MdnnError(
                    f"{name}: expected one channel (mono), received {channels}: mix them first"
                )
            # reads what is there, whatever the header promises
            raw = sound.readframes(promised)
    except wave.Error as error:
        raise MdnnError(f"{name}: expected a WAV file of 16 bit PCM, received {error}") from None
    # RuntimeError: a chunk that leaves the file
    except (EOFError, RuntimeError):
        what = "a truncated or damaged WAV: its header" if data else "an empty file"
        raise MdnnError(f"{name}: {what}") from None
    if len(raw) != 2 * promised:
        raise MdnnError(
            f"{name}: a truncated WAV: its header promises {promised} samples, "
            f"received {len(raw) // 2}"
        )
    if not promised:
        raise MdnnError(f"{name}: a sound without samples")
    samples = np.frombuffer(raw, dtype="<i2").astype(np.int16)
    if not RATES[0] <= own <= RATES[1]:
        raise MdnnError(
            f"{name}: expected {RATES[0]} to {RATES[1]} samples per second, received {own}"
        )
    if rate is None:
        return Item("audio", samples, rate=own, name=name)
    return Item("audio", resample(samples, own, rate, name), rate=rate, name=name)


def encode_wav(item, rate=None):
    """Returns the bytes of a WAV file that holds a sound, 16-bit PCM.

    Args:
        item: An `Item` of kind audio.
        rate: Integer, samples per second where the item does not say.

    Raises:
        MdnnError: An item of another kind, a sound whose rate is not known.
    """
    if item.kind != "audio":
        raise MdnnError(f"{item.name or 'an item'}: a WAV holds no {item.kind}")
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
        rate: Integer, samples per second of `samples`.
        new_rate: Integer, samples per second of the result.
        name: String, what errors call the sound.

    Returns:
        int16 `[about samples * new_rate / rate]`; `samples` itself where the rates are equal.

    Raises:
        MdnnError: A rate out of range, a result without samples or of more than `MAX_SAMPLES`.
    """
    for value in (rate, new_rate):
        if not isinstance(value, int | np.integer) or not RATES[0] <= value <= RATES[1]:
            raise MdnnError(
                f"{name}: expected {RATES[0]} to {RATES[1]} samples per second, received {value}"
            )
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
