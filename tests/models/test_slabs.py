"""Contexts computed slab by slab, and layers that gradients compute again."""

import keras
import numpy as np
import pytest
from gradients import loss_and_gradients
from keras import ops
from networks import text_tokens, tiny

import mdnn
from mdnn.layers import MultidimDense
from mdnn.layers.slabs import grid_in_slabs, groups_are_looped, in_slabs
from mdnn.models.head_options import decoding
from mdnn.models.network_nll import NetworkNLL


def figures(*settings):
    """The loss of a batch, its gradients by weight and the scores, of the same weights."""
    # Dropout would draw other numbers.
    network = mdnn.build(tiny("text-grid", "backbone.layer.0.dropout=0.0", *settings))
    tokens = text_tokens((2, network.positions + 1))
    batch = {"tokens": tokens[:, :-1], "targets": tokens[:, 1:]}
    loss, gradients = loss_and_gradients(network, mdnn.TokenCrossEntropy(), batch)
    names = [variable.path for variable in network.trainable_variables]
    return (
        float(loss),
        {n: ops.convert_to_numpy(g) for n, g in zip(names, gradients, strict=True)},
        ops.convert_to_numpy(network(batch)),
    )


@pytest.fixture(scope="module")
def whole():
    return figures("backbone.slab=0", "backbone.layer.1.dropout=0.0")


# The grid has 6 positions: slabs of equal and of unequal length.
@pytest.mark.parametrize("settings", [["slab=2"], ["slab=4", "remat=true"], ["remat=true"]])
def test_slabs_and_recomputed_layers_change_nothing(whole, settings):
    settings = [f"backbone.{word}" for word in settings]
    loss, gradients, scores = figures("backbone.layer.1.dropout=0.0", *settings)
    assert loss == pytest.approx(whole[0], rel=1e-5)
    np.testing.assert_allclose(scores, whole[2], atol=1e-5)
    assert any(np.abs(gradient).max() > 1e-3 for gradient in gradients.values())
    for name, gradient in whole[1].items():
        np.testing.assert_allclose(gradients[name], gradient, atol=1e-5, err_msg=name)


def test_losses_of_positions():
    found = []
    for slab in (0, 4):
        network = mdnn.build(tiny("text-grid"))
        tokens = text_tokens((2, network.positions + 1))
        batch = {"tokens": tokens[:, :-1], "targets": tokens[:, 1:]}
        model = NetworkNLL(network, slab=slab, **decoding(network.config))
        found.append(ops.convert_to_numpy(model(batch)))
    assert found[0].shape == (2, 6)
    assert found[0].min() > 0
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)


def test_a_function_sees_slabs_alone():
    seen = []

    def double(x):
        seen.append(x.shape[1])
        return 2 * x, x[..., :1]

    x = np.arange(2 * 7 * 3, dtype="float32").reshape(2, 7, 3)
    twice, first = in_slabs(double, [ops.convert_to_tensor(x)], 3)
    # A loop may be traced once for all slabs of a size.
    assert set(seen) == {1, 3}
    np.testing.assert_array_equal(ops.convert_to_numpy(twice), 2 * x)
    np.testing.assert_array_equal(ops.convert_to_numpy(first), x[..., :1])


@pytest.mark.parametrize("slab", [0, 12, 100])
def test_a_grid_that_fits_is_one_slab(slab):
    x = ops.ones((1, 3, 4, 2))
    assert grid_in_slabs(lambda x: x.shape, [x], slab) == x.shape


def test_a_grid_keeps_its_shape():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 2)).astype("float32")
    y = grid_in_slabs(lambda x: x + 1, [ops.convert_to_tensor(x)], 5)
    np.testing.assert_array_equal(ops.convert_to_numpy(y), x + 1)


def mixed(slab, execution, causal):
    """The output of a layer with kernels for groups of channels, and its gradients."""
    x = np.random.default_rng(3).normal(size=(2, 3, 2, 4, 2, 3)).astype("float32")
    layer = MultidimDense(
        axes=(1, 2, 3),
        sharing=(4,),
        execution=execution,
        wiring="causal+shift",
        use_bias=True,
        bias_initializer="ones",
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.5, seed=5),
    )
    layer.slab = slab
    layer.build(x.shape)
    weights = layer.trainable_variables

    def total(*values):
        y, _ = layer.stateless_call(values[1:], [], values[0], causal=causal)
        return ops.sum(y * ops.sin(ops.cast(ops.arange(4), "float32"))[:, None, None]), y

    return layer, gradients_by(total, [ops.convert_to_tensor(x), *[w.value for w in weights]])


@pytest.mark.parametrize("execution", ["parallel", "sequential"])
@pytest.mark.parametrize("causal", [True, False])
def test_a_loop_over_groups_of_channels_changes_nothing(execution, causal):
    layer, (whole, gradients) = mixed(0, execution, causal)
    looped_layer, (looped, looped_gradients) = mixed(23, execution, causal)
    assert not groups_are_looped(layer, (2, 3, 2, 4, 2, 3))
    assert groups_are_looped(looped_layer, (2, 3, 2, 4, 2, 3))
    np.testing.assert_allclose(looped, whole, rtol=1e-4, atol=1e-4)
    for first, second in zip(gradients, looped_gradients, strict=True):
        assert np.abs(first).max() > 1e-3
        np.testing.assert_allclose(second, first, atol=1e-5 * np.abs(first).max())


def gradients_by(function, values):
    """The second result of a function of tensors, and the gradients of its first one."""
    if keras.backend.backend() == "jax":
        import jax

        grad = jax.grad(function, argnums=tuple(range(len(values))), has_aux=True)
        gradients, y = jax.jit(grad)(*values)
    elif keras.backend.backend() == "torch":
        pytest.skip("the loop's gradients are taken on TensorFlow and JAX")
    else:
        import tensorflow as tf

        @tf.function(autograph=False)
        def run(values):
            with tf.GradientTape() as tape:
                tape.watch(values)
                total, y = function(*values)
            return y, tape.gradient(total, values)

        y, gradients = run(list(map(tf.convert_to_tensor, values)))
    return np.asarray(y), [np.asarray(gradient) for gradient in gradients]
