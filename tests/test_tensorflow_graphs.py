"""TensorFlow keeps no custom gradients of what mdnn traced, and those of the caller stay."""

import sys
import threading

import keras
import pytest
import tiny

import mdnn
from mdnn.tensorflow_graphs import PREFIX, _registered, forgetting_gradients

if keras.backend.backend() != "tensorflow":
    pytest.skip("the table is TensorFlow's", allow_module_level=True)

import tensorflow as tf


def traced():
    """Traces a function with a custom gradient; returns its gradient at 3."""

    @tf.custom_gradient
    def square(x):
        return x * x, lambda upstream: upstream * 2 * x

    @tf.function
    def slope(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = square(x)
        return tape.gradient(y, x)

    return float(slope(tf.constant(3.0)))


def names():
    return {name for name in _registered() if name.startswith(PREFIX)}


def test_only_those_of_the_block_are_forgotten():
    begun = names()
    assert traced() == 6.0
    before = names()
    assert before > begun
    with forgetting_gradients():
        assert traced() == 6.0
        assert names() > before
    assert names() == before


def test_nothing_is_forgotten_that_another_thread_may_differentiate():
    """A training in another thread differentiates what it traced; both forget in the end."""
    before, begun, end = names(), threading.Event(), threading.Event()

    def train():
        with forgetting_gradients():
            assert traced() == 6.0
            begun.set()
            end.wait(60)

    with forgetting_gradients():
        assert traced() == 6.0
        thread = threading.Thread(target=train)
        thread.start()
        assert begun.wait(60)
        inside = names()
        with forgetting_gradients():
            assert traced() == 6.0
    assert names() > inside > before
    end.set()
    thread.join()
    assert names() == before


def test_networks_leave_none(tmp_path):
    config = tiny.load_config(tmp_path, "train.steps=1", *tiny.QUICK[:2])
    before = names()
    network = mdnn.build(config)
    assert names() == before
    mdnn.train(config, tmp_path / "run", show=False)
    assert names() == before
    # A network of the caller's is differentiated as ever.
    network.compile("sgd", loss=mdnn.TokenCrossEntropy(), jit_compile=False)
    text = mdnn.open_text(config.data.source)
    network.fit(mdnn.TextBatches(text.train, text.tokenizer, 8, 2, 1, 1), verbose=0)


def test_without_tensorflow(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow.python.framework.ops", None)
    with forgetting_gradients():
        assert _registered() == {}
