"""MultidimDense with the native library against itself without: values, gradients, graphs."""

import os
import pathlib
import sys

import keras
import numpy as np
import pytest

from mdnn import MdnnError
from mdnn.layers import MultidimDense
from mdnn.native import axis_library, native_build, native_graphs
from mdnn.native.native_setting import VARIABLE

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "layers"))
from layer_gradients import output_and_gradients

TENSORFLOW = keras.backend.backend() == "tensorflow"
pytestmark = pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="the native library is for TensorFlow and JAX"
)
NEARLY = {"rtol": 0, "atol": 1e-5}


@pytest.fixture
def calls(axes, monkeypatch):
    """The shapes of the arrays that the library multiplied, in a list."""
    monkeypatch.delenv(VARIABLE, raising=False)
    found, real = [], axis_library.calls_for

    class Counted:
        def __init__(self, calls):
            self.calls = calls

        def products(self, x, *rest):
            found.append(tuple(x.shape))
            return self.calls.products(x, *rest)

    def counted(x):
        calls = real(x)
        return None if calls is None else Counted(calls)

    monkeypatch.setattr("mdnn.layers.multidim_kernels.calls_for", counted)
    return found


def made(sizes=(4, 3, 5), **options):
    layer = MultidimDense(**{"sharing": "separate", **options})
    layer.build((None, *sizes))
    return layer, keras.random.normal((9, *sizes), seed=1)


def with_and_without(monkeypatch, compute):
    """Returns what a function computes with the library and without it."""
    native = compute()
    monkeypatch.setenv(VARIABLE, "off")
    return native, compute()


@pytest.mark.parametrize(
    "options",
    [
        {"use_bias": True, "activation": "tanh"},
        {"wiring": "causal"},
        {"wiring": "local+random", "window": 1, "density": 0.5, "seed": 1},
        {"axes": (1, 3), "self_connection": "once"},
    ],
    ids=str,
)
def test_values_and_gradients(calls, monkeypatch, options):
    layer, x = made(**options)
    weights = np.random.default_rng(2).standard_normal(x.shape).astype("float32")
    if not TENSORFLOW:
        # jax.grad traces.
        monkeypatch.setenv(VARIABLE, "on")
    native, other = with_and_without(
        monkeypatch, lambda: output_and_gradients(layer, np.asarray(x), weights)
    )
    assert calls
    for a, b in zip((*native[:2], *native[2]), (*other[:2], *other[2]), strict=True):
        np.testing.assert_allclose(a, b, **NEARLY)


def test_what_keras_runs(calls):
    """Other dtypes, kernels that positions share, resized axes, few examples."""
    other = "float64" if TENSORFLOW else "float16"
    for options in ({"sharing": "shared"}, {"dtype": other}, {"axes": (1,), "units": 2}):
        layer, x = made(**options)
        layer(x)
    layer, x = made()
    layer(x[:2])
    assert calls == []
    layer(x)
    assert calls == [x.shape]


def test_words_of_the_variable(calls, monkeypatch):
    layer, x = made()
    monkeypatch.setenv(VARIABLE, "off")
    layer(x)
    assert calls == []
    assert axis_library.axis_library_facts()["why_not"] == "MDNN_NATIVE_LAYERS is off"
    monkeypatch.setenv(VARIABLE, "maybe")
    with pytest.raises(MdnnError, match="expected one of auto, on, off, received 'maybe'"):
        layer(x)


def test_a_library_of_other_sources_is_not_loaded(built_axes, monkeypatch, tmp_path):
    monkeypatch.setenv("MDNN_CACHE", str(tmp_path))
    monkeypatch.setattr(native_build, "packaged_axis_libraries", list)
    assert axis_library.axis_library_path() is None
    monkeypatch.setattr(native_build, "sources_number", lambda library: 7)
    os.link(built_axes, native_build.library_path("axes"))
    assert axis_library.axis_library_path() is None
    assert "mdnn build-native" in axis_library.axis_library_facts()["why_not"]


@pytest.mark.skipif(not TENSORFLOW, reason="of TensorFlow's graphs")
def test_graphs_on_tensorflow(calls, monkeypatch):
    """No graph holds an operation that a SavedModel could not be loaded with, unless it may."""
    import tensorflow as tf

    layer, x = made()
    expected = layer(x)

    def operations(**options):
        function = tf.function(lambda x: layer(x), autograph=False, **options)
        np.testing.assert_allclose(function(x), expected, **NEARLY)
        graph = function.get_concrete_function(x).graph
        return {op.type for op in graph.get_operations() if op.type.startswith("Mdnn")}

    assert operations() == set()
    with native_graphs():
        assert operations() == {"MdnnAxisProducts"}
        assert operations(jit_compile=True) == set()
        with native_graphs(False):
            assert operations() == set()
    monkeypatch.setenv(VARIABLE, "on")
    assert operations() == {"MdnnAxisProducts"}
    assert operations(jit_compile=True) == set()


@pytest.mark.skipif(not TENSORFLOW, reason="the gradient's gradient on TensorFlow")
def test_gradients_of_gradients(calls, monkeypatch):
    import tensorflow as tf

    layer, x = made((4, 3))
    kernels = [v.value for v in layer.trainable_variables]

    def compute():
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape(persistent=True) as inner:
                inner.watch(x)
                y = tf.reduce_sum(layer(x) ** 3)
            dx, *dk = inner.gradient(y, [x, *kernels])
            # Of x alone, and of kernels alone.
            once = inner.gradient(y, x), *inner.gradient(y, kernels)
            size = sum(tf.reduce_sum(g**2) for g in (dx, *dk, *once))
        return [dx, *dk, *once, *outer.gradient(size, [x, *kernels])]

    native, other = with_and_without(monkeypatch, compute)
    assert calls
    for a, b in zip(native, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max())


@pytest.mark.skipif(TENSORFLOW, reason="of JAX's graphs")
def test_graphs_on_jax(calls, monkeypatch):
    import jax

    layer, x = made((4, 3))
    values = [v.value for v in layer.trainable_variables]

    def size(x, values):
        return (layer.stateless_call(values, [], x)[0] ** 3).sum()

    def both(x, values):
        dx, dk = jax.grad(size, argnums=(0, 1))(x, values)
        return (dx**2).sum() + sum((g**2).sum() for g in dk)

    def compute():
        with native_graphs():
            return jax.jit(jax.value_and_grad(both, argnums=(0, 1)))(x, values)

    assert "ffi" not in str(jax.make_jaxpr(size)(x, values))
    assert calls == []
    native, other = with_and_without(monkeypatch, compute)
    assert calls
    for a, b in zip(jax.tree.leaves(native), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max())


def test_training_steps(calls, monkeypatch, tmp_path):
    """The custom loop trains with the library, and learns what it learns without."""
    import tiny

    import mdnn

    mixer = '[{wiring = "causal", sharing = "separate"}]'
    settings = (
        f"backbone.layer.0.mixer={mixer}",
        *tiny.QUICK,
        "train.steps=3",
        "context.grid=[4, 4]",
    )

    def trained():
        out = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        mdnn.train(tiny.load_config(tmp_path, *settings), out, show=False)
        return [np.asarray(w) for w in mdnn.load(out).weights]

    native, other = with_and_without(monkeypatch, trained)
    assert calls
    for a, b in zip(native, other, strict=True):
        np.testing.assert_allclose(a, b, **NEARLY)
