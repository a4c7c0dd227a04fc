"""Changes items at random, so that a network does not memorize a small dataset."""

import numpy as np

from mdnn.datasets.random_bits import unit_floats
from mdnn.tokens.items import Item
from mdnn.tokens.modalities import modality

DRAWS = 6
"""Random words that a change takes."""


def augment(item, augment, bits, longest=None):
    """Returns a slightly changed item.

    A sound becomes faster or slower (and higher or deeper: its samples are interpolated
    linearly), quieter, noisier, and begins later; a picture or the frames of a film are shifted,
    the rim repeated. A text stays as it is.

    Args:
        item: `mdnn.tokens.items.Item`.
        augment: `mdnn.config.data_tables.Augment`.
        bits: uint64 `[DRAWS]`, random bits: all the randomness that is used.
        longest: most samples of a sound; one that becomes longer is cut.

    Returns:
        An `Item` of the same kind and name, or `item` itself where nothing changes.
    """
    value = modality(item.kind).augmented(item, augment, bits, longest)
    return item if value is None else Item(item.kind, value, item.rate, item.name)


def change_sound(item, augment, bits, longest):
    """Returns other samples of a sound, int16 `[n]`; `None` where nothing changes.

    Args:
        item: `mdnn.tokens.items.Item` of a sound.
        augment, bits, longest: see `augment`.
    """
    if not (augment.speed or augment.volume or augment.noise or augment.offset):
        return None
    samples = item.value
    faster, quieter, louder, _, _, later = unit_floats(bits)
    count = max(1, round(len(samples) * np.exp(augment.speed * (2 * faster - 1))))
    count = min(count, longest or count)
    found = np.interp(
        np.linspace(0, len(samples) - 1, count), np.arange(len(samples)), samples.astype("float64")
    )
    found *= np.exp(-augment.volume * quieter)
    silence = int(later * (augment.offset + 1))
    found = np.concatenate([np.zeros(silence), found])[:longest]
    if augment.noise:
        # As often nearly none as nearly the most: loudness is heard on a logarithmic scale.
        height = np.exp(np.log1p(augment.noise) * louder) - 1
        raw = np.random.Philox(key=bits[3:5]).random_raw(len(found))
        found += height * (2 * unit_floats(raw) - 1)
    return np.clip(np.round(found), -32768, 32767).astype("int16")


def shift_pixels(item, augment, bits, longest):
    """Returns the shifted pixels of a picture or film; `None` where nothing changes.

    Args:
        item: `mdnn.tokens.items.Item` of a picture or film.
        augment, bits, longest: see `augment`; `longest` is not used.
    """
    if not augment.shift:
        return None
    pixels, most = item.value, augment.shift
    axis = len(modality(item.kind).coordinates) - 2
    down, right = ((bits[3:5] % np.uint64(2 * most + 1)).astype(int) - most).tolist()
    for step, where in ((down, axis), (right, axis + 1)):
        index = np.clip(np.arange(pixels.shape[where]) - step, 0, pixels.shape[where] - 1)
        pixels = np.take(pixels, index, axis=where)
    return pixels
