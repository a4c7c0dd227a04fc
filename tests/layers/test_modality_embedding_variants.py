"""ModalityEmbedding of pixels, sounds, blanks and ends, of the paper's own tables, and of bits."""

import keras
import numpy as np
import pytest
from backends import to_numpy, values
from layer_gradients import output_and_gradients

from mdnn.layers import ModalityEmbedding
from mdnn.layers.initializers import OrderedRows, ZeroFirstRow

KINDS = ("text", "image", "grey", "video", "grey_video", "audio", "blank", "end")


def make(width=3, **kwargs):
    """A built layer with weights far from zero, and its tables by name."""
    layer = ModalityEmbedding(width, **kwargs)
    layer.build((None, 5, 8))
    rng = np.random.default_rng(0)
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape))
    return layer, {weight.name: to_numpy(weight) for weight in layer.weights}


def tokens(*rows):
    """Token rows `[1, n, 8]`."""
    found = np.zeros((1, len(rows), 8), "int32")
    for position, row in enumerate(rows):
        found[0, position, : len(row)] = row
    return found


def test_tables():
    _, tables = make(modalities=KINDS, places=True, base=4, digits=2)
    shapes = {name: table.shape[0] for name, table in tables.items()}
    assert shapes == {
        **{"text_byte_1": 17, "text_byte_2": 256, "text_byte_3": 256, "text_place_1": 8},
        **{f"image_byte_{k}": 256 for k in (1, 2, 3)},
        **{f"image_place_{k}": 8 for k in (1, 2)},
        **{"grey_byte_1": 256, "grey_place_1": 8, "grey_place_2": 8},
        **{f"video_byte_{k}": 256 for k in (1, 2, 3)},
        **{f"video_place_{k}": 8 for k in (1, 2, 3)},
        **{"grey_video_byte_1": 256, **{f"grey_video_place_{k}": 8 for k in (1, 2, 3)}},
        **{"audio_byte_1": 256, "audio_byte_2": 256, "audio_place_1": 8},
        **{"blank_byte_1": 16, **{f"blank_place_{k}": 8 for k in (1, 2, 3)}},
        "end_byte_1": 1,
    }


@pytest.mark.parametrize(
    ("row", "rows"),
    [
        (
            (3, 9, 99, 200, 5, 2),
            {"image_byte_1": 9, "image_byte_2": 99, "image_byte_3": 200}
            | {"image_place_1": (1, 5), "image_place_2": (2, 4)},
        ),
        ((4, 17, 0, 0, 3, 4), {"grey_byte_1": 17, "grey_place_1": (3, 4), "grey_place_2": (0, 5)}),
        ((7, 128, 1, 0, 15), {"audio_byte_1": 128, "audio_byte_2": 1, "audio_place_1": (3, 7)}),
        # a blank that asks for a pixel at y 1, x 2
        (
            (8, 4, 0, 0, 1, 2),
            {"blank_byte_1": 4, "blank_place_1": (1, 4), "blank_place_2": (2, 4)}
            | {"blank_place_3": (0, 4)},
        ),
        # one that leaves everything open
        (
            (8,),
            {"blank_byte_1": 0, **{f"blank_place_{k}": (0, 4) for k in (1, 2, 3)}},
        ),
        ((9,), {"end_byte_1": 0}),
        # whatever else an end's row says
        ((9, 3, 4, 5, 6, 7), {"end_byte_1": 0}),
    ],
    ids=["image", "grey", "audio", "blank", "blank, undecided", "end", "end with places"],
)
def test_a_position_is_the_sum_of_its_rows(row, rows):
    layer, tables = make(modalities=KINDS, places=True, base=4, digits=2)
    expected = 0
    for name, numbers in rows.items():
        for number in numbers if isinstance(numbers, tuple) else (numbers,):
            expected = expected + tables[name][number]
    found = values(layer, tokens(row))[0, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_papers_own_table_of_sounds():
    layer, tables = make(modalities=("audio", "grey"), table="full", width=2)
    assert {name: table.shape for name, table in tables.items()} == {
        "audio_byte_1": (65_536, 2),
        "grey_byte_1": (256, 2),
    }
    found = values(layer, tokens((7, 255, 255), (7, 0, 0), (7, 1, 2), (4, 9)))[0]
    expected = [tables["audio_byte_1"][row] for row in (65_535, 0, 258)]
    np.testing.assert_allclose(found, [*expected, tables["grey_byte_1"][9]], rtol=1e-6)


def test_a_gradient_reaches_every_table():
    layer, tables = make(modalities=KINDS, places=True, items=True, base=4, digits=2)
    rows = tokens(*((kind, 3, 2, 1, 3, 2, 1, 1) for kind in (1, 3, 4, 5, 6, 7, 8, 9)))
    weights = np.random.default_rng(1).normal(size=(1, 8, 3)).astype("float32")
    _, _, gradients = output_and_gradients(layer, rows.astype("float32"), weights)
    assert len(gradients) == len(tables)
    for name, gradient in zip(tables, gradients, strict=True):
        assert np.abs(gradient).max() > 0, name


def test_bits():
    layer, tables = make(
        width=45,
        modalities=("audio", "end"),
        table="bits",
        places=True,
        items=True,
        base=4,
        digits=2,
    )
    assert not tables
    found = values(layer, tokens((7, 128, 3, 0, 5, 0, 0, 2), (9,), (0, 1), (1, 1)))[0]

    def signs(number, bits):
        return [1 if number >> bit & 1 else -1 for bit in range(bits - 1, -1, -1)]

    sound = signs(7, 4) + signs(128, 8) + signs(3, 8) + signs(0, 8) + signs(5, 4) + [-1] * 8
    sound += signs(2, 4)
    assert found[0].tolist() == [*sound, 0]
    assert found[1].tolist() == [1, -1, -1, 1, *[-1] * 40, 0]
    # Padding, and what the layer was not made for.
    assert not found[2:].any()


def near_rows(table):
    """Mean cosines of rows with the next row and with the one half a table further."""
    rows = table / np.linalg.norm(table, axis=-1, keepdims=True)
    half = len(rows) // 2
    return (rows[1:] * rows[:-1]).sum(-1).mean(), (rows[half:] * rows[:half]).sum(-1).mean()


def test_an_ordered_start():
    layer = ModalityEmbedding(32, ("text", "grey", "audio"), start="ordered", places=True)
    layer.build((None, 5, 8))
    tables = {weight.name: to_numpy(weight) for weight in layer.weights}
    for name in ("grey_byte_1", "audio_byte_1", "audio_byte_2"):
        next_row, far = near_rows(tables[name])
        assert next_row > 0.98, name
        assert far < 0.7, name
    for name in ("text_byte_3", "text_place_1", "grey_place_2"):
        assert abs(near_rows(tables[name])[0]) < 0.3, name
    assert tables["audio_byte_2"].std() < tables["audio_byte_1"].std() / 5


@pytest.mark.parametrize(("rows", "width"), [(256, 16), (65_536, 32)])
def test_ordered_rows_tell_their_number(rows, width):
    """A linear layer reads the number from a row; no two rows are equal."""
    table = to_numpy(OrderedRows(seed=1)((rows, width))).astype("float64")
    assert 0.5 < np.sqrt((table**2).mean()) / 0.05 < 2
    numbers = np.linspace(-1, 1, rows)
    inputs = np.concatenate([table, np.ones((rows, 1))], axis=-1)
    read = inputs @ np.linalg.lstsq(inputs, numbers, rcond=None)[0]
    assert np.abs(read - numbers).max() < 1e-3
    assert np.linalg.norm(np.diff(table, axis=0), axis=-1).min() > 1e-5


def test_ordered_tables_start_different():
    layer = ModalityEmbedding(8, ("image",), start="ordered")
    layer.build((None, 5, 8))
    first, second, third = (to_numpy(weight) for weight in layer.weights)
    assert abs(first - second).max() > 0.01
    assert abs(second - third).max() > 0.01


def test_ordered_rows_config():
    start = OrderedRows(0.1, seed=3)
    again = OrderedRows.from_config(start.get_config())
    np.testing.assert_array_equal(to_numpy(start((4, 2))), to_numpy(again((4, 2))))
    assert OrderedRows().get_config() == {"stddev": 0.05, "seed": None}
    assert np.isfinite(to_numpy(start((1, 2)))).all()


def test_characters_of_one_block_share_nothing_at_first():
    layer = ModalityEmbedding(8, ("text", "image"))
    layer.build((None, 5, 8))
    tables = {weight.name: to_numpy(weight) for weight in layer.weights}
    for name, table in tables.items():
        assert (table[0] == 0).all() == (name in ("text_byte_1", "text_byte_2")), name
        assert table[1:].std() == pytest.approx(0.02, rel=0.2), name
    layer = ModalityEmbedding(8, table="full")
    layer.build((None, 5, 8))
    assert abs(to_numpy(layer.weights[0])[0]).max() > 0


def test_rows_that_start_at_zero_config():
    rows = keras.initializers.RandomNormal(stddev=0.3, seed=5)
    start = ZeroFirstRow(rows)
    again = ZeroFirstRow.from_config(start.get_config())
    np.testing.assert_array_equal(to_numpy(start((4, 2))), to_numpy(again((4, 2))))
    assert (to_numpy(start((4, 2)))[0] == 0).all()
    other = ZeroFirstRow.from_config(start.get_config() | {"seed": 6})
    assert (to_numpy(other((4, 2))) != to_numpy(start((4, 2))))[1:].all()
    assert ZeroFirstRow(keras.initializers.RandomNormal()).get_config()["seed"] is None


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"start": "sorted"}, "start: expected 'random' or 'ordered', received 'sorted'"),
        ({"table": "bits", "width": 27}, "a channel for each of 28 bits, received width=27"),
        (
            {"table": "bits", "width": 57, "places": True, "base": 2, "digits": 10},
            "a channel for each of 58 bits, received width=57",
        ),
        (
            {"table": "bits", "modalities": ("text", "word"), "letters": [[97]]},
            "table 'bits' does not support",
        ),
    ],
)
def test_errors(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make(**kwargs)
