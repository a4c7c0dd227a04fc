"""Random changes of items: bounded, pure, and only where they are asked for."""

import numpy as np
import pytest

from mdnn.config.data_tables import Augment, Context
from mdnn.config.training_tables import Objectives
from mdnn.datasets import ItemBatches, open_dataset
from mdnn.datasets.items.augment import DRAWS, augment
from mdnn.datasets.items.example import Example
from mdnn.datasets.random_bits import raw_bits
from mdnn.tokens import Item, ItemTokenizer
from mdnn.tokens.spectrum import Spectrum

SOUND = Item("audio", (20_000 * np.sin(np.arange(400) / 5)).astype("int16"), 1000, "a tone")


def changed(item, spec, number=0, longest=None):
    return augment(item, spec, raw_bits(5, number, DRAWS, 1), longest).value


def test_nothing_asked_for_changes_nothing():
    assert augment(SOUND, Augment(), raw_bits(0, 0, DRAWS, 1)) is SOUND
    text = Item("text", "seven")
    assert augment(text, Augment(speed=0.5, shift=3), raw_bits(0, 0, DRAWS, 1)) is text


def test_speed_is_bounded_and_reaches_both_ways():
    counts = [len(changed(SOUND, Augment(speed=0.2), n)) for n in range(50)]
    assert min(counts) >= 400 * np.exp(-0.2) - 1
    assert max(counts) <= 400 * np.exp(0.2) + 1
    assert min(counts) < 380
    assert max(counts) > 420
    assert max(len(changed(SOUND, Augment(speed=0.2), n, longest=410)) for n in range(50)) == 410


def test_a_faster_tone_is_higher():
    found = [changed(SOUND, Augment(speed=0.5), n) for n in range(20)]
    crossings = [np.count_nonzero(np.diff(np.sign(value))) for value in found]
    # the periods stay, the samples that they take change
    assert max(crossings) - min(crossings) <= 2
    assert max(map(len, found)) > 1.5 * min(map(len, found))


def test_volume_goes_down_only():
    peaks = [np.abs(changed(SOUND, Augment(volume=1.0), n)).max() for n in range(50)]
    assert max(peaks) <= 20_000
    assert min(peaks) >= 20_000 * np.exp(-1.0) - 1
    assert max(peaks) > 15_000
    assert min(peaks) < 10_000


def test_noise_is_bounded():
    differences = [
        np.abs(changed(SOUND, Augment(noise=300), n).astype(int) - SOUND.value).max()
        for n in range(50)
    ]
    assert 200 < max(differences) <= 300
    assert min(differences) < 20


def test_an_offset_is_silence_before_the_sound():
    starts = []
    for number in range(60):
        value = changed(SOUND, Augment(offset=9), number)
        starts.append(len(value) - 400)
        assert not value[: starts[-1]].any()
        np.testing.assert_array_equal(value[starts[-1] :], SOUND.value)
    assert set(starts) == set(range(10))
    assert len(changed(SOUND, Augment(offset=9), 0, longest=400)) == 400


@pytest.mark.parametrize(("kind", "shape"), [("grey", (5, 6)), ("grey_video", (2, 5, 6))])
def test_pictures_are_shifted(kind, shape):
    value = np.arange(np.prod(shape)).reshape(shape).astype("uint8")
    found = {changed(Item(kind, value), Augment(shift=1), n).tobytes() for n in range(100)}
    expected = set()
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            padded = np.pad(value, [(0, 0)] * (len(shape) - 2) + [(1, 1), (1, 1)], mode="edge")
            expected.add(padded[..., 1 - down : 6 - down, 1 - right : 7 - right].tobytes())
    assert found == expected


def test_batches_vary_prompts_alone():
    lines = open_dataset("digits", seed=1).train
    context = Context((4, 32), layout="items")

    def batch(spec, step=3):
        made = ItemBatches(
            lines, ItemTokenizer(), context, 16, 1, Objectives(), order="pairs", augment=spec
        )
        return made.at(step)

    plain, shifted = batch(Augment()), batch(Augment(shift=2))
    different = (plain["tokens"] != shifted["tokens"]).any(axis=(1, 2))
    is_picture_first = plain["tokens"][:, 0, 0] == 4
    assert different.any()
    assert not different[~is_picture_first].any()
    np.testing.assert_array_equal(batch(Augment(shift=2))["tokens"], shifted["tokens"])


def test_answers_change_where_their_kind_is_named_and_without_noise():
    sounds = tuple(Item("spectrum", SOUND.value[:64], 1000) for _ in range(2))
    lines = [Example(((Item("text", "a"),), sounds), order="given")]
    tokenizer = ItemTokenizer(rate=1000, spectrum=Spectrum(bands=8, moments=8))

    def batch(spec):
        context = Context((10, 8), layout="items", pad_to_multiple_of=8)
        made = ItemBatches(lines, tokenizer, context, 8, 1, Objectives(), augment=spec)
        return made.at(0)["tokens"][:, 8:72, 1]

    plain = batch(Augment())
    assert (plain == plain[0]).all()
    np.testing.assert_array_equal(batch(Augment(volume=1.0, offset=4)), plain)
    moved = batch(Augment(offset=4, answers=("spectrum",)))
    assert len(np.unique(moved, axis=0)) > 2
    np.testing.assert_array_equal(batch(Augment(noise=500.0, answers=("spectrum",))), plain)
