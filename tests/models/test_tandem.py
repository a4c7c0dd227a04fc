"""Networks in tandem: each as if it were alone, their loss, the ensemble, decoded in turn."""

import dataclasses

import keras
import numpy as np
import pytest
from backends import to_numpy
from keras import ops
from networks import make_config, mix, text_tokens

from mdnn.config.tandem_tables import Tandem, exchange_at
from mdnn.errors import MdnnError
from mdnn.generation.text_decoder import TextDecoder
from mdnn.models.builder import build
from mdnn.models.loss import loss_for
from mdnn.models.loss_model import LossModel
from mdnn.models.tandem.stale_members import StaleMembers
from mdnn.models.tandem.tandem_loss import TandemLoss

LAYERS = [
    mix({"wiring": "causal+shift", "groups": 2}, gate="silu", dropout=0.5),
    {"kind": "feedforward", "gate": "silu"},
]
MEMBERS, GRID = 3, (2, 4)

pytestmark = pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="members need TensorFlow or JAX"
)


def config(**tandem):
    return make_config(*LAYERS, grid=GRID, width=8, tandem={"members": MEMBERS, **tandem})


@pytest.fixture(scope="module")
def network():
    made, rng = build(config()), np.random.default_rng(0)
    for weight in made.weights:
        weight.assign(rng.normal(size=weight.shape) / 3)
    return made


@pytest.fixture(scope="module")
def batch():
    tokens = text_tokens((4, 9), seed=2)
    return {"tokens": tokens[:, :-1], "targets": tokens[:, 1:]}


def test_each_member_computes_what_it_does_alone(network, batch):
    alone = [network.member(k) for k in range(MEMBERS)]
    hidden = np.concatenate([to_numpy(one.hidden(batch["tokens"])) for one in alone], axis=-1)
    np.testing.assert_allclose(to_numpy(network.hidden(batch["tokens"])), hidden, atol=1e-5)
    assert network.count_params() == MEMBERS * alone[0].count_params()
    # As all starts differ, so do those of the members.
    fresh = build(config())
    first, second = (fresh.member(k).get_weights() for k in (0, 1))
    assert any((a != b).any() for a, b in zip(first, second, strict=True))
    for a, b in zip(
        first, build(make_config(*LAYERS, grid=GRID, width=8)).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_the_ensemble_averages_probabilities(network, batch):
    steps = network.heads.steps
    ends = np.cumsum([step.classes for step in steps])[:-1]
    means = []
    for k in range(MEMBERS):
        scores = to_numpy(network.member(k).scores(batch["tokens"], batch["targets"]))
        means.append([to_numpy(ops.softmax(part)) for part in np.split(scores, ends, axis=-1)])
    scores = to_numpy(network.scores(batch["tokens"], batch["targets"]))
    for number, part in enumerate(np.split(scores, ends, axis=-1)):
        mean = np.mean([member[number] for member in means], axis=0)
        np.testing.assert_allclose(np.exp(part), mean, atol=1e-5)
    # A mean of probabilities is never worse than the mean of the losses.
    loss = loss_for(network.config)
    assert float(LossModel(network, loss)(batch)) < float(TandemLoss(network, loss)(batch))


def gradients(loss_model, batch):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        value = loss_model(batch)
    variables = [v.value for v in loss_model.trainable_variables]
    zero = tf.UnconnectedGradients.ZERO
    return float(value), [
        to_numpy(g) for g in tape.gradient(value, variables, unconnected_gradients=zero)
    ]


def computed_opinions(network, loss, stale, batch):
    """How many steps of a loss compute what the other members predict."""
    loss_model, computed = TandemLoss(network, loss, stale=stale), []
    own = loss_model._stale
    loss_model._stale = lambda *arguments: computed.append(1) or own(*arguments)
    loss_model(batch)
    return len(computed)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="gradients by a tape")
def test_gradients_recompute_the_blocks(batch):
    """To the same gradients, with the same dropout, and the insides of blocks are not kept."""
    import tensorflow as tf

    layer, found, sigmoids = {"kind": "feedforward", "gate": "silu", "dropout": 0.5}, [], []
    made = make_config(layer, grid=GRID, width=8, tandem={"members": 2})
    for remat in (False, True):
        backbone = dataclasses.replace(made.backbone, remat=remat)
        one, rng = build(dataclasses.replace(made, backbone=backbone)), np.random.default_rng(0)
        for weight in one.weights:
            weight.assign(rng.normal(size=weight.shape) / 3)

        @tf.function
        def step(one=one):
            with tf.GradientTape() as tape:
                loss = ops.sum(ops.square(one.hidden(batch["tokens"], training=True)))
            zero = tf.UnconnectedGradients.ZERO
            return loss, *tape.gradient(loss, [v.value for v in one.members.stacked], None, zero)

        found.append(step())
        used = [one.type for one in step.get_concrete_function().graph.get_operations()]
        sigmoids.append(used.count("Sigmoid"))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5)
    assert sigmoids[1] == 2 * sigmoids[0]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="gradients by a tape")
def test_loss_and_gradients(network, batch):
    loss = loss_for(network.config)
    ones = [network.member(k) for k in range(MEMBERS)]
    alone = [gradients(LossModel(one, loss), batch) for one in ones]
    value, together = gradients(TandemLoss(network, loss), batch)
    assert value == pytest.approx(np.mean([one for one, _ in alone]), rel=1e-5)
    for number, gradient in enumerate(together):
        for k in range(MEMBERS):
            np.testing.assert_allclose(MEMBERS * gradient[k], alone[k][1][number], atol=1e-5)
    # The exchange leaves the value, and adds the gradient of KL(mean of the others || member).
    weight = np.full(4, 0.7, "float32")
    same, pulled = gradients(TandemLoss(network, loss), batch | {"exchange": weight})
    assert same == pytest.approx(value, rel=1e-6)
    (number,) = (
        k for k, v in enumerate(network.trainable_variables) if v.path.endswith("byte_3_bias")
    )
    scores = [to_numpy(one.scores(batch["tokens"], batch["targets"])) for one in ones]
    p = [to_numpy(ops.softmax(each[..., -256:])) for each in scores]
    for k in range(MEMBERS):
        others = np.mean([q for j, q in enumerate(p) if j != k], axis=0)
        expected = 0.7 * np.mean(p[k] - others, axis=(0, 1)) / MEMBERS
        np.testing.assert_allclose(pulled[number][k] - together[number][k], expected, atol=1e-6)
    # Stale members: the others' probabilities are those of the copies.
    stale, other = StaleMembers(network.members), build(config())
    rng = np.random.default_rng(3)
    for copy, stacked in zip(stale.copies, other.members.stacked, strict=True):
        copy.assign(rng.normal(size=copy.shape) / 3)
        stacked.assign(copy)
    loss_model = TandemLoss(network, loss, stale=stale)
    same, pulled = gradients(loss_model, batch | {"exchange": weight})
    assert computed_opinions(network, loss, stale, batch | {"exchange": weight})
    # Members that learn alone compute nothing for an exchange.
    assert not computed_opinions(network, loss, stale, batch)
    assert same == pytest.approx(value, rel=1e-6)
    scores = [to_numpy(other.member(k).scores(batch["tokens"], batch["targets"])) for k in range(3)]
    q = [to_numpy(ops.softmax(each[..., -256:])) for each in scores]
    for k in range(MEMBERS):
        others = np.mean([each for j, each in enumerate(q) if j != k], axis=0)
        expected = 0.7 * np.mean(p[k] - others, axis=(0, 1)) / MEMBERS
        np.testing.assert_allclose(pulled[number][k] - together[number][k], expected, atol=1e-6)
    # Divided data: a member has gradients from its own examples alone.
    one = {name: values[:1] for name, values in batch.items()}
    value, divided = gradients(TandemLoss(network, loss, divided=True), one)
    assert all((gradient[1:] == 0).all() for gradient in divided)
    assert value == pytest.approx(float(LossModel(ones[0], loss)(one)), rel=1e-5)


def test_dropout_is_drawn_anew_and_alike_for_all_members(batch):
    network = build(config())
    for weight in network.members.stacked:
        weight.assign(np.repeat(to_numpy(weight)[:1], MEMBERS, axis=0))
    hidden, again, quiet = (
        to_numpy(network.hidden(batch["tokens"], training=training)).reshape(4, 8, MEMBERS, -1)
        for training in (True, True, False)
    )
    np.testing.assert_allclose(hidden[:, :, 0], hidden[:, :, 1], atol=1e-6)
    assert (hidden != again).any()
    assert (hidden != quiet).any()


def test_streamed_decoding_equals_whole_passes(network):
    tokens = text_tokens((2, 8), seed=4)
    decoder = TextDecoder(network, chunk=9, xla=False, return_hidden=True)
    filled = np.array([3, 3], "int32")
    window = tokens[..., :4] * (np.arange(8)[None] < filled[:, None])[..., None]
    state = {"window": window, "filled": filled, "written": np.zeros(2, "int32")}
    state = decoder.predict_on_batch(state)
    settings = {
        "seed": np.arange(2, dtype="int32"),
        "temperature": np.full(2, 0.5, "float32"),
        "top_k": np.zeros(2, "int32"),
        "top_p": np.ones(2, "float32"),
        "count": np.array([9], "int32"),
    }
    state = decoder.predict_on_batch(state | settings)
    decoded, context = np.moveaxis(state["decoded"], 0, 1), window[:, :3]
    for step in range(9):
        length = context.shape[1]
        tokens = np.zeros((2, 8, 8), "int32")
        tokens[:, :length, :4], tokens[:, :length, 4] = context, np.arange(length)
        expected = to_numpy(network.hidden(tokens))[:, length - 1]
        np.testing.assert_allclose(state["hidden"][step], expected, rtol=2e-4, atol=2e-5)
        context = np.concatenate([context, decoded[:, step : step + 1]], axis=1)
        if context.shape[1] > 8:
            context = context[:, -decoder.overlap :]


def test_the_exchange_is_ramped_in():
    tandem = Tandem(members=2, exchange=0.5, exchange_from=0.2, exchange_full=0.6)
    weights = [exchange_at(tandem, spent) for spent in (0, 0.19, 0.4, 0.6, 1)]
    assert weights == pytest.approx([0, 0, 0.25, 0.5, 0.5])


@pytest.mark.parametrize(
    ("tandem", "more", "said"),
    [
        ({"members": 1}, {}, "expected 2 or more, or 0 for one network, received 1"),
        ({"members": 0, "exchange": 1.0}, {}, "expected 2 or more with the other keys"),
        ({"stale": 4}, {}, "tandem.stale: expected 0 without an exchange"),
        ({"exchange_from": 0.5}, {}, "expected at least exchange_from = 0.5"),
        ({"data": "divided"}, {"batch_size": 4}, "that 3 members divide, received 4"),
        ({}, {"optimizer": {"name": "muon"}}, "another train.optimizer.name than 'muon'"),
        ({}, {"method": "blind"}, "need train.method = 'gradient'"),
        ({}, {"density": [0.5, 1.0]}, "need no train.density"),
    ],
)
def test_what_does_not_fit(tandem, more, said):
    tables = {"tandem": {"members": MEMBERS, **tandem}, "train": {"steps": 1, **more}}
    with pytest.raises(MdnnError) as error:
        make_config(*LAYERS, grid=GRID, width=8, **tables)
    assert said in str(error.value)


def test_a_member_that_is_not_there(network):
    for number in (3, -1, True):
        with pytest.raises(MdnnError, match="member: expected a number from 0 to 2"):
            network.member(number)
    with pytest.raises(MdnnError, match="expected one step and no states"):
        network.hidden(text_tokens((1, 8)), steps=2)
    limited = config().remade(
        {"tandem": {"members": 3}, "limits": {"parameters": 30_000}, **table_of(config())}
    )
    with pytest.raises(MdnnError, match=r"of 3 members"):
        build(limited)


def table_of(config):
    import tomllib

    table = tomllib.loads(config.to_toml())
    return {name: table[name] for name in ("backbone", "context", "train")}
