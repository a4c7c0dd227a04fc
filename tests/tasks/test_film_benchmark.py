"""The films of the benchmark: a pure function of the seed; and GIF files of films."""

import sys
from pathlib import Path

import numpy as np
import pytest

from mdnn.datasets.media.media_files import read_item, write_item
from mdnn.errors import MdnnError
from mdnn.tokens import Item

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def film_data(monkeypatch):
    """The benchmark's module, and none of its modules left behind."""
    pytest.importorskip("sklearn")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import film_data

    yield film_data
    for name in ("digits_data", "film_convlstm", "film_data", "judges"):
        sys.modules.pop(name, None)


def test_a_film_is_a_function_of_its_seed(film_data):
    picture = np.random.default_rng(0).integers(1, 256, (8, 8)).astype("uint8")
    films = [film_data.film(picture, 1, number) for number in range(30)]
    assert all(one.shape == (8, 16, 16) for one in films)
    np.testing.assert_array_equal(films[7], film_data.film(picture, 1, 7))
    assert len({one.tobytes() for one in films}) > 25
    for one in films:
        places = []
        for frame in one:
            np.testing.assert_array_equal(film_data.digit_in(frame), picture)
            y, x = np.argwhere(frame).min(axis=0)
            places.append((y, x))
        steps = np.abs(np.diff(places, axis=0))
        assert steps.max() <= film_data.SPEED
        assert steps.any()


def test_films_are_written_with_their_lines(film_data, tmp_path):
    from mdnn.datasets.items.item_splits import open_dataset

    data = film_data.Films(count=12, tests=6)
    splits = open_dataset(data.write(tmp_path / "films"), kinds=("text", "grey_video"))
    assert (len(splits.train), len(splits.validation)) == (24, 12)
    items, _ = splits.train[1].draw(np.zeros(4, "uint64"))
    assert [item.value.shape for item in items] == [(2, 16, 16), (6, 16, 16)]
    np.testing.assert_array_equal(np.concatenate([i.value for i in items]), data.train[0][0])
    judge = film_data.film_judge(*data.train)
    assert judge(data.train[0][3]) == data.train[1][3]


def test_a_conv_lstm_trains_for_as_many_steps_as_the_time_holds(film_data):
    from film_convlstm import continued, convlstm, of_weights, trained

    data = film_data.Films(count=32, tests=4)
    model = convlstm(4)
    before = [weight.numpy() for weight in model.trainable_weights]
    assert trained(model, data.train[0], minutes=1.0, step_seconds=25.0) == 3
    assert all(
        np.any(weight.numpy() != old)
        for weight, old in zip(model.trainable_weights, before, strict=True)
    )
    found = continued(model, data.test[0])
    assert (found.shape, found.dtype) == ((4, 6, 16, 16), np.uint8)
    for count in (3_000, 20_000):
        assert abs(of_weights(count).count_params() - count) < 0.2 * count


@pytest.mark.parametrize("colours", [False, True])
def test_a_film_as_a_gif(tmp_path, colours):
    rng = np.random.default_rng(4)
    film = rng.integers(0, 256, (3, 5, 6)).astype("uint8")
    if colours:
        film = np.stack([film, 255 - film, film // 2], axis=-1)
    # Equal frames are frames, too.
    film = np.concatenate([film, film[-1:], film[-1:]])
    kind = "video" if colours else "grey_video"
    write_item(Item(kind, film), tmp_path / "a.gif")
    found = read_item(tmp_path / "a.gif")
    assert found.kind == kind
    np.testing.assert_array_equal(found.value, film)


def test_what_a_gif_does_not_hold(tmp_path):
    film = np.random.default_rng(5).integers(0, 256, (2, 20, 20, 3)).astype("uint8")
    for value, kind, message in (
        (film, "video", "a GIF holds 256 colors, received 800; write a .png"),
        (film[:1, ..., 0], "grey_video", "a GIF holds films of two frames or more"),
    ):
        with pytest.raises(MdnnError, match=message):
            write_item(Item(kind, value), tmp_path / "a.gif")
    with pytest.raises(MdnnError, match=r"expected a file \.png for an item of kind grey"):
        write_item(Item("grey", film[0, ..., 0]), tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())
