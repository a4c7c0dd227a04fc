"""What the paper and the design claim of MultidimDense: counts, reach, causality, options."""

import itertools
import json

import keras
import numpy as np
import pytest

from mdnn import activations
from mdnn.layers.multidim_dense import MultidimDense


def build(sizes, **options):
    layer = MultidimDense(**options)
    layer.build((None, *sizes))
    return layer


def positive(sizes, **options):
    """A layer whose kernels hold positive numbers only, so that no two paths cancel."""
    layer = build(sizes, **options)
    rng = np.random.default_rng(0)
    layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return layer


def jacobian(sizes, *layers, **call):
    """Returns `d output[t] / d input[s]` as `[s, t]`: the layers are linear, so what they make of
    the unit vectors."""
    size = int(np.prod(sizes))
    x = np.eye(size, dtype="float32").reshape(size, *sizes)
    for layer in layers:
        x = layer(x, **call)
    return keras.ops.convert_to_numpy(x).reshape(size, -1)


# Counts and shapes


@pytest.mark.parametrize(("sharing", "count"), [("separate", 2000), ("shared", 200), ("tied", 100)])
@pytest.mark.parametrize("execution", ["parallel", "sequential"])
def test_counts_of_the_paper(sharing, count, execution):
    layer = build((10, 10), sharing=sharing, execution=execution)
    assert layer.count_params() == count
    assert layer.operations((None, 10, 10)) == 2000
    assert isinstance(layer.operations((None, 10, 10)), int)


@pytest.mark.parametrize(
    ("options", "shapes"),
    [
        ({}, [(3, 4, 2, 2), (2, 4, 3, 3), (2, 3, 4, 4)]),
        ({"sharing": "shared"}, [(2, 2), (3, 3), (4, 4)]),
        ({"axes": (1, -1), "sharing": (2,)}, [(3, 2, 2), (3, 4, 4)]),
        ({"axes": (1, 2), "sharing": (1, 2)}, [(3, 2, 2), (2, 3, 3)]),
        ({"axes": (1, 2), "sharing": (-1, 2)}, [(3, 4, 2, 2), (4, 3, 3)]),
        ({"axes": (3, 1), "sharing": ["shared", (3,)]}, [(4, 4), (4, 2, 2)]),
        ({"axes": 2, "sharing": ()}, [(3, 3)]),
        ({"axes": 2, "wiring": "shift"}, [(2, 4, 5)]),
        ({"axes": (1, 2), "sharing": "shared", "wiring": "causal"}, [(3, 3), (2, 2), (3, 3)]),
    ],
)
def test_kernel_shapes(options, shapes):
    layer = build((2, 3, 4), **options)
    assert [tuple(k.shape) for k in layer.kernels] == shapes
    assert layer.compute_output_shape((None, 2, 3, 4)) == (None, 2, 3, 4)


def test_tied_kernels_among_others():
    layer = build((3, 2, 3), sharing=["tied", "separate", "tied"])
    assert {k.name: tuple(k.shape) for k in layer.kernels} == {
        "kernel_tied": (3, 3),
        "kernel_axis_2": (3, 3, 2, 2),
    }


def test_kernel_names():
    names = [k.name for k in build((2, 2, 2), axes=(-1, 1), execution="sequential").kernels]
    assert names == ["kernel_axis_3", "kernel_axis_1"]
    descending = build((2, 2, 2), axes=(-1, 1), execution="sequential", order="descending")
    assert [k.name for k in descending.kernels] == names
    assert [k.name for k in build((2, 2), wiring="causal").kernels] == [
        "kernel_axis_2_term_0",
        "kernel_axis_1_term_0",
        "kernel_axis_2_term_1",
    ]


@pytest.mark.parametrize(
    ("options", "operations"),
    [
        ({"sharing": "shared"}, 3 * 3 * 3 * 9),
        ({"sharing": "tied"}, 3 * 3 * 3 * 9),
        # One, two and three passes; with one kernel, all of the last two terms' are shared or new.
        ({"sharing": "shared", "wiring": "causal"}, 6 * 81),
        ({"sharing": "tied", "wiring": "causal"}, 5 * 81),
        ({"sharing": "tied", "wiring": "causal", "execution": "sequential"}, 6 * 81),
    ],
)
def test_operations(options, operations):
    assert build((3, 3, 3), **options).operations((None, 3, 3, 3)) == operations


def test_operations_of_resizing():
    layer = MultidimDense(execution="sequential", units={1: 5, 2: 7})
    # 2x3 -> 5x3 -> 5x7
    assert layer.operations((None, 2, 3)) == 2 * 5 * 3 + 5 * 3 * 7
    with pytest.raises(ValueError, match="sizes but the batch's to be known"):
        MultidimDense(axes=1, sharing="shared").operations((None, 2, None))


def test_the_batch_and_carried_sizes_may_be_unknown():
    layer = MultidimDense(axes=2, sharing="shared")
    inputs = keras.Input((None, 3, 2))
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, None, 3, 2)
    x = np.random.default_rng(0).normal(size=(2, 5, 3, 2)).astype("float32")
    expected = np.einsum("btic,ij->btjc", x, layer.get_weights()[0])
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-5)


# Reach


@pytest.mark.parametrize("sharing", ["separate", "shared", "tied"])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_reach_of_parallel_layers(n, sharing):
    sizes = (2,) * n
    layers = [positive(sizes, sharing=sharing) for _ in range(n)]
    assert (jacobian(sizes, *layers) > 0).all()
    # One layer fewer reaches just the nodes that differ on fewer coordinates.
    nodes = np.array(list(np.ndindex(*sizes)))
    distance = (nodes[:, None] != nodes[None]).sum(-1)
    for count in range(n):
        reached = jacobian(sizes, *layers[:count]) > 0
        np.testing.assert_array_equal(reached, distance <= count)


@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize("sharing", ["separate", "shared", "tied"])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_reach_of_a_sequential_layer(n, sharing, order):
    sizes = (2,) * n
    options = {"sharing": sharing, "execution": "sequential", "order": order}
    assert (jacobian(sizes, positive(sizes, **options)) > 0).all()
    for axes in itertools.combinations(range(1, n + 1), n - 1):
        if axes:
            assert (jacobian(sizes, positive(sizes, axes=axes, **options)) == 0).any()


@pytest.mark.parametrize(("self_connection", "paths"), [("each", 3), ("once", 1), ("none", 0)])
def test_paths_from_a_node_to_itself(self_connection, paths):
    sizes = (2, 3, 2)
    layer = build(sizes, self_connection=self_connection, kernel_initializer="ones")
    matrix = jacobian(sizes, layer)
    np.testing.assert_array_equal(np.diag(matrix), paths)
    off = ~np.eye(12, dtype=bool)
    assert set(np.unique(matrix[off])) == {0, 1}


# Causality

CAUSAL = [
    {"sharing": sharing, "execution": execution, "wiring": wiring, "order": order}
    for sharing in ("separate", "shared", "tied")
    for execution, order in (
        ("parallel", "ascending"),
        ("sequential", "ascending"),
        ("sequential", "descending"),
    )
    for wiring in ("causal", "causal+shift")
]


@pytest.mark.parametrize("options", CAUSAL, ids=lambda options: "-".join(options.values()))
@pytest.mark.parametrize("sizes", [(5,), (3, 3), (3, 3, 3), (1, 3)])
def test_causal_wiring_is_exact_and_reaches_the_whole_past(sizes, options):
    if options["sharing"] == "tied" and len(set(sizes)) > 1:
        sizes = (2, 2)
    layer = positive(sizes, **options)
    matrix = jacobian(sizes, layer)
    past = np.triu(np.ones(matrix.shape, bool))
    np.testing.assert_array_equal(matrix != 0, past)
    assert (jacobian(sizes, layer, causal=False) > 0).all()
    np.testing.assert_array_equal(jacobian(sizes, layer, causal=True), matrix)


@pytest.mark.parametrize("execution", ["parallel", "sequential"])
@pytest.mark.parametrize("sharing", ["separate", (2,), (2, 4), [(2,), "shared"]])
@pytest.mark.parametrize("wiring", ["causal", "causal+shift"])
def test_causal_wiring_with_carried_axes(wiring, sharing, execution):
    sizes = (2, 2, 3, 2)
    layer = positive(sizes, axes=(1, 3), sharing=sharing, execution=execution, wiring=wiring)
    matrix = jacobian(sizes, layer).reshape(sizes + sizes)
    # Time is (axis 1, axis 3); positions on axes 2 and 4 do not meet.
    matrix = matrix.transpose(1, 3, 5, 7, 0, 2, 4, 6).reshape(4, 4, 6, 6)
    for a, b in np.ndindex(4, 4):
        expected = np.triu(np.ones((6, 6), bool)) if a == b else False
        np.testing.assert_array_equal(matrix[a, b] != 0, np.broadcast_to(expected, (6, 6)))


@pytest.mark.parametrize("sizes", [(4,), (2, 3), (2, 2, 2)])
def test_causal_wiring_without_self_connection(sizes):
    strict = positive(sizes, wiring="causal", self_connection="none")
    size = int(np.prod(sizes))
    np.testing.assert_array_equal(
        jacobian(sizes, strict) != 0, np.triu(np.ones((size, size), bool), 1)
    )
    assert not np.diag(jacobian(sizes, strict, causal=False)).any()


@pytest.mark.parametrize(("self_connection", "paths"), [("each", 3), ("once", 1), ("none", 0)])
def test_paths_to_itself_at_causal_false(self_connection, paths):
    layer = build(
        (2, 2, 2), wiring="causal", self_connection=self_connection, kernel_initializer="ones"
    )
    np.testing.assert_array_equal(np.diag(jacobian((2, 2, 2), layer, causal=False)), paths)
    one_path = min(paths, 1)
    np.testing.assert_array_equal(np.diag(jacobian((2, 2, 2), layer)), one_path)


def test_causal_wiring_with_one_axis_tied_between_others():
    # The same tied pass follows different kernels of the fastest axis in the first two terms.
    sizes = (2, 2, 3, 2)
    tied = positive(sizes, sharing=["shared", "shared", "tied", "shared"], wiring="causal")
    shared = build(sizes, sharing="shared", wiring="causal")
    values = {k.name: keras.ops.convert_to_numpy(k) for k in tied.kernels}
    for kernel in shared.kernels:
        is_tied = kernel.name.startswith("kernel_axis_3")
        kernel.assign(values["kernel_tied" if is_tied else kernel.name])
    np.testing.assert_allclose(jacobian(sizes, tied), jacobian(sizes, shared), rtol=1e-6)
    assert tied.operations((None, *sizes)) == shared.operations((None, *sizes))


# Sparse wirings


def test_local_wiring_keeps_a_window():
    i = np.arange(6)
    near = abs(i[:, None] - i[None]) <= 2
    for wiring in ("local", "local+shift"):
        layer = positive((6,), wiring=wiring, window=2)
        np.testing.assert_array_equal(jacobian((6,), layer) != 0, near)
    layer = positive((6,), wiring="local+causal", window=2)
    np.testing.assert_array_equal(jacobian((6,), layer) != 0, np.triu(near))
    np.testing.assert_array_equal(jacobian((6,), layer, causal=False) != 0, near)


def test_local_wiring_with_a_window_per_axis():
    layer = positive(
        (4, 4), wiring="local", window=[1, 0], sharing="shared", execution="sequential"
    )
    matrix = jacobian((4, 4), layer).reshape(4, 4, 4, 4)
    for a, b, c, d in np.ndindex(4, 4, 4, 4):
        assert (matrix[a, b, c, d] != 0) == (abs(a - c) <= 1 and b == d)


@pytest.mark.parametrize("sharing", ["shared", "separate"])
def test_random_wiring_has_its_density(sharing):
    sizes = (5, 4)
    layer = positive(sizes, axes=1, wiring="random", density=0.3, seed=7, sharing=sharing)
    live = (jacobian(sizes, layer) != 0).sum()
    # A shared kernel's entry appears at each of the 4 positions of the other axis.
    expected = round(0.3 * 25) * 4 if sharing == "shared" else round(0.3 * 100)
    assert live == expected


def test_random_wiring_differs_between_passes_and_seeds():
    def live(axes, seed):
        options = {"wiring": "random", "density": 0.5, "seed": seed, "sharing": "shared"}
        return jacobian((4, 4), positive((4, 4), axes=axes, **options)) != 0

    assert (live(1, 1) != live(1, 2)).any()
    both = live((1, 2), 1).reshape(4, 4, 4, 4)
    rows = np.array([[both[i, 0, j, 0] for j in range(4)] for i in range(4)])
    columns = np.array([[both[0, i, 0, j] for j in range(4)] for i in range(4)])
    off = ~np.eye(4, dtype=bool)
    assert (rows != columns)[off].any()


@pytest.mark.parametrize("wiring", ["random", "random+causal", "random+shift"])
def test_random_wiring_is_the_same_after_reload(tmp_path, wiring):
    options = {"wiring": wiring, "density": 0.4, "seed": 3}
    inputs = keras.Input((3, 4))
    model = keras.Model(inputs, MultidimDense(**options)(inputs))
    path = tmp_path / "model.keras"
    model.save(path)
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    loaded = keras.models.load_model(path)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    layer = positive((3, 4), **options)
    again = MultidimDense.from_config(layer.get_config())
    again.build((None, 3, 4))
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(jacobian((3, 4), again), jacobian((3, 4), layer))


# Resizing


def test_resizing_one_axis():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 4)).astype("float32")
    for units in (5, [5], {2: 5}, {-1: 5}, {"-1": 5}):
        layer = build((3, 4), axes=-1, units=units)
        kernel = layer.get_weights()[0]
        assert kernel.shape == (3, 4, 5)
        np.testing.assert_allclose(
            layer(x), np.einsum("bai,aij->baj", x, kernel), rtol=1e-5, atol=1e-5
        )
        assert layer.compute_output_shape((None, 3, 4)) == (None, 3, 5)


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_resizing_several_axes(order):
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    for units in ({1: 5, 2: 6}, [5, 6]):
        layer = build((3, 4), execution="sequential", order=order, units=units, use_bias=True)
        first, second, bias = layer.get_weights()
        # A later pass's separate kernels lie over the axis's new size.
        if order == "ascending":
            assert (first.shape, second.shape) == ((4, 3, 5), (5, 4, 6))
            expected = np.einsum("bij,jik,kjl->bkl", x, first, second)
        else:
            assert (first.shape, second.shape) == ((6, 3, 5), (3, 4, 6))
            expected = np.einsum("bij,ijl,lik->bkl", x, second, first)
        assert bias.shape == (5, 6)
        np.testing.assert_allclose(layer(x), expected, rtol=1e-4, atol=1e-5)
        assert layer.compute_output_shape((7, 3, 4)) == (7, 5, 6)


def test_resizing_some_axes():
    layer = build((3, 4), execution="sequential", units=[None, 2], sharing="shared")
    assert [tuple(k.shape) for k in layer.kernels] == [(3, 3), (4, 2)]
    layer = build((3, 4), execution="sequential", units={1: 4, 2: 4}, sharing=["shared", "tied"])
    assert [tuple(k.shape) for k in layer.kernels] == [(3, 4), (4, 4)]


# Bias, activation, start values


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (2, 3, 4)),
        ({"axes": 2, "sharing": "separate"}, (2, 3, 4)),
        ({"axes": 2, "sharing": "shared"}, (1, 3, 1)),
        ({"axes": (1, 3), "sharing": "shared"}, (2, 1, 4)),
        ({"axes": 1, "sharing": (3,)}, (2, 1, 4)),
        ({"axes": (1, 3), "sharing": ["shared", (2,)], "wiring": "causal"}, (2, 3, 4)),
    ],
)
def test_bias(options, shape):
    layer = build((2, 3, 4), use_bias=True, **options)
    assert layer.bias.name == "bias"
    assert tuple(layer.bias.shape) == tuple(size for size in shape if size > 1)
    bare = build((2, 3, 4), **options)
    assert layer.count_params() - bare.count_params() == np.prod(shape)
    values = np.random.default_rng(0).normal(size=shape).astype("float32")
    layer.bias.assign(values.reshape(layer.bias.shape))
    y = keras.ops.convert_to_numpy(layer(np.zeros((1, 2, 3, 4), "float32")))[0]
    np.testing.assert_array_equal(y, np.broadcast_to(values, (2, 3, 4)))


@pytest.mark.parametrize("name", ["melu", "partial(melu, 0.75)", "silu"])
def test_activations_by_name(name):
    # The identity keeps the negative inputs, on which these activations differ from a line.
    layer = build((4,), activation=name, kernel_initializer="identity")
    again = MultidimDense.from_config(json.loads(json.dumps(layer.get_config())))
    x = np.array([[-3.0, -1.0, 0.5, -2.0]])
    linear = build((4,))
    linear.set_weights(layer.get_weights())
    wanted = np.asarray(activations.get(name)(keras.ops.convert_to_tensor(linear(x))))
    np.testing.assert_allclose(np.asarray(layer(x)), wanted, rtol=1e-6)
    assert again.activation == layer.activation
    assert not np.allclose(wanted, np.asarray(linear(x)))


def test_activation_comes_last_and_once():
    x = np.random.default_rng(0).normal(size=(2, 3, 3)).astype("float32")
    for execution in ("parallel", "sequential"):
        plain = build((3, 3), execution=execution, use_bias=True, bias_initializer="ones")
        active = build((3, 3), execution=execution, use_bias=True, activation="relu")
        active.set_weights(plain.get_weights())
        np.testing.assert_array_equal(active(x), np.maximum(np.asarray(plain(x)), 0))


@pytest.mark.parametrize("execution", ["parallel", "sequential"])
@pytest.mark.parametrize("sharing", ["separate", "shared", "tied", (3,)])
@pytest.mark.parametrize(
    "wiring", ["full", "local", "random", "shift", "causal", "causal+shift", "causal+local+random"]
)
def test_outputs_start_as_large_as_inputs(wiring, sharing, execution):
    x = np.random.default_rng(0).normal(size=(2, 12, 12, 4)).astype("float32")
    # The middle of some layers: one with tied shift wiring draws few numbers for many products.
    deviations = []
    for _ in range(7 if sharing == "tied" else 3):
        layer = MultidimDense(
            axes=(1, 2),
            wiring=wiring,
            sharing=sharing,
            execution=execution,
            window=3 if "local" in wiring else None,
            density=0.5 if "random" in wiring else None,
            seed=0 if "random" in wiring else None,
        )
        deviations.append(np.std(keras.ops.convert_to_numpy(layer(x))))
    assert 0.7 < np.median(deviations) < 1.4


def test_initializers_are_used_per_kernel():
    seeded = keras.initializers.RandomNormal(seed=4)
    for initializer in ("glorot_uniform", seeded):
        first, second = build((3, 3), sharing="shared", kernel_initializer=initializer).kernels
        assert (keras.ops.convert_to_numpy(first) != keras.ops.convert_to_numpy(second)).all()
    again = build((3, 3), sharing="shared", kernel_initializer=seeded).get_weights()
    np.testing.assert_array_equal(first, again[0])
    np.testing.assert_array_equal(second, again[1])


def test_regularizers_and_constraints_reach_every_kernel():
    layer = build(
        (2, 3),
        use_bias=True,
        kernel_regularizer=keras.regularizers.L2(0.5),
        bias_regularizer="l1",
        kernel_constraint="non_neg",
        bias_constraint="non_neg",
    )
    assert all(k.regularizer.l2 == 0.5 for k in layer.kernels)
    assert isinstance(layer.bias.regularizer, keras.regularizers.L1)
    for weight in layer.weights:
        assert isinstance(weight.constraint, keras.constraints.NonNeg)


# Configs


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"axes": 1, "units": 5, "sharing": ()},
        {"axes": (-1, 1), "sharing": ["shared", (2,)], "execution": "sequential"},
        {"axes": (1, 2), "sharing": (3, 1), "wiring": ("shift", "causal"), "order": "descending"},
        {"execution": "sequential", "units": {1: 4, -1: 2}, "use_bias": True},
        {"execution": "sequential", "units": [4, None, 2], "activation": "relu"},
        {"wiring": "local+random", "window": (1, 2, 1), "density": 0.5, "seed": 9},
        {"kernel_initializer": "ones", "kernel_regularizer": "l2", "self_connection": "none"},
    ],
)
def test_config_survives_json(options):
    layer = MultidimDense(**options)
    config = json.loads(json.dumps(layer.get_config()))
    again = MultidimDense.from_config(config)
    assert again.get_config() == layer.get_config()
    for copy in (layer, again):
        copy.build((None, 2, 3, 2))
    assert [tuple(w.shape) for w in again.weights] == [tuple(w.shape) for w in layer.weights]
    again.set_weights(layer.get_weights())
    x = np.random.default_rng(0).normal(size=(2, 2, 3, 2)).astype("float32")
    np.testing.assert_array_equal(again(x), layer(x))


# Errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sharing": "both"}, "Expected `sharing` to be"),
        ({"sharing": ["shared", "both"]}, "Expected `sharing` to be"),
        ({"sharing": ["shared", 2]}, "Expected `sharing` to be"),
        ({"sharing": None}, "Expected `sharing` to be"),
        ({"execution": "serial"}, "Expected `execution` to be"),
        ({"order": "up"}, "Expected `order` to be"),
        ({"self_connection": "twice"}, "Expected `self_connection` to be"),
        ({"wiring": "casual"}, "Expected `wiring` to be"),
        ({"wiring": "full+shift"}, "Expected `wiring` to be"),
        ({"axes": "1"}, "Expected `axes` to be"),
        ({"axes": 1.0}, "Expected `axes` to be"),
        ({"units": 0}, "Expected `units` to hold positive integers"),
        ({"units": [3, -1]}, "Expected `units` to hold positive integers"),
        ({"units": {"one": 3}}, "Expected `units` to map axes"),
        ({"units": {1: 2.5}}, "Expected `units` to map axes"),
        ({"wiring": "local"}, "Expected `window` with local wiring"),
        ({"window": 1}, "Expected `window` only with local wiring"),
        ({"wiring": "local", "window": -1}, "Expected `window` to be a non-negative"),
        ({"wiring": "local", "window": 1.5}, "Expected `window` to be a non-negative"),
        ({"wiring": "random", "seed": 1}, "Expected `density` with random wiring"),
        ({"wiring": "random", "density": 0.5}, "Expected `seed` with random wiring"),
        ({"density": 0.5}, "Expected `density` only with random wiring"),
        ({"seed": 1}, "Expected `seed` only with random wiring"),
        ({"wiring": "random", "density": 1.5, "seed": 1}, r"Expected `density` in 0 \.\. 1"),
        ({"wiring": "random", "density": "x", "seed": 1}, r"Expected `density` in 0 \.\. 1"),
        ({"wiring": "random", "density": 0.5, "seed": -1}, "Expected `seed` to be an integer"),
        ({"wiring": "random", "density": 0.5, "seed": 0.5}, "Expected `seed` to be an integer"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        MultidimDense(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axes": 0}, "other than the batch axis"),
        ({"axes": (1, -3)}, "other than the batch axis"),
        ({"axes": 3}, r"Expected `axes` in -2 \.\. 2 for an input of 3 axes"),
        ({"axes": (1, -2)}, "name each axis .* once"),
        ({"axes": ()}, "Expected an axis besides the batch"),
        ({"sharing": (0,)}, "other than the batch axis"),
        ({"sharing": (1, 1)}, "name each axis .* once"),
        ({"axes": 1, "sharing": (1,)}, "Expected `sharing` of axis 1 to name other axes"),
        ({"sharing": ["shared", (2,)]}, "Expected `sharing` of axis 2 to name other axes"),
        ({"sharing": ["shared"]}, "Expected `sharing` to have one entry per named axis: 2"),
        ({"sharing": "tied"}, "Expected axes with tied sharing to have one size"),
        ({"axes": (2, 1), "wiring": "causal"}, "Expected `axes` to increase"),
        ({"units": 2}, "Expected `units` to be one size per named axis: 2"),
        ({"units": [2, 2]}, "Expected `units` with one axis or with sequential execution"),
        ({"units": {1: 3}}, "Expected `units` with one axis or with sequential execution"),
        ({"axes": 1, "units": {2: 3}}, r"Expected `units` to name axes among \(1,\)"),
        ({"axes": 1, "units": {5: 3}}, "Expected `units` in"),
        (
            {"units": {1: 3, -2: 3}, "execution": "sequential"},
            r"Expected `units` to name axes among \(1, 2\), each once",
        ),
        (
            {"units": {1: 3}, "execution": "sequential", "sharing": "tied"},
            "Expected axes with tied sharing to have one size",
        ),
        ({"axes": 1, "units": 5, "wiring": "causal"}, "where an axis is resized"),
        ({"axes": 1, "units": 5, "wiring": "shift"}, "where an axis is resized"),
        ({"axes": 1, "units": 5, "wiring": "local", "window": 1}, "where an axis is resized"),
        (
            {"axes": 1, "units": 5, "wiring": "random", "density": 0.5, "seed": 1},
            "where an axis is resized",
        ),
        ({"axes": 1, "units": 5, "self_connection": "once"}, "where an axis is resized"),
        ({"axes": 1, "units": 5, "self_connection": "none"}, "where an axis is resized"),
        ({"wiring": "local", "window": [1]}, "Expected `window` to be an integer or one per"),
    ],
)
def test_arguments_that_do_not_fit_the_input(options, message):
    layer = MultidimDense(**options)
    with pytest.raises(ValueError, match=message):
        layer.build((None, 3, 4))
    with pytest.raises(ValueError, match=message):
        layer.compute_output_shape((None, 3, 4))


def test_unknown_sizes_of_mixed_axes():
    with pytest.raises(ValueError, match="known size of the mixed axis 1"):
        MultidimDense(axes=1).build((None, None, 4))
    with pytest.raises(ValueError, match=r"sizes of axes \(2,\) to be known"):
        MultidimDense(axes=1).build((None, 3, None))


def test_inputs_unlike_the_one_built_for():
    layer = build((3, 4), axes=1, sharing="shared")
    assert layer(np.zeros((2, 3, 7), "float32")).shape == (2, 3, 7)
    with pytest.raises(ValueError, match="expected axis 1 of input shape to have value 3"):
        layer(np.zeros((2, 4, 4), "float32"))
    with pytest.raises(ValueError, match="expected ndim=3"):
        layer(np.zeros((2, 3), "float32"))


def test_causal_true_wants_causal_wiring():
    layer = build((3, 4), wiring="shift")
    with pytest.raises(ValueError, match="Expected causal wiring in a call with causal=True"):
        layer(np.zeros((1, 3, 4), "float32"), causal=True)
    assert layer(np.zeros((1, 3, 4), "float32"), causal=False).shape == (1, 3, 4)
