"""FoldLayer steps, damping, noise, random starts, and steps without gradient."""

import keras
import numpy as np
import pytest
from backends import gradient, to_numpy, values
from keras import ops
from networks import make_refeed, normal

from mdnn.models.blocks.feed_forward import LinearBlock
from mdnn.models.thinking.recurrence import Refeed

SHAPE = (3, 4)


def run(layer, y):
    for branch in layer.blocks:
        y = branch(y)
    return y


def written_out(layer, x, steps, inner, d):
    """The steps as the class's text has them."""
    y, z = 0 * x, 0 * x
    for _ in range(steps):
        if inner:
            for _ in range(inner):
                z = d * z + (1 - d) * run(layer, x + y + z)
            y = d * y + (1 - d) * run(layer, y + z)
        else:
            y = d * y + (1 - d) * run(layer, x + y)
    return y


@pytest.mark.parametrize("bptt_steps", [0, 1])
@pytest.mark.parametrize(("inner", "damping"), [(2, 0.0), (0, 0.25), (1, 0.25)])
def test_inner_steps_and_damping(inner, damping, bptt_steps):
    layer = make_refeed(SHAPE, 7, inner_steps=inner, damping=damping, bptt_steps=bptt_steps)
    x = normal(2, *SHAPE)
    expected = values(lambda x: written_out(layer, x, 7, inner, damping), x)
    np.testing.assert_allclose(values(layer, x), expected, rtol=1e-4, atol=1e-5)
    plain = values(lambda x: written_out(layer, x, 7, 0, 0.0), x)
    assert abs(expected - plain).max() > 0.01


@pytest.mark.parametrize("inner", [0, 2])
@pytest.mark.parametrize(("steps", "bptt_steps"), [(6, 2), (3, 1), (4, 4)])
def test_gradients_of_the_last_steps_are_finite_differences(steps, bptt_steps, inner):
    """The gradient by the input is that of the last K steps from a fixed state."""
    layer = make_refeed(SHAPE, steps, bptt_steps=bptt_steps, inner_steps=inner)
    x, w = normal(1, *SHAPE), normal(1, *SHAPE, seed=6)
    found = gradient(lambda x: ops.sum(w * layer(x)), x)

    before = steps - bptt_steps
    states = layer.first_states(x)
    if before:
        states = layer.iterate(x, states, before)
    states = [None if state is None else to_numpy(state) for state in states]

    def last(x):
        (y, *_) = layer.iterate(ops.convert_to_tensor(x), tuple(states), bptt_steps)
        return float(np.sum(w.astype("float64") * to_numpy(y)))

    size, difference = 1e-2, np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        for sign in (1, -1):
            moved = x.copy()
            moved[place] += sign * size
            difference[place] += sign * last(moved) / (2 * size)
    np.testing.assert_allclose(found, difference, rtol=0.05, atol=0.01)
    assert abs(found).max() > 0.1


def test_carried_states_are_two_runs_of_one():
    layer = make_refeed(SHAPE, 3, inner_steps=2)
    x = normal(2, *SHAPE)
    half = layer.iterate(x, layer.first_states(x), 2)
    assert len(half) == 2
    (y, _) = layer.iterate(x, half, 1)
    np.testing.assert_allclose(to_numpy(y), values(layer, x), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="counts TensorFlow's ops")
def test_the_compiled_step_grows_with_backprop_alone():
    """What a step keeps for gradients is in its graph: as large for 8 steps as for 80."""
    import tensorflow as tf

    def operations(steps, bptt_steps):
        layer = make_refeed(SHAPE, steps, bptt_steps=bptt_steps)

        @tf.function
        def gradients(x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(layer(x))
            return tape.gradient(loss, layer.trainable_weights[0].value)

        graph = gradients.get_concrete_function(tf.TensorSpec((2, *SHAPE), "float32")).graph
        return len(graph.get_operations())

    assert operations(80, 2) == operations(8, 2)
    assert operations(8, 4) > 1.3 * operations(8, 2)


def test_random_starts():
    layer = make_refeed(SHAPE, 2, initial_state="random", seed=3)
    x = normal(2, *SHAPE)
    first, again = (to_numpy(layer.first_states(x)[0]) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert abs(first).max() > 0.5
    # The same for every example, so that no answer depends on the batch; another in each position.
    np.testing.assert_array_equal(first[0], first[1])
    assert (first[0, 0] != first[0, 1]).all()
    trained = [to_numpy(layer.first_states(x, training=True)[0]) for _ in range(2)]
    assert (trained[0] != trained[1]).all()
    other = make_refeed(SHAPE, 2, initial_state="random", seed=4)
    assert (to_numpy(other.first_states(x)[0]) != first).all()


def test_noise_is_of_training_alone():
    layer = make_refeed(SHAPE, 2, noise=0.5)
    x = normal(2, *SHAPE)
    still = to_numpy(layer(x))
    np.testing.assert_array_equal(to_numpy(layer(x)), still)
    np.testing.assert_allclose(still, values(make_refeed(SHAPE, 2), x), rtol=1e-5)
    noisy = [to_numpy(layer(x, training=True)) for _ in range(2)]
    assert abs(noisy[0] - noisy[1]).min() > 1e-4


def test_noise_in_a_loop_is_another_at_every_turn():
    """Were it the same, or none, two turns more would not move a contraction's state."""
    layer = make_refeed(SHAPE, 8, bptt_steps=1, noise=0.5)
    x = np.zeros((2, *SHAPE), "float32")
    for variable in layer.weights:
        variable.assign(np.zeros(variable.shape))
    drawn = []
    real = layer.step

    def step(x, states, run, noise):
        (y,) = real(x, states, run, noise)
        return (y + states[0],)

    # Without weights a step gives its noise alone; here it is added up.
    layer.step = step
    for free in (4, 5, 6):
        layer.generator.state.assign([7, 0])
        drawn.append(to_numpy(layer.iterate(x, layer.first_states(x), 0, free, None, True)[0]))
    turns = [drawn[1] - drawn[0], drawn[2] - drawn[1]]
    assert abs(turns[0] - turns[1]).min() > 1e-4
    assert 0.2 < np.std(turns) < 0.9


@pytest.mark.parametrize("what", ["answer", "both"])
def test_answers_are_fed_back(what):
    layer = make_refeed(SHAPE, 3, feedback=what)
    layer.answer_feedback = lambda y: 2 * ops.tanh(y)
    x = normal(2, *SHAPE)

    def expected(x):
        y = 0 * x
        for _ in range(3):
            answer = 2 * ops.tanh(y)
            y = run(layer, x + (answer if what == "answer" else y + answer))
        return y

    np.testing.assert_allclose(values(layer, x), values(expected, x), rtol=1e-4, atol=1e-5)
    with pytest.raises(
        ValueError, match=f"Refeed of feedback = '{what}' .* only be saved as part of its network"
    ):
        layer.get_config()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"inner_steps": -1}, "inner_steps: expected at least 0, received -1"),
        (
            {"inner_steps": 1, "feedback": "both"},
            "feedback: expected 'state' with inner steps, received 'both'",
        ),
        (
            {"feedback": "words"},
            "feedback: expected one of state, answer, both, received 'words'",
        ),
        (
            {"damping": 1.0},
            "damping of at least 0 and below 1 and noise of at least 0, received damping=1",
        ),
        ({"noise": -0.1}, "noise of at least 0, received damping=0.0, noise=-0.1"),
    ],
)
def test_errors(kwargs, message):
    with pytest.raises(ValueError, match=message):
        Refeed([LinearBlock()], 2, **kwargs)
