"""Weights of the lineage on disk, and the doubling of a network, against numpy."""

import keras
import numpy as np
import pytest
from lineage_reference import PUBLISHED, parallel, published, random_weights, sequential

from mdnn.errors import MdnnError
from mdnn.paper.weights import double, load_weights, save_weights


@pytest.mark.parametrize("modes", ["separate", "shared", ["separate", "shared", "separate"]])
def test_round_trip(tmp_path, modes):
    weights = random_weights([2, 3, 4], modes)
    save_weights(weights, tmp_path / "new" / "folder")
    files = sorted(path.name for path in (tmp_path / "new" / "folder").iterdir())
    assert files == ["axis_0.npy", "axis_1.npy", "axis_2.npy"]
    first = np.load(tmp_path / "new" / "folder" / "axis_0.npy", allow_pickle=False)
    np.testing.assert_array_equal(first, weights[-3])
    loaded = load_weights(str(tmp_path / "new" / "folder"))
    assert list(loaded) == [-3, -2, -1]
    for axis, kernel in weights.items():
        assert loaded[axis].dtype == kernel.dtype
        np.testing.assert_array_equal(loaded[axis], kernel)


def test_writes_tensors_and_variables(tmp_path):
    tensor = keras.ops.cast(keras.ops.ones((2, 2)), "bfloat16")
    variable = keras.Variable(np.full((3, 3), 0.5, "float32"))
    save_weights({-2: tensor, -1: variable}, tmp_path)
    loaded = load_weights(tmp_path)
    assert loaded[-2].dtype == loaded[-1].dtype == "float32"
    np.testing.assert_array_equal(loaded[-2], np.ones((2, 2)))
    np.testing.assert_array_equal(loaded[-1], np.full((3, 3), 0.5))


def test_writing_overwrites_and_leaves_other_files_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("kept")
    (tmp_path / "axis_00.npy").write_text("not one of them")
    for seed in range(2):
        weights = random_weights([2, 2], "separate", seed)
        save_weights(weights, tmp_path)
    np.testing.assert_array_equal(load_weights(tmp_path)[-1], weights[-1])
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"notes.txt", "axis_00.npy", "axis_0.npy", "axis_1.npy"}


def test_a_failed_write_leaves_the_old_files(tmp_path, monkeypatch):
    old = random_weights([2, 2], "separate", seed=1)
    save_weights(old, tmp_path)
    calls, save = [], np.save

    def failing_save(*args, **kwargs):
        calls.append(args)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        save(*args, **kwargs)

    monkeypatch.setattr(np, "save", failing_save)
    with pytest.raises(MdnnError, match=r"Could not write weights to .*: No space left"):
        save_weights(random_weights([2, 2], "separate", seed=2), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["axis_0.npy", "axis_1.npy"]
    np.testing.assert_array_equal(load_weights(tmp_path)[-2], old[-2])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, r"one key per axis, -n … -1; received keys \[\]"),
        ({0: np.eye(2), 1: np.eye(2)}, r"received keys \[0, 1\]"),
        ({-3: np.eye(2), -1: np.eye(2)}, r"received keys \[-1, -3\]"),
        ({-2: np.eye(2), "a": np.eye(2)}, r"received keys \[-2, 'a'\]"),
        ({-1: np.eye(2, dtype=int)}, r"`weights\[-1\]` to be of floats. Received: dtype int64"),
        ({-1: np.eye(2, dtype=complex)}, "Received: dtype complex128"),
        ({-1: np.array([[None]])}, "Received: dtype object"),
        ({-2: np.ones((2, 3, 4)), -1: np.ones((2, 3, 3))}, r"\[2, 3, 2\]. Received: \[2, 3, 4\]"),
        ({-2: np.ones((2, 3, 2)), -1: np.eye(4)}, r"\[3, 3\] or \[2, 3, 3\]. Received: \[4, 4\]"),
        ({-2: np.ones((2, 3)), -1: np.eye(4)}, r"\[2, 2\] or \[2, 4, 2\]. Received: \[2, 3\]"),
        ({-1: np.ones(3)}, r"2 \(shared\) or 2 \(separate\) axes.* Received: shape \[3\]"),
        ({-2: np.ones((1, 1, 1, 1)), -1: np.eye(1)}, r"axes with kernels of 2 axes"),
    ],
)
def test_save_weights_refuses(tmp_path, weights, message):
    with pytest.raises(MdnnError, match=message) as caught:
        save_weights(weights, tmp_path / "folder")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "folder").exists()


def test_save_weights_refuses_a_folder_with_more_axes(tmp_path):
    save_weights(random_weights([2, 2, 2], "shared"), tmp_path)
    with pytest.raises(MdnnError, match=r"weights of 2 axes; .* holds axis_2.npy"):
        save_weights(random_weights([2, 2], "shared"), tmp_path)


def test_save_weights_refuses_a_file_for_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MdnnError, match=r"Could not write weights to .*file"):
        save_weights({-1: np.eye(2)}, tmp_path / "file")


def test_load_weights_refuses_missing_files(tmp_path):
    with pytest.raises(MdnnError, match=r"axis_0.npy …; .*nowhere is not a folder"):
        load_weights(tmp_path / "nowhere")
    with pytest.raises(MdnnError, match=r"missing: \['axis_0.npy'\]"):
        load_weights(tmp_path)
    np.save(tmp_path / "axis_3.npy", np.eye(2))
    np.save(tmp_path / "axis_1.npy", np.eye(2))
    with pytest.raises(MdnnError, match=r"missing: \['axis_0.npy', 'axis_2.npy'\]"):
        load_weights(tmp_path)


def write_pickle(path):
    np.save(path, np.array([{"code": "runs"}]), allow_pickle=True)


def write_truncated(path):
    np.save(path, np.eye(8))
    path.write_bytes(path.read_bytes()[:-8])


def write_archive(path):
    with open(path, "wb") as file:
        np.savez(file, a=np.eye(2))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (write_pickle, "Object arrays cannot be loaded"),
        (write_truncated, "axis_0.npy: "),
        (write_archive, "an archive of them"),
        (lambda path: path.write_bytes(b""), "axis_0.npy: "),
        (lambda path: path.write_bytes(b"PK\x03\x04 not an archive"), "axis_0.npy: "),
        (lambda path: path.write_text("no array"), "axis_0.npy: "),
        (lambda path: path.mkdir(), "axis_0.npy: "),
        (lambda path: np.save(path, np.eye(2, dtype="int8")), "floats. Received: dtype int8"),
        (lambda path: np.save(path, np.ones(3)), r"Received: shape \[3\]"),
    ],
)
def test_load_weights_refuses_what_is_no_kernel(tmp_path, write, message):
    write(tmp_path / "axis_0.npy")
    with pytest.raises(MdnnError, match=message) as caught:
        load_weights(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_load_weights_refuses_kernels_that_do_not_go_together(tmp_path):
    np.save(tmp_path / "axis_0.npy", np.ones((2, 3, 2)))
    np.save(tmp_path / "axis_1.npy", np.ones((3, 2, 3)))
    with pytest.raises(MdnnError, match=r"weights\[-1\]` of shape .*\[2, 3, 3\]. Received"):
        load_weights(tmp_path)


@pytest.mark.parametrize("run", [parallel, sequential])
@pytest.mark.parametrize("modes", ["separate", "shared", ["shared", "separate", "separate"]])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_doubled_network_is_two_independent_copies(run, modes, axis):
    grid = [2, 3, 2]
    weights = random_weights(grid, modes)
    doubled, shape = double(weights, grid, axis=axis)
    assert shape == [2 * d if i == axis % 3 else d for i, d in enumerate(grid)]
    rng = np.random.default_rng(5)
    one, two = rng.normal(size=(2, 2, *grid))
    at = axis % 3 + 1
    together = run(np.concatenate([one, two], axis=at), doubled)
    apart = np.concatenate([run(one, weights), run(two, weights)], axis=at)
    np.testing.assert_allclose(together, apart, rtol=1e-12, atol=1e-12)


def test_double_takes_the_first_axis_smaller_than_the_next():
    shape, weights = [1, 1, 1, 2], random_weights([1, 1, 1, 2], "separate")
    shapes = []
    while shape != [2, 2, 2, 2]:
        weights, shape = double(weights, shape)
        shapes.append(shape)
    assert shapes == [[1, 1, 2, 2], [1, 2, 2, 2], [2, 2, 2, 2]]
    assert {axis: kernel.shape for axis, kernel in weights.items()} == dict.fromkeys(
        [-4, -3, -2, -1], (2, 2, 2, 2, 2)
    )


def test_double_one_axis():
    doubled, shape = double({-1: np.array([[1.0, 2.0], [3.0, 4.0]])}, [2], axis=0)
    assert shape == [4]
    np.testing.assert_array_equal(
        doubled[-1], [[1, 2, 0, 0], [3, 4, 0, 0], [0, 0, 1, 2], [0, 0, 3, 4]]
    )


@pytest.mark.parametrize(
    ("shape", "axis", "message"),
    [
        ([3, 2], None, r"axis smaller than the next one; received \[3, 2\]"),
        ([2, 2], None, "Name the axis to double"),
        ([2, 3], 2, r"`axis` in -2 … 1. Received: 2"),
        ([2, 3], "first", r"Received: 'first'"),
        ([], None, r"from 1 up, without the batch. Received: \[\]"),
        ([2, 0], None, r"Received: \[2, 0\]"),
        (4, None, "Received: 4"),
    ],
)
def test_double_refuses(shape, axis, message):
    weights = random_weights(shape, "separate") if isinstance(shape, list) else {}
    with pytest.raises(MdnnError, match=message):
        double(weights, shape, axis=axis)


def test_double_refuses_weights_of_another_shape():
    with pytest.raises(MdnnError, match=r"`weights\[-2\]` of shape \[2, 2\] or \[2, 3, 2\]"):
        double(random_weights([2, 4], "separate"), [2, 3])
    with pytest.raises(MdnnError, match=r"with the keys \[-2, -1\]. Received: \[-1\]"):
        double(random_weights([2], "separate"), [2, 3])


@published
def test_published_experimental_weights_are_a_doubled_network():
    """[1, 2, 2, 2] made of [1, 1, 2, 2]: the half of each kernel, doubled, is the whole again."""
    whole = load_weights(PUBLISHED / "experimental")
    half = {axis: kernel[:, :1] for axis, kernel in whole.items()}
    half[-3] = half[-3][..., :1]
    doubled, shape = double(half, [1, 1, 2, 2])
    assert shape == [1, 2, 2, 2]
    for axis, kernel in whole.items():
        np.testing.assert_array_equal(doubled[axis], kernel)
