"""The loss of every modality, place, table and weight."""

import keras
import numpy as np
import pytest
from backends import run, to_numpy, values
from networks import make_config, mix, randomize

from mdnn.layers import ModalityHeads
from mdnn.models.loss import TokenCrossEntropy, TokenNLL, loss_for, token_nll

KINDS = ("text", "grey", "audio", "end")
ROWS = np.array(
    [
        [1, 0, 3, 200, 7, 0, 0, 0],
        [4, 99, 0, 0, 3, 2, 0, 1],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [7, 128, 5, 0, 13, 0, 0, 2],
        [9, 0, 0, 0, 0, 0, 0, 0],
        [4, 0, 0, 0, 0, 1, 0, 1],
    ],
    "int32",
)
HOW = {"places": True, "base": 4, "digits": 2}


def example(how, seed=0):
    """Targets `[1, n, 8]`, random scores for them, and the heads' steps."""
    heads = ModalityHeads(KINDS, **how)
    classes = heads.compute_output_shape((1, 1, 99))[-1]
    scores = np.random.default_rng(seed).normal(size=(1, len(ROWS), classes)) * 2
    return ROWS[None], scores.astype("float32"), heads.steps


def by_part(how, scores, steps):
    """Nats of each position's parts, in numpy: dict from part to `[n]`."""
    found, start = {}, 0
    for step in steps:
        piece = scores[0, :, start : start + step.classes].astype("float64")
        start += step.classes
        nats = np.logaddexp.reduce(piece, axis=-1)
        nats -= piece[np.arange(len(ROWS)), to_numpy(step.answer(ROWS))]
        names = KINDS if step.kinds is None else step.kinds
        kinds = [{"text": 1, "grey": 4, "audio": 7, "end": 9}[name] for name in names]
        found[step.group] = found.get(step.group, 0) + nats * np.isin(ROWS[:, 0], kinds)
    return found


@pytest.mark.parametrize(
    "how",
    [{}, HOW, {"table": "full"}, {"table": "bits", **HOW}],
    ids=["bytes", "places", "full", "bits"],
)
def test_unit_nats(how):
    targets, scores, steps = example(how)
    parts = by_part(how, scores, steps)
    nats, counted = (to_numpy(x) for x in token_nll(targets, scores, KINDS, **how))
    np.testing.assert_allclose(nats[0], sum(parts.values()), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(counted[0], [1, 1, 0, 1, 1, 1])
    assert ("coordinate" in parts) == ("places" in how)
    layer = TokenNLL(KINDS, **how)
    np.testing.assert_array_equal(values(layer, targets, scores), nats)
    again = TokenNLL.from_config(layer.get_config())
    np.testing.assert_array_equal(values(again, targets, scores), nats)


def test_bits_cost_their_logarithms():
    """Nats are those of independent bits; scores of 0 cost log 2 each."""
    targets, scores, _ = example({"table": "bits"})
    nats, _ = token_nll(targets, scores * 0, KINDS, table="bits")
    expected = np.log(2) * np.array([4 + 24, 4 + 8, 0, 4 + 16, 4, 4 + 8])
    np.testing.assert_allclose(to_numpy(nats)[0], expected, rtol=1e-6)


@pytest.mark.parametrize("how", [HOW, {"table": "bits", **HOW}], ids=["bytes", "bits"])
def test_step_weights(how):
    targets, scores, steps = example(how)
    parts = by_part(how, scores, steps)
    weights = {"modality": 0.5, "byte_2": 0.0, "coordinate": 3.0}
    expected = sum(weights.get(name, 1) * nats for name, nats in parts.items())
    nats, counted = (to_numpy(x) for x in token_nll(targets, scores, KINDS, weights, **how))
    np.testing.assert_allclose(nats[0], expected, rtol=1e-5, atol=1e-5)
    assert counted.sum() == 5
    loss = TokenCrossEntropy(KINDS, **how, step_weights=weights)
    np.testing.assert_allclose(values(loss, targets, scores), expected.sum() / 5, rtol=1e-5)


def test_modality_weights():
    targets, scores, _ = example(HOW)
    nats = to_numpy(token_nll(targets, scores, KINDS, **HOW)[0])[0]
    weights = np.array([2, 0.25, 0, 1, 0, 0.25])
    loss = TokenCrossEntropy(KINDS, **HOW, modality_weights={"text": 2.0, "grey": 0.25, "end": 0})
    expected = (weights * nats).sum() / weights.sum()
    np.testing.assert_allclose(values(loss, targets, scores), expected, rtol=1e-5)
    # More padding changes nothing, nor do weights that are all twice as large.
    padded = np.concatenate([targets, targets * 0], axis=1)
    more = np.concatenate([scores, scores + 1], axis=1)
    np.testing.assert_allclose(values(loss, padded, more), expected, rtol=1e-5)
    twice = {"text": 4.0, "grey": 0.5, "audio": 2.0, "end": 0}
    loss = TokenCrossEntropy(KINDS, **HOW, modality_weights=twice)
    np.testing.assert_allclose(values(loss, targets, scores), expected, rtol=1e-5)


def test_an_end_weighs_what_the_unit_before_it_does():
    targets = np.zeros((1, 4, 8), "int32")
    targets[0, :, 0] = 9
    targets[0, :, 1] = [1, 4, 7, 0]
    loss = TokenCrossEntropy(KINDS, modality_weights={"text": 60.0, "audio": 0.2, "end": 0.5})
    np.testing.assert_allclose(to_numpy(loss.weights(targets))[0], [30, 0.5, 0.1, 0.5], rtol=1e-6)
    alone = TokenCrossEntropy(KINDS, modality_weights={"end": 0.5})
    np.testing.assert_allclose(to_numpy(alone.weights(targets))[0], [0.5] * 4, rtol=1e-6)


def test_weights_of_one_are_none():
    targets, scores, _ = example(HOW)
    ones = TokenCrossEntropy(
        KINDS, **HOW, modality_weights=dict.fromkeys(KINDS, 1), step_weights={"coordinate": 1}
    )
    plain = TokenCrossEntropy(KINDS, **HOW)
    assert values(ones, targets, scores) == values(plain, targets, scores)


def test_sample_weights_multiply():
    targets, scores, _ = example({})
    nats = to_numpy(token_nll(targets, scores, KINDS)[0])[0]
    sample = np.array([[0.5, 2, 7, 0, 1.5, 1]], "float32")
    found = to_numpy(TokenCrossEntropy(KINDS)(targets, scores, sample_weight=sample))
    np.testing.assert_allclose(found, (nats * sample[0]).sum() / 5, rtol=1e-5)


def test_nothing_that_counts_costs_nothing():
    targets, scores, _ = example({})
    for loss in (
        TokenCrossEntropy(KINDS, modality_weights=dict.fromkeys(KINDS, 0)),
        TokenCrossEntropy(
            KINDS, step_weights={"modality": 0, "byte_1": 0, "byte_2": 0, "byte_3": 0}
        ),
    ):
        assert values(loss, targets, scores) == 0


def test_places_beyond_floats():
    """Keras makes floats of targets; places that no float32 holds keep their digits."""
    how = {"places": True, "base": 32, "digits": 6}
    targets = np.array([[[7, 1, 2, 0, 987_654_321, 0, 0, 0]]], "int32")
    heads = ModalityHeads(("audio",), **how)
    rows = np.zeros((1, 1, sum(step.classes for step in heads.steps)), "float32")
    start = 0
    for step in heads.steps:
        rows[0, 0, start + int(step.answer(targets)[0, 0])] = 50
        start += step.classes
    assert int(np.float32(987_654_321)) != 987_654_321
    assert values(TokenCrossEntropy(("audio",), **how), targets, rows) < 1e-6
    targets[..., 4] += 1
    assert values(TokenCrossEntropy(("audio",), **how), targets, rows) > 10


def test_a_target_that_the_heads_lack():
    """An error where its values are known; not counted inside a compiled function."""
    targets, scores, _ = example({})
    strange = targets.copy()
    strange[0, 1, 0] = 3
    with pytest.raises(ValueError, match=r"have the indices \[1, 4, 7, 9\] .* received \[0, 1, 3"):
        token_nll(strange, scores, KINDS)
    with pytest.raises(ValueError, match="indices"):
        TokenCrossEntropy(KINDS)(strange, scores)
    if keras.backend.backend() == "torch":
        # It runs op by op: values are always known.
        return
    masked = targets.copy()
    masked[0, 1] = 0
    function = _compiled(TokenCrossEntropy(KINDS))
    np.testing.assert_allclose(
        function(strange, scores), values(TokenCrossEntropy(KINDS), masked, scores)
    )


def _compiled(function):
    if keras.backend.backend() == "jax":
        return lambda *args: to_numpy(run(function, *args))
    import tensorflow as tf

    return lambda *args: tf.function(function)(*map(tf.constant, args)).numpy()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"modality_weights": {"gray": 1}}, "unknown modality 'gray'.*known: text, grey"),
        ({"step_weights": {"byte": 1}}, "unknown group of steps 'byte'.*known: modality, byte_1"),
        ({"modalities": ("padding",)}, "modalities: expected distinct names, no padding"),
    ],
)
def test_errors(kwargs, message):
    with pytest.raises(ValueError, match=message):
        TokenCrossEntropy(**{"modalities": KINDS, **kwargs})


def test_config():
    loss = TokenCrossEntropy(
        KINDS, "bits", True, 4, 2, {"grey": 0.5}, {"coordinate": 2}, name="cost"
    )
    revived = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert revived.get_config() == loss.get_config()
    targets, scores, _ = example({"table": "bits", **HOW})
    assert values(revived, targets, scores) == values(loss, targets, scores)


def test_loss_of_a_config():
    config = make_config(
        mix({}),
        tokens={"modalities": ["text", "grey"], "answer_coordinates": True, "base": 4, "digits": 2},
        context={"grid": [4], "layout": "items"},
        loss={"modality": {"grey": 0.5}, "step": {"coordinate": 0.25}},
    )
    loss = loss_for(config)
    expected = TokenCrossEntropy(
        ("text", "grey", "end"), "bytes", True, 4, 2, {"grey": 0.5}, {"coordinate": 0.25}
    )
    rows = ROWS[None, [0, 1, 2, 4, 5]]
    heads = ModalityHeads(("text", "grey", "end"), places=True, base=4, digits=2)
    hidden = np.random.default_rng(0).normal(size=(1, 5, 6)).astype("float32")
    heads.build(hidden.shape)
    scores = values(randomize(heads), hidden, rows)
    assert values(loss, rows, scores) == values(expected, rows, scores)
    plain = TokenCrossEntropy(("text", "grey", "end"), "bytes", True, 4, 2)
    assert abs(values(loss, rows, scores) - values(plain, rows, scores)) > 1e-3
