"""The lineage's callables against its arithmetic in numpy, saved, exported, trained, refused."""

import itertools

import keras
import numpy as np
import pytest
from backends import JIT
from lineage_reference import PUBLISHED, mix, parallel, published, random_weights, sequential

from mdnn.layer import (
    MNN,
    LineageLayer,
    LineageRollLayer,
    LineageUniform,
    MNN_tf,
    load_weights,
    multidimensional_layer,
    multidimensional_layer_separate,
    multidimensional_layer_shared,
    resizing_layer,
    save_weights,
)

GRIDS = [[3], [2, 3], [3, 2, 4]]


def inputs(grid, batch=2, seed=7):
    return np.random.default_rng(seed).normal(size=(batch, *grid)).astype("float32")


def randomize(layer, seed=3):
    """Give every variable, biases and identities too, a value of its own."""
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    return layer


def assert_close(actual, expected, tolerance=1e-4):
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=tolerance, atol=tolerance)


def modes_of(grid):
    """Every word, a list of one, and a list of n words that are not all the same."""
    mixed = [("shared", "separate")[i % 2] for i in range(len(grid))]
    return ["separate", "shared", ["shared"], mixed]


CASES = [(grid, mode) for grid in GRIDS for mode in modes_of(grid)]
CASES.append(([2, 1, 3, 2], ["separate", "separate", "shared", "separate"]))


def weights_for(grid, mode, seed=0):
    one = isinstance(mode, list) and len(mode) == 1
    return random_weights(grid, mode[0] if one else mode, seed)


@pytest.mark.parametrize(("grid", "mode"), CASES)
def test_parallel_is_the_sum_over_the_axes(grid, mode):
    weights, x = weights_for(grid, mode), inputs(grid)
    assert_close(MNN_tf(grid, mode, weights=weights)(x), parallel(x, weights))


@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize(("grid", "mode"), CASES)
def test_sequential_is_one_axis_after_the_other(grid, mode, order):
    weights, x = weights_for(grid, mode), inputs(grid)
    layer = MNN_tf(grid, mode, "sequential", order, weights=weights)
    assert_close(layer(x), sequential(x, weights, order))


@pytest.mark.parametrize("axis_output", [None, 1, 5])
@pytest.mark.parametrize("mode", ["separate", "shared", ["shared", "separate", "shared"]])
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_single_mixes_and_resizes_one_axis(axis, mode, axis_output):
    grid, number = [3, 2, 4], axis % 3 - 3
    o = axis_output or grid[axis]
    word = mode if isinstance(mode, str) else mode[axis]
    kernel = np.random.default_rng(0).normal(
        size=(grid[axis], o) if word == "shared" else (*grid, o)
    )
    layer = MNN_tf(
        grid, mode, "single", single_axis=axis, axis_output=axis_output, weights={number: kernel}
    )
    x = inputs(grid)
    expected = mix(x, kernel, number)
    assert_close(layer(x), expected)
    assert layer.compute_output_shape((None, *grid)) == (None, *expected.shape[1:])
    assert list(layer.kernels) == [number]


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("sharing", [True, False])
def test_resizing_layer_is_a_single_axis(axis, sharing):
    layer = resizing_layer([2, 3], axis, 4, sharing)
    number = axis % 2 - 2
    kernel, x = layer.kernels[number], inputs([2, 3])
    assert kernel.shape == (([2, 3][axis], 4) if sharing else (2, 3, 4))
    assert_close(layer(x), mix(x, kernel, number))
    other = MNN(
        [2, 3],
        "keras",
        "shared" if sharing else "separate",
        "single",
        single_axis=axis,
        axis_output=4,
        weights=layer.kernels,
    )
    assert_close(layer(x), other(x))


@pytest.mark.parametrize("execution", ["parallel", "sequential"])
@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize("mode", ["separate", "shared", ["separate", "shared"]])
def test_all_versions_agree(mode, order, execution):
    oldest = multidimensional_layer([2, 3], mode, execution, order)
    later = MNN_tf([2, 3], mode, execution, order, weights=oldest.kernels)
    last = MNN([2, 3], "tf", mode, execution, order, weights=oldest.kernels)
    x = inputs([2, 3])
    assert_close(later(x), oldest(x))
    assert_close(last(x), oldest(x))


def test_shared_callable_is_a_dense_and_a_rotation_n_times():
    layer = randomize(multidimensional_layer_shared([3, 2, 4], use_bias=True))
    x = inputs([3, 2, 4])
    expected, kernels = x, layer.kernels
    biases = {-3: layer.weights[1], -2: layer.weights[3], -1: layer.weights[5]}
    for axis in (-1, -2, -3):
        expected = expected @ kernels[axis] + np.asarray(biases[axis])
        expected = np.moveaxis(expected, -1, 1)
    assert_close(layer(x), expected, 1e-3)
    plain = multidimensional_layer_shared([3, 2, 4])
    same = MNN_tf([3, 2, 4], "shared", "sequential", "descending", weights=plain.kernels)
    assert_close(plain(x), same(x))
    fresh = multidimensional_layer_shared([3, 2], use_bias=True)
    assert not np.any(fresh.weights[1])
    assert not np.any(fresh.weights[3])


@pytest.mark.parametrize("identity", [True, False])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("grid", GRIDS)
def test_separate_callable_rolls(grid, identity, use_bias):
    layer = randomize(multidimensional_layer_separate(grid, identity, use_bias))
    x = inputs(grid)
    values = [np.asarray(w) for w in layer.weights]
    assert {w.shape for w in values} == {tuple(grid)}
    expected = x * values.pop(0) if identity else np.zeros_like(x)
    for axis, d in enumerate(grid, 1):
        for shift in range(1, d):
            expected = expected + np.roll(x * values.pop(0), shift, axis)
    if use_bias:
        expected = expected + values.pop(0)
    assert values == []
    assert_close(layer(x), expected)


def test_separate_callable_names_and_starts():
    layer = multidimensional_layer_separate([2, 3], use_bias=True)
    names = [w.name for w in layer.weights]
    assert names == ["w_identity", "w_-2_1", "w_-1_1", "w_-1_2", "bias"]
    zero = [not np.any(w) for w in layer.weights]
    assert zero == [True, False, False, False, True]
    assert multidimensional_layer_separate([2, 3]).bias is None


@pytest.mark.parametrize("identity", [True, False])
def test_separate_callable_is_the_kernels_with_one_self_connection(identity):
    grid = [2, 3]
    layer = randomize(multidimensional_layer_separate(grid, identity))
    w = {w.name: np.asarray(w) for w in layer.weights}
    kernels = {axis: np.zeros((2, 3, grid[axis])) for axis in (-2, -1)}
    for i, j in np.ndindex(2, 3):
        for target in range(2):
            shift = (target - i) % 2
            kernels[-2][i, j, target] = w[f"w_-2_{shift}"][i, j] if shift else 99.0
        for target in range(3):
            shift = (target - j) % 3
            at_home = w["w_identity"][i, j] if identity else 99.0
            kernels[-1][i, j, target] = w[f"w_-1_{shift}"][i, j] if shift else at_home
    once = MNN_tf(grid, weights=kernels, self_connection="once" if identity else "none")
    x = inputs(grid)
    assert_close(once(x), layer(x))


def test_each_node_is_joined_to_itself_n_times_by_default():
    ones = {axis: np.eye(2) for axis in (-3, -2, -1)}
    x = inputs([2, 2, 2])
    assert_close(MNN_tf([2, 2, 2], "shared", weights=ones)(x), 3 * x)
    assert_close(MNN_tf([2, 2, 2], "shared", weights=ones, self_connection="once")(x), x)
    none = MNN([2, 2, 2], "tf", "shared", weights=ones, self_connection="none")
    assert_close(none(x), 0 * x)
    once = MNN_tf([2, 2, 2], "shared", "sequential", weights=ones, self_connection="once")
    assert_close(once(x), x)


def test_parameter_counts_are_the_papers():
    assert MNN_tf([10, 10], kernel_initializer="zeros").count_params() == 2000
    assert MNN_tf([10, 10], "shared", kernel_initializer="zeros").count_params() == 200
    assert multidimensional_layer_separate([10, 10]).count_params() == 1900


# How kernels start, what is asked of them, and getting at them


def test_kernels_are_there_when_the_layer_is_made():
    layer = MNN_tf([2, 3])
    assert layer.built
    assert {axis: kernel.shape for axis, kernel in layer.kernels.items()} == {
        -2: (2, 3, 2),
        -1: (2, 3, 3),
    }
    assert len(layer.weights) == 2
    layer.kernels[-1][:] = 0  # a copy
    assert np.all(layer.kernels[-1])


@pytest.mark.parametrize("execution", ["parallel", "sequential"])
def test_set_kernels(execution):
    grid, x = [3, 2], inputs([3, 2])
    layer = MNN_tf(grid, execution=execution)
    old = layer.kernels
    with pytest.raises(ValueError, match=r"`weights\[-1\]` of shape \[3, 2, 2\]"):
        layer.set_kernels({-2: np.zeros((3, 2, 3)), -1: np.zeros((2, 2))})
    np.testing.assert_array_equal(layer.kernels[-2], old[-2])
    weights = random_weights(grid, "separate")
    layer.set_kernels({-1: weights[-1], -2: keras.ops.convert_to_tensor(weights[-2])})
    run = parallel if execution == "parallel" else sequential
    assert_close(layer(x), run(x, weights))
    for axis in weights:
        assert_close(layer.kernels[axis], weights[axis], 1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda **start: multidimensional_layer([3, 2], "separate", **start),
        lambda **start: MNN_tf([3, 2], **{f"kernel_{k}": v for k, v in start.items()}),
    ],
)
def test_initializer_is_called_with_the_lineages_shape(make):
    """The fans of Keras's initializers follow from the order of a kernel's axes."""
    layer = make(initializer=keras.initializers.GlorotUniform(seed=5))
    for seed, axis, shape in ((5, -2, (3, 2, 3)), (6, -1, (3, 2, 2))):
        expected = keras.initializers.GlorotUniform(seed=seed)(shape)
        assert_close(layer.kernels[axis], np.asarray(expected), 1e-6)


def test_default_initializers():
    for layer in (MNN_tf([9, 4]), multidimensional_layer([9, 4], "separate")):
        limit = np.sqrt(6 / (4 * 9 + 9 * 9))
        top = np.abs(layer.kernels[-2]).max()
        assert 0.9 * limit < top <= limit
        assert isinstance(layer.kernel_initializer, keras.initializers.GlorotUniform)
    layer = MNN([16, 9], "tf", ["separate", "shared"])
    for axis, s in ((-2, 1 / 5), (-1, 1 / 3)):
        top = np.abs(layer.kernels[axis]).max()
        assert 0.9 * s < top <= s
        assert layer.kernels[axis].min() < 0


def test_seeds_of_initializers():
    square = MNN_tf([3, 3], kernel_initializer="random_normal").kernels
    assert not np.allclose(square[-2], square[-1])
    fixed = [MNN([3, 3], "tf", kernel_initializer=LineageUniform(seed=1)).kernels for _ in "ab"]
    np.testing.assert_array_equal(fixed[0][-1], fixed[1][-1])
    assert not np.allclose(fixed[0][-2], fixed[0][-1])
    generator = keras.random.SeedGenerator(1)
    moving = MNN([3, 3], "tf", kernel_initializer=LineageUniform(generator)).kernels
    assert not np.allclose(moving[-2], moving[-1])
    constant = MNN_tf([3], kernel_initializer=keras.initializers.Constant(2.0)).kernels
    np.testing.assert_array_equal(constant[-1], np.full((3, 3), 2.0))


def test_regularizer_and_constraint_get_the_lineages_layout():
    """Both tell the first axis of a kernel from the others."""
    weights = random_weights([3, 2], ["separate", "shared"])
    layer = MNN_tf(
        [3, 2],
        ["separate", "shared"],
        kernel_regularizer=lambda kernel: keras.ops.sum(kernel[0]),
        kernel_constraint=keras.constraints.UnitNorm(axis=0),
        weights=weights,
    )
    penalties = sorted(float(loss) for loss in layer.losses)
    assert_close(penalties, sorted(weights[axis][0].sum() for axis in weights))
    for axis, variable in zip((-2, -1), layer.weights, strict=True):
        variable.assign(variable.constraint(variable))
        norms = np.linalg.norm(weights[axis], axis=0, keepdims=True)
        assert_close(layer.kernels[axis], weights[axis] / norms)


def test_constraint_holds_while_training():
    layer = multidimensional_layer([2, 3], "separate", constraint="non_neg", regularizer="l2")
    assert float(sum(layer.losses)) > 0
    model = keras.Sequential([keras.Input((2, 3)), layer])
    model.compile("sgd", "mse", jit_compile=JIT)
    model.fit(inputs([2, 3], 4), inputs([2, 3], 4), verbose=0)
    assert all(kernel.min() >= 0 for kernel in layer.kernels.values())


# As Keras layers: config, saving, export, training, precision

LAYERS = {
    "multidimensional_layer": lambda: multidimensional_layer(
        [2, 3], ["separate", "shared"], "sequential", "descending", regularizer="l2", name="old"
    ),
    "resizing_layer": lambda: resizing_layer([2, 3], -2, 4, False),
    "multidimensional_layer_separate": lambda: multidimensional_layer_separate(
        [2, 3], identity=False, use_bias=True
    ),
    "multidimensional_layer_shared": lambda: multidimensional_layer_shared([2, 3], True),
    "MNN_tf": lambda: MNN_tf(
        [2, 3], kernel_constraint="unit_norm", weights=random_weights([2, 3], "separate")
    ),
    "MNN": lambda: MNN([2, 3], "keras", "shared", self_connection="once"),
}


@pytest.fixture(params=LAYERS)
def layer(request):
    return randomize(LAYERS[request.param]())


def test_config_makes_the_same_layer(layer):
    config = layer.get_config()
    copy = type(layer).from_config(config)
    assert copy.get_config() == config
    copy.set_weights(layer.get_weights())
    x = inputs([2, 3])
    np.testing.assert_array_equal(np.asarray(copy(x)), np.asarray(layer(x)))
    rebuilt = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(rebuilt) is type(layer)
    assert keras.saving.get_registered_name(type(layer)) == f"mdnn>{type(layer).__name__}"


def test_keras_file_round_trip(layer, tmp_path):
    x = inputs([2, 3])
    model = keras.Sequential([keras.Input((2, 3)), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(np.asarray(loaded(x)), np.asarray(model(x)))
    assert type(loaded.layers[0]) is type(layer)
    model.save_weights(tmp_path / "model.weights.h5")
    for variable in loaded.weights:
        variable.assign(variable * 0)
    loaded.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(np.asarray(loaded(x)), np.asarray(model(x)))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the export is TensorFlow's")
def test_export_round_trip(layer, tmp_path):
    import tensorflow as tf

    x = inputs([2, 3], batch=3)
    model = keras.Sequential([keras.Input((2, 3)), layer])
    model.export(tmp_path / "model", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "model"))
    assert_close(served.serve(x), np.asarray(layer(x)), 1e-6)


def test_fit_step(layer):
    x = inputs([2, 3], batch=4)
    y = np.zeros((4, *layer.compute_output_shape((None, 2, 3))[1:]), "float32")
    model = keras.Sequential([keras.Input((2, 3)), layer])
    model.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=JIT)
    before = model.evaluate(x, y, verbose=0)
    old = layer.get_weights()
    model.fit(x, y, epochs=2, batch_size=3, verbose=0)
    assert model.evaluate(x, y, verbose=0) < before
    assert all(np.any(a != b) for a, b in zip(old, layer.get_weights(), strict=True))


def test_shapes_symbolic_and_eager(layer):
    symbolic = layer(keras.Input((2, 3)))
    assert symbolic.shape == layer.compute_output_shape((None, 2, 3))
    for batch in (1, 5):
        assert tuple(layer(inputs([2, 3], batch)).shape[1:]) == symbolic.shape[1:]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_dtype_policies(policy):
    dtype = keras.DTypePolicy(policy).compute_dtype
    if policy == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX has float32 at most unless told otherwise")
    weights = random_weights([2, 3], "separate")
    x = inputs([2, 3])
    layer = MNN_tf([2, 3], weights=weights, dtype=policy)
    # On PyTorch, Keras' type promotion computes products of float64 in float32.
    products = "float32" if policy == "float64" and keras.backend.backend() == "torch" else dtype
    assert keras.backend.standardize_dtype(layer(x).dtype) == products
    assert_close(np.asarray(layer(x)).astype("float64"), parallel(x, weights), 0.2)
    assert layer.kernels[-1].dtype == keras.DTypePolicy(policy).variable_dtype
    rolls = LineageRollLayer([2, 3], use_bias=True, dtype=policy)
    assert keras.backend.standardize_dtype(rolls(x).dtype) == dtype


def test_building_again_changes_nothing(layer):
    before = layer.get_weights()
    layer.build((None, 2, 3))
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("backend", ["tf", "tensorflow", "keras"])
def test_backend_words(backend):
    assert isinstance(MNN([2], backend), LineageLayer)


def test_jax_word():
    if keras.backend.backend() == "jax":
        assert isinstance(MNN([2], "jax"), LineageLayer)
    else:
        here = keras.backend.backend()
        message = rf"Keras to run on JAX .* KERAS_BACKEND=jax .* Received: Keras on {here}"
        with pytest.raises(ValueError, match=message):
            MNN([2], "jax")


# Weights on disk


def test_layer_to_disk_and_back(tmp_path):
    layer = MNN_tf([2, 3, 2], ["separate", "shared", "separate"])
    save_weights(layer.kernels, tmp_path)
    again = MNN_tf([2, 3, 2], ["separate", "shared", "separate"], weights=load_weights(tmp_path))
    x = inputs([2, 3, 2])
    np.testing.assert_array_equal(np.asarray(again(x)), np.asarray(layer(x)))


PATTERNS = np.array(list(itertools.product([-1.0, 1.0], repeat=2)), "float32")


@published
def test_published_sgd_weights_are_the_identity():
    layer = MNN([1, 1, 1, 2], "tf", weights=load_weights(PUBLISHED / "sgd"))
    x = PATTERNS.reshape(4, 1, 1, 1, 2)
    np.testing.assert_array_equal(np.asarray(layer(x)), x)


@published
def test_published_experimental_weights_run():
    weights = load_weights(PUBLISHED / "experimental")
    layer = MNN([1, 2, 2, 2], "tf", weights=weights)
    x = np.array(list(itertools.product([-1.0, 1.0], repeat=8)), "float32").reshape(-1, 1, 2, 2, 2)
    assert_close(layer(x), parallel(x, weights))


# What is refused


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MNN_tf([]), r"`shape` to be the sizes .*without the batch. Received: \[\]"),
        (lambda: MNN_tf([2, None]), r"Received: \[2, None\]"),
        (lambda: MNN_tf([2, 0]), r"Received: \[2, 0\]"),
        (lambda: MNN_tf(3), "Received: 3"),
        (lambda: MNN_tf([2], "tied"), "`mode` to be one of separate, shared. Received: 'tied'"),
        (lambda: MNN_tf([2], None), "`mode` .* Received: None"),
        (lambda: MNN_tf([2] * 3, ["shared"] * 2), "list of 1 or 3 words for 3 axes"),
        (lambda: MNN_tf([2], []), r"list of 1 or 1.* Received: \[\]"),
        (lambda: MNN_tf([2], execution="serial"), "parallel, sequential, single. .* 'serial'"),
        (lambda: MNN_tf([2], sequential_order="up"), "ascending, descending. Received: 'up'"),
        (lambda: MNN_tf([2], self_connection="twice"), "each, once, none. Received: 'twice'"),
        (lambda: MNN_tf([2], "shared", "single"), "`single_axis` in -1 … 0. Received: None"),
        (lambda: MNN_tf([2], execution="single", single_axis=1), "in -1 … 0. Received: 1"),
        (lambda: MNN_tf([2], execution="single", single_axis=-2), "Received: -2"),
        (lambda: MNN_tf([2], execution="single", single_axis=True), "Received: True"),
        (
            lambda: MNN_tf([2], execution="single", single_axis=0, axis_output=0),
            "`axis_output` to be a whole number from 1 up. Received: 0",
        ),
        (lambda: MNN_tf([2], single_axis=0), "`single_axis` only with execution 'single'"),
        (lambda: MNN_tf([2], axis_output=3), "`axis_output` only with execution 'single'"),
        (lambda: multidimensional_layer([2], "shared", "single"), "parallel, sequential. Rec"),
        (
            lambda: multidimensional_layer(
                [2], "shared", initializer="ones", kernel_initializer=""
            ),
            "one of `initializer` and `kernel_initializer`. Received: both",
        ),
        (lambda: multidimensional_layer([2], "shared", colour=1), "colour"),
        (lambda: resizing_layer([2], 0, None, True), "`output_shape` to be .* Received: None"),
        (lambda: resizing_layer([2], 0, 2.5, True), "Received: 2.5"),
        (lambda: resizing_layer([2], 1, 3, True), "in -1 … 0. Received: 1"),
        (lambda: multidimensional_layer_separate([]), r"Received: \[\]"),
        (lambda: multidimensional_layer_shared("ab"), "Received: 'ab'"),
        (lambda: MNN([2], "torch"), "tf, tensorflow, keras, jax; .*torch.* Received: 'torch'"),
        (lambda: MNN([2], None), "Received: None"),
        (lambda: MNN_tf([2], weights={}), r"with the keys \[-1\]. Received: \[\]"),
        (lambda: MNN_tf([2], weights=np.eye(2)), r"with the keys \[-1\]. Received: .*ndarray"),
        (lambda: MNN_tf([2], weights={0: np.eye(2)}), r"keys \[-1\]. Received: \[0\]"),
        (
            lambda: MNN_tf([2, 2], execution="single", single_axis=0, weights={-1: np.eye(2)}),
            r"keys \[-2\]. Received: \[-1\]",
        ),
        (
            lambda: MNN_tf([2, 3], weights={-2: np.eye(2), -1: np.ones((2, 3, 3))}),
            r"`weights\[-2\]` of shape \[2, 3, 2\]. Received: \[2, 2\]",
        ),
        (
            lambda: MNN([2], "tf", weights={-1: np.eye(2, dtype="int64")}),
            r"`weights\[-1\]` to be of floats. Received: dtype int64",
        ),
    ],
)
def test_refuses_arguments(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_refuses_an_input_of_another_shape(layer):
    message = r"expected shape=\(None, 2, 3\), found shape=\(1, 3, 2\)"
    with pytest.raises(ValueError, match=message):
        layer(np.ones((1, 3, 2), "float32"))
    with pytest.raises(ValueError, match=r"expected ndim=3, found ndim=4"):
        layer(keras.Input((2, 3, 1)))
    for refuse in (layer.build, layer.compute_output_shape):
        with pytest.raises(ValueError, match=rf"{layer.name} .*\[batch, 2, 3\]. Received: \[None"):
            refuse((None, 3, 2))
