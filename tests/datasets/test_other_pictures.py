"""GIF, WebP, BMP and CMYK files; grey where only grey is taken, RGB where only RGB is."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from mdnn.datasets import open_dataset
from mdnn.datasets.media.media_files import fit_colours, read_item
from mdnn.errors import MdnnError
from mdnn.tokens.items import Item

RANDOM = np.random.default_rng(5)
COLOURED = RANDOM.integers(0, 4, (5, 6, 3), dtype=np.uint8) * 85
GREY = RANDOM.integers(0, 256, (5, 6), dtype=np.uint8)


def save(path, pixels, others=(), **options):
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    if others:
        options |= {"save_all": True, "append_images": [Image.fromarray(o) for o in others]}
    picture.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".bmp"])
def test_pictures(tmp_path, suffix):
    path = save(tmp_path / f"a{suffix}", COLOURED, **{".webp": {"lossless": True}}.get(suffix, {}))
    item = read_item(path)
    assert item.kind == "image"
    np.testing.assert_array_equal(item.value, COLOURED)
    path = save(tmp_path / f"b{suffix}", GREY, **{".webp": {"lossless": True}}.get(suffix, {}))
    item = read_item(path, kinds=("grey",))
    assert item.kind == "grey"
    np.testing.assert_array_equal(item.value, GREY)
    data = path.read_bytes()
    # the last bytes of a BMP fill up its row
    for wrong in (data[: len(data) // 2], data[:-3], b"hello", b""):
        path.write_bytes(wrong)
        with pytest.raises(MdnnError, match=rf"b\{suffix}: (a truncated|expected a \w+ file)"):
            read_item(path)


def test_a_gif_that_lacks_nothing_but_its_end(tmp_path):
    """As IDLE's icons of old; one byte less, and a film, are refused."""
    path = save(tmp_path / "a.gif", COLOURED)
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    np.testing.assert_array_equal(read_item(path).value, COLOURED)
    film = save(tmp_path / "b.gif", COLOURED, [COLOURED[::-1].copy()], duration=100)
    for short in (data[:-2], data[:10], film.read_bytes()[:-1]):
        path.write_bytes(short)
        with pytest.raises(MdnnError, match=r"a\.gif: a truncated GIF"):
            read_item(path)


def test_bits_and_palettes_of_bmp(tmp_path):
    for mode in ("1", "L", "P", "RGB"):
        picture = Image.fromarray(COLOURED).convert(mode)
        item = read_item(save(tmp_path / "a.bmp", picture))
        shown = np.array(picture.convert("RGB"))
        np.testing.assert_array_equal(item.value, shown[..., 0] if item.kind == "grey" else shown)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_films(tmp_path, suffix):
    frames = [COLOURED, COLOURED[::-1].copy(), COLOURED[:, ::-1].copy()]
    options = {"lossless": True} if suffix == ".webp" else {}
    path = save(tmp_path / f"a{suffix}", frames[0], frames[1:], duration=100, **options)
    film = read_item(path)
    assert film.kind == "video"
    np.testing.assert_array_equal(film.value, np.stack(frames))


def test_transparency(tmp_path):
    pixels = np.dstack([COLOURED, np.full((5, 6), 255, np.uint8)])
    for suffix in (".gif", ".webp"):
        options = {"lossless": True, "exact": True} if suffix == ".webp" else {}
        opaque = read_item(save(tmp_path / f"a{suffix}", pixels, **options))
        np.testing.assert_array_equal(opaque.value, COLOURED)
        holed = pixels.copy()
        holed[0, 0, 3] = 0
        path = save(tmp_path / f"b{suffix}", holed, **options)
        with pytest.raises(MdnnError, match="1 of 30 pixels are transparent"):
            read_item(path)
        shown = read_item(path, convert=True).value
        assert (shown[0, 0] == 255).all()
        np.testing.assert_array_equal(shown[1:], COLOURED[1:])


def test_cmyk(tmp_path):
    picture = Image.fromarray(COLOURED).convert("CMYK")
    path = save(tmp_path / "a.jpg", picture, quality=95)
    with pytest.raises(MdnnError, match=r"8 bits and 4 colors \(CMYK\); data.convert = true"):
        read_item(path)
    item = read_item(path, convert=True)
    with Image.open(path) as expected:
        np.testing.assert_array_equal(item.value, np.array(expected.convert("RGB")))


def test_the_colours_that_a_network_takes():
    grey, film = Item("grey", GREY), Item("grey_video", GREY[None])
    assert fit_colours(grey, ("grey", "image")) is grey
    assert fit_colours(grey, ("audio",)) is grey
    rgb = fit_colours(grey, ("image",))
    assert rgb.kind == "image"
    assert (rgb.value == GREY[..., None]).all()
    back = fit_colours(rgb, ("grey",))
    np.testing.assert_array_equal(back.value, GREY)
    assert fit_colours(film, ("video",)).value.shape == (1, 5, 6, 3)
    coloured = Item("image", COLOURED, name="a.png")
    with pytest.raises(MdnnError, match=r"a\.png: expected grey, received colors"):
        fit_colours(coloured, ("grey",))
    made = fit_colours(coloured, ("grey",), convert=True).value
    with io.BytesIO() as file:
        Image.fromarray(COLOURED).convert("L").save(file, "PNG")
        assert np.abs(made.astype(int) - np.array(Image.open(file))).max() <= 1


def test_the_manifest_says_what_is_converted(tmp_path):
    holed = np.dstack([COLOURED, np.zeros((5, 6), np.uint8)])
    save(tmp_path / "a.png", holed)
    path = tmp_path / "manifest.jsonl"

    def draw(line, **options):
        path.write_text(json.dumps(line) + "\n")
        lines = open_dataset(tmp_path, 0, **options).train
        return lines[0].draw([0] * 4)[0][0]

    picture = {"image": "a.png"}
    for line, options in (
        ({"items": [picture], "convert": True}, {}),
        ({"items": [picture | {"convert": True}]}, {}),
        ({"items": [picture | {"convert": True}], "convert": False}, {}),
        ({"items": [picture]}, {"convert": True}),
    ):
        assert (draw(line, **options).value == 255).all()
    for line, options in (
        ({"items": [picture]}, {}),
        ({"items": [picture], "convert": False}, {"convert": True}),
    ):
        with pytest.raises(MdnnError, match="30 of 30 pixels are transparent"):
            draw(line, **options)
    with pytest.raises(MdnnError, match=r"jsonl:1: convert: expected true or false, received 1"):
        draw({"items": [picture], "convert": 1})
    with pytest.raises(MdnnError, match=r"item 1: convert: expected true or false, received 'no'"):
        draw({"items": [picture | {"convert": "no"}]})
