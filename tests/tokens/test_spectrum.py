"""Sounds as grids: the lapped transform, its bytes, and the tokens of the modality."""

import numpy as np
import pytest

from mdnn.config.load import Config
from mdnn.errors import MdnnError
from mdnn.tokens.item_tokenizer import ItemTokenizer
from mdnn.tokens.items import Item, accepted_item, accepted_kind, as_item
from mdnn.tokens.lapped_transform import cosines, lapped, unlapped, window
from mdnn.tokens.spectrum import Spectrum

rng = np.random.default_rng(3)
SMALL = Spectrum(bands=8, moments=4)


def tone(count, hertz=440, rate=2000, peak=20_000):
    return np.rint(peak * np.sin(2 * np.pi * hertz * np.arange(count) / rate)).astype("int16")


@pytest.mark.parametrize(("blocks", "size"), [(1, 2), (2, 2), (3, 8), (33, 32), (1, 64)])
def test_the_transform_is_inverted_and_keeps_energy(blocks, size):
    samples = rng.normal(size=blocks * size)
    found = lapped(samples, size)
    assert found.shape == (blocks, size)
    np.testing.assert_allclose(unlapped(found), samples, atol=1e-6)
    assert np.abs(unlapped(found) - samples).max() < 1e-12
    assert np.sum(found**2) == pytest.approx(np.sum(samples**2))


def test_a_block_is_the_windowed_cosine_transform_of_twice_as_many_samples():
    # The definition: coefficients of block b of 2n samples from b n - n/2 on, in a sine window.
    size, block = 16, 2
    samples = rng.normal(size=5 * size)
    n, k = np.arange(2 * size), np.arange(size)
    start = block * size - size // 2
    windowed = samples[start : start + 2 * size] * np.sin(np.pi / (2 * size) * (n + 0.5))
    basis = np.sqrt(2 / size) * np.cos(np.pi / size * np.outer(n + 0.5 - size / 2, k + 0.5))
    np.testing.assert_allclose(lapped(samples, size)[block], windowed @ basis, atol=1e-12)
    np.testing.assert_allclose(cosines(size) @ cosines(size), np.eye(size), atol=1e-12)
    np.testing.assert_allclose(np.sum(window(size) ** 2, axis=0), 1)


def test_a_tone_is_at_its_frequency():
    grid = Spectrum(bands=32, moments=0).encode(tone(1024))
    # A coefficient k is at (k + 1/2) / 32 of 1000 Hz.
    loudest = np.abs(grid[4:-4].astype(int) - 128).argmax(axis=1)
    assert set(loudest.tolist()) <= {13, 14}


@pytest.mark.parametrize("count", [1, 5, 8, 31, 32])
def test_lengths_that_are_no_multiple_are_filled_with_silence(count):
    open_ended = Spectrum(bands=8, moments=0)
    samples = tone(count)
    grid = open_ended.encode(samples)
    assert grid.shape == (-(-count // 8), 8)
    back = open_ended.decode(grid)
    assert np.abs(back[:count].astype(int) - samples).max() < 600
    assert SMALL.encode(samples).shape == (4, 8)
    assert len(SMALL.decode(SMALL.encode(samples))) == 32


def test_longer_sounds_are_cut():
    # The last sample of the grid overlaps with nothing after it.
    np.testing.assert_array_equal(SMALL.encode(tone(50)), SMALL.encode(tone(50)[:32]))


def test_silence_stays_silence():
    grid = SMALL.encode(np.zeros(32, "int16"))
    assert (grid == 128).all()
    assert not SMALL.decode(grid).any()


def test_what_is_too_loud_is_clipped():
    square = np.where(np.arange(1024) // 50 % 2, 32767, -32768).astype("int16")
    quiet = Spectrum(limit=0.05)
    grid = quiet.encode(square)
    assert {grid.min(), grid.max()} == {1, 255}
    assert np.abs(quiet.decode(grid)).max() < 32767
    # At the full limit a square wave is clipped a little, and never wraps round.
    back = Spectrum().decode(Spectrum().encode(square))
    assert np.corrcoef(back, square)[0, 1] > 0.98
    # Bytes that no sound has, from a network: of any grid come samples.
    assert Spectrum().decode(np.zeros((32, 32), int)).dtype == np.int16


@pytest.mark.parametrize(("levels", "ratio"), [(127, 36.0), (31, 24.0), (7, 10.0)])
def test_the_error_of_rounding_is_bounded(levels, ratio):
    """Signal to noise in decibels; a level is a step of mu-law: error below half a step."""
    spectrum = Spectrum(moments=0, levels=levels)
    values = np.linspace(-spectrum.loudest, spectrum.loudest, 4001)
    back = spectrum.expanded(spectrum.companded(values))
    step = np.log1p(spectrum.mu) / levels
    bound = (np.abs(values) + spectrum.loudest / spectrum.mu) * np.expm1(step / 2) + 1e-12
    assert (np.abs(back - values) <= bound).all()
    assert (np.diff(back) >= 0).all()
    samples = tone(1024) // 2 + tone(1024, 700) // 3
    error = spectrum.decode(spectrum.encode(samples)).astype(float) - samples
    assert 10 * np.log10(np.mean(samples.astype(float) ** 2) / np.mean(error**2)) > ratio


def test_tokens_and_samples_again():
    tokenizer = ItemTokenizer(rate=2000, spectrum=SMALL)
    item = Item("spectrum", tone(30), 2000)
    tokens = tokenizer.tokens(item, 3)
    assert tokens.shape == (32, 8)
    assert tokenizer.count(item) == 32
    assert set(tokens[:, 0]) == {14}
    assert set(tokens[:, 7]) == {3}
    assert tokens[9, 4:7].tolist() == [1, 1, 0]
    back = tokenizer.item(tokens[rng.permutation(32)])
    assert (back.kind, back.rate) == ("spectrum", 2000)
    np.testing.assert_array_equal(back.value, SMALL.decode(SMALL.encode(item.value)))
    with pytest.raises(MdnnError, match="expected 2000 samples per second, received 8000"):
        tokenizer.tokens(Item("spectrum", tone(30), 8000))
    tokens[:, 5] = np.arange(32) % 4
    tokens[:, 4] = np.arange(32) // 4
    with pytest.raises(MdnnError, match="expected 8 bands, received 4"):
        tokenizer.item(tokens)


def test_a_sound_becomes_the_kind_that_is_taken():
    item = as_item(tone(9))
    assert item.kind == "audio"
    assert accepted_item(item, ("text", "audio")) is item
    assert accepted_item(item, None) is item
    found = accepted_item(Item("audio", tone(9), 2000, "a"), ("text", "spectrum"))
    assert (found.kind, found.rate, found.name) == ("spectrum", 2000, "a")
    # Pictures of other values are not such a thing.
    assert accepted_kind("grey", ("image", "text")) == "grey"


def config(tokens, augment=None):
    table = {
        "data": {"source": "digits", "augment": augment or {}},
        "context": {"layout": "items", "grid": [64]},
        "tokens": tokens,
        "backbone": {"layer": [{"mixer": [{"wiring": "causal"}]}]},
        "train": {"steps": 1},
    }
    return Config.from_dict(table)


def test_config_keys():
    names = ["text", "spectrum"]
    made = config({"modalities": names, "spectrum": {"bands": 16, "levels": 31}})
    assert made.tokens.spectrum == Spectrum(bands=16, levels=31)
    assert made.loss.modality.spectrum == 1.0
    for changes, message in (
        ({"spectrum": {"bands": 7}}, "spectrum.bands: expected an even number, received 7"),
        ({"modalities": ["audio", *names]}, "two forms of sounds, expected one"),
        ({"modalities": ["text"], "spectrum": {"mu": 9.0}}, "'spectrum' in tokens.modalities"),
        ({"spectrum": {"levels": 200}}, "spectrum.levels: expected between 1 and 127"),
    ):
        with pytest.raises(MdnnError, match=message):
            config({"modalities": names, **changes})
    with pytest.raises(MdnnError, match=r"augment\.answers: expected kinds of text, spectrum, rec"):
        config({"modalities": names}, {"answers": ["grey"]})
