"""Refeed against explicit loops: values, and gradients through all steps or the last ones."""

import keras
import numpy as np
import pytest
from backends import to_numpy, values, weight_gradients
from keras import ops
from layer_checks import CHECKS, Case
from networks import make_refeed, normal

from mdnn.models.blocks.feed_forward import FeedForwardBlock, LinearBlock
from mdnn.models.call_options import CAUSAL, CallOptions
from mdnn.models.thinking.recurrence import Refeed

SHAPE = (3, 4)


def loop(layer, x, steps, last=None, state=None):
    """The steps written out; gradients stop before the last `last` ones."""
    y = state
    if y is None and layer.initial_state == "learned":
        y = 0 * x + layer.first[0]
    for step in range(steps):
        if last is not None and step == steps - last and step > 0:
            y = ops.stop_gradient(y)
        y = x if y is None else x + y
        for branch in layer.blocks:
            y = branch(y)
    return y


def gradients(layer, function):
    """Gradients of `sum(function(x) * w)` by the layer's weights: dict from path to array."""
    x = keras.Input(SHAPE)
    # The loop's model has the branches in it, not the layer around them.
    model = keras.Model(x, function(x))
    w = normal(2, *SHAPE, seed=6)
    found = weight_gradients(model, lambda y: ops.sum(w * y), normal(2, *SHAPE))
    none = {variable.path: np.zeros(variable.shape) for variable in layer.trainable_variables}
    return none | found


def assert_same(actual, expected):
    assert actual.keys() == expected.keys()
    for path, gradient in expected.items():
        np.testing.assert_allclose(actual[path], gradient, rtol=1e-4, atol=1e-4, err_msg=path)


@pytest.mark.parametrize("start", ["zeros", "learned"])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_values(steps, start):
    layer = make_refeed(SHAPE, steps, initial_state=start)
    assert len(layer.weights) == 3 + (start == "learned")
    x = normal(2, *SHAPE)
    expected = values(lambda x: loop(layer, x, steps), x)
    np.testing.assert_allclose(values(layer, x), expected, rtol=1e-4, atol=1e-5)
    if steps > 1:
        fewer = values(lambda x: loop(layer, x, steps - 1), x)
        assert abs(expected - fewer).max() > 0.01


def test_one_step_is_the_branches_alone():
    layer = make_refeed(SHAPE, 1)
    first, second = layer.blocks
    x = normal(2, *SHAPE)
    np.testing.assert_allclose(values(layer, x), values(lambda x: second(first(x)), x), rtol=1e-5)


def test_steps_and_state_in_the_call():
    layer = make_refeed(SHAPE, 2, bptt_steps=2)
    x, state = normal(2, *SHAPE), normal(2, *SHAPE, seed=7)
    for steps in (1, 3):
        np.testing.assert_allclose(
            values(lambda x, steps=steps: layer(x, steps=steps), x),
            values(lambda x, steps=steps: loop(layer, x, steps), x),
            rtol=1e-4,
            atol=1e-5,
        )
    np.testing.assert_allclose(
        values(lambda x, s: layer(x, state=s), x, state),
        values(lambda x, s: loop(layer, x, 2, state=s), x, state),
        rtol=1e-4,
        atol=1e-5,
    )
    # Steps may be taken apart, the state carried on.
    whole = values(lambda x: layer(x, steps=3), x)
    apart = values(lambda x: layer(x, steps=2, state=layer(x, steps=1)), x)
    np.testing.assert_allclose(apart, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("start", ["zeros", "learned"])
@pytest.mark.parametrize("bptt_steps", [0, 1, 2, 3])
def test_gradients(bptt_steps, start):
    layer = make_refeed(SHAPE, 3, bptt_steps=bptt_steps, initial_state=start)
    found = gradients(layer, layer)
    assert_same(found, gradients(layer, lambda x: loop_layer(layer, x, bptt_steps or 3)))
    full = gradients(layer, lambda x: loop_layer(layer, x, 3))
    assert all(abs(gradient).max() > 0.01 for gradient in full.values())
    if bptt_steps in (0, 3):
        assert_same(found, full)
    else:
        for path, gradient in full.items():
            assert abs(found[path] - gradient).max() > 1e-3, path
            if path.endswith("start"):
                assert (found[path] == 0).all()


def loop_layer(layer, x, last):
    """The loop in a layer, so that a functional model owns the start, too."""

    class Loop(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.refeed = layer
            self.built = True

        def call(self, x):
            return loop(layer, x, layer.steps, last)

        def compute_output_shape(self, shape):
            return shape

    return Loop()(x)


@pytest.mark.parametrize("bptt_steps", [0, 2])
def test_remat_has_the_same_values_and_gradients(bptt_steps):
    """What is computed twice is counted, too: the insides of a step run again for gradients."""
    kept, again = (
        make_refeed(SHAPE, 3, bptt_steps=bptt_steps, remat=remat) for remat in (False, True)
    )
    again.set_weights(kept.get_weights())
    x = normal(2, *SHAPE)
    np.testing.assert_allclose(to_numpy(again(x)), to_numpy(kept(x)), rtol=1e-6)
    assert_same(
        dict(enumerate(gradients(again, again).values())),
        dict(enumerate(gradients(kept, kept).values())),
    )


def test_remat_with_dropout():
    branch = FeedForwardBlock(5, activation="tanh", dropout=0.5, name="dropped")
    with pytest.raises(ValueError, match="remat: expected layers without dropout"):
        Refeed([branch], 2, remat=True)


def test_fewer_steps_than_bptt_steps_in_the_call():
    layer = make_refeed(SHAPE, 3, bptt_steps=2)
    found = gradients(layer, lambda x: layer(x, steps=1))
    assert_same(found, gradients(layer, lambda x: loop(layer, x, 1)))


def test_learned_start_is_one_vector():
    layer = make_refeed(SHAPE, 2, initial_state="learned")
    (start,) = (w for w in layer.weights if w.name == "start")
    assert start.shape == (4,)
    x = normal(2, *SHAPE)
    before = to_numpy(layer(x))
    start.assign(start + 1)
    assert (to_numpy(layer(x)) != before).any(axis=-1).all()


def test_options_are_handed_on():
    class Told(keras.layers.Layer):
        def call(self, x, options=None):
            return x + {None: 1, CAUSAL: 2, CallOptions(causal=False): 3}[options]

    x = np.zeros((1, 2), "float32")
    for options, expected in ((None, 1), (CAUSAL, 2), (CallOptions(causal=False), 3)):
        assert (to_numpy(Refeed([Told()], 1)(x, options=options)) == expected).all()


def test_config():
    layer = make_refeed(SHAPE, 4, bptt_steps=2, initial_state="learned", name="again")
    config = layer.get_config()
    for _ in range(2):  # a config is not used up
        revived = Refeed.from_config(config)
        assert (revived.steps, revived.bptt_steps, revived.initial_state) == (4, 2, "learned")
        assert revived.name == "again"
        assert [b.get_config() for b in revived.blocks] == [b.get_config() for b in layer.blocks]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_check(check, tmp_path):
    def layer(**kwargs):
        step = LinearBlock("tanh", name="step", dtype=kwargs.get("dtype"))
        return Refeed([step], 2, initial_state="learned", **kwargs)

    check(Case(layer, SHAPE), tmp_path)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"steps": 0}, "steps: expected at least 1, received 0"),
        ({"steps": 1.5}, "steps: expected at least 1, received 1.5"),
        ({"steps": 2, "bptt_steps": 3}, r"bptt_steps: expected 0 \(all\) to steps = 2, received 3"),
        (
            {"steps": 2, "bptt_steps": -1},
            r"bptt_steps: expected 0 \(all\) to steps = 2, received -1",
        ),
        (
            {"steps": 2, "initial_state": "ones"},
            "initial_state: expected one of zeros, learned, random, received 'ones'",
        ),
    ],
)
def test_errors(kwargs, message):
    with pytest.raises(ValueError, match=message):
        Refeed([LinearBlock()], **kwargs)


def test_no_steps_in_the_call():
    with pytest.raises(ValueError, match="steps: expected at least 1, received 0"):
        make_refeed(SHAPE, 2)(normal(2, *SHAPE), steps=0)
