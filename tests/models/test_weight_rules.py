"""Weights that are about to be made: limited and seeded, with nothing global changed."""

import random
import threading

import keras
import numpy as np
import pytest
from backends import to_numpy
from networks import make_config, mix

from mdnn import MdnnError, build
from mdnn.layers import MultidimDense
from mdnn.layers.weight_rules import NumpyDraw, applied, derived_seed, seeded
from mdnn.models.parameter_limit import TooLargeError, at_most

FOLD = {"kind": "fold", "width": 6, "block": [mix({"groups": 2}, gate="silu", dropout=0.1)]}
MIXED = mix(
    {"kind": "conv", "window": 1, "axes": [1]},
    {"kind": "attention", "heads": 2, "axes": [2]},
    {"kind": "local", "window": 1, "axes": [2]},
    dropout=0.1,
)
FEED = {"kind": "feedforward", "norm": "layer", "dropout": 0.1}


def config(*blocks, **tables):
    return make_config(*(blocks or (FOLD, MIXED, FEED)), grid=(3, 2), **tables)


def weights(model):
    return {weight.path: to_numpy(weight) for weight in model.weights}


def global_state():
    generator = keras.src.random.seed_generator.global_seed_generator()
    return random.getstate(), np.random.get_state()[1].tolist(), to_numpy(generator.state).tolist()


def test_nothing_global_is_changed():
    add_weight, before = keras.layers.Layer.add_weight, global_state()
    build(config(refeed={"steps": 2, "initial_state": "learned"}))
    assert global_state() == before
    assert keras.layers.Layer.add_weight is add_weight


def test_the_same_config_gives_the_same_weights_and_another_seed_others():
    keras.utils.set_random_seed(1)
    one = weights(build(config()))
    keras.utils.set_random_seed(2)
    again, other = weights(build(config())), weights(build(config(seed=2)))
    drawn = [path for path, values in one.items() if values.std() > 0]
    assert len(drawn) > 15
    for path, values in one.items():
        np.testing.assert_array_equal(values, again[path], path)
        assert (path in drawn) == (abs(values - other[path]).max() > 0), path
    # No two start from the same numbers.
    firsts = {tuple(np.sign(one[path].ravel()[:64])) for path in drawn if one[path].size >= 64}
    assert len(firsts) == sum(one[path].size >= 64 for path in drawn)


def test_one_more_block_changes_no_other():
    one, two = (build(config(FOLD, MIXED, depth=depth)) for depth in (1, 2))
    more = weights(two)
    for path, values in weights(one).items():
        # The last dense of every block starts smaller in a deeper network.
        scale = 2**-0.5 if "/dense_out/" in path and path.count("/") == 2 else 1.0
        np.testing.assert_allclose(more[path], scale * values, rtol=1e-5, err_msg=path)


def test_dropout_has_seeds_of_its_own():
    found = [
        [layer.seed for layer in build(config(seed=seed))._flatten_layers() if drops(layer)]
        for seed in (1, 1, 2)
    ]
    assert len(set(found[0])) == len(found[0]) == 3
    assert found[0] == found[1] != found[2]


def drops(layer):
    return isinstance(layer, keras.layers.Dropout) and layer.rate > 0


def test_a_limit_is_told_before_the_weight_is_made():
    made = []

    def note(path, shape, initializer):
        made.append(path)
        return initializer

    total = build(config()).count_params()
    assert build(config(), max_parameters=total).count_params() == total
    with applied(note), pytest.raises(MdnnError, match=f"at most {total - 1:,} weights, received"):
        build(config(), max_parameters=total - 1)
    # All but the last.
    assert len(made) == len(build(config()).weights)
    with at_most(10), pytest.raises(TooLargeError, match=r"received 0 and then 16 of a/kernel"):
        MultidimDense(1, sharing="shared", name="a").build((None, 4, 2))


def test_limits_of_threads_are_apart():
    found, barrier = {}, threading.Barrier(2)

    def make(most):
        with at_most(most):
            barrier.wait()
            try:
                MultidimDense(1, sharing="shared").build((None, 4, 2))
                found[most] = "made"
            except TooLargeError:
                found[most] = "refused"
            barrier.wait()

    threads = [threading.Thread(target=make, args=(most,)) for most in (10, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {10: "refused", 20: "made"}


def test_a_seed_of_ones_own_stays():
    with applied(seeded(1)):
        layers = [keras.initializers.RandomNormal(seed=seed) for seed in (3, None)]
        kernels = []
        for initializer in layers:
            layer = MultidimDense(1, sharing="shared", kernel_initializer=initializer, name="b")
            layer.build((None, 4, 2))
            kernels.append(to_numpy(layer.kernels[0]))
    expected = to_numpy(keras.initializers.RandomNormal(seed=3)((4, 4)))
    np.testing.assert_array_equal(kernels[0], expected)
    rng = np.random.default_rng(derived_seed(1, "b/kernel_axis_1"))
    # As keras.initializers.RandomNormal would: a deviation of 0.05.
    np.testing.assert_allclose(
        kernels[1], 0.05 * rng.standard_normal((4, 4), dtype="float32"), rtol=1e-6
    )


@pytest.mark.parametrize(
    "initializer",
    [
        keras.initializers.RandomNormal(0.5, 2.0),
        keras.initializers.GlorotUniform(),
        keras.initializers.GlorotNormal(),
        keras.initializers.HeNormal(),
        keras.initializers.LecunUniform(),
        keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
    ],
    ids=lambda initializer: type(initializer).__name__,
)
@pytest.mark.parametrize("shape", [(20_000,), (200, 150), (3, 100, 90)], ids=str)
def test_draws_by_numpy_are_distributed_as_those_of_keras(initializer, shape):
    found = to_numpy(NumpyDraw(initializer, 5)(shape, dtype="float32"))
    expected = to_numpy(initializer(shape, dtype="float32"))
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    scale = float(expected.std())
    assert found.std() == pytest.approx(scale, rel=0.05)
    assert found.mean() == pytest.approx(expected.mean(), abs=0.05 * scale)
    for part in (0.01, 0.25, 0.75, 0.99):
        assert np.quantile(found, part) == pytest.approx(
            np.quantile(expected, part), abs=0.12 * scale
        )
    np.testing.assert_array_equal(to_numpy(NumpyDraw(initializer, 5)(shape)), found)


def test_the_same_weights_on_every_backend():
    """Numbers that no backend draws."""
    found = weights(build(config(FEED, width=4)))
    kernel = found["block_0_feedforward/dense_in/kernel"]
    rng = np.random.default_rng(derived_seed(1, "block_0_feedforward/dense_in/kernel"))
    first = rng.standard_normal((4, 8), dtype="float32")
    kept = np.abs(first) <= 2
    scale = 0.5 / NumpyDraw.TRUNCATED
    np.testing.assert_allclose(kernel[kept], scale * first[kept], rtol=1e-5)
