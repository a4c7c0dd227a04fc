"""The loop's loss and gradients against finite differences in float64, and against `fit`."""

import sys

import keras
import numpy as np
import pytest
import tiny
from backends import JIT
from gradients import loss_and_gradients

import mdnn
from mdnn.datasets.batches.text_batches import TextBatches
from mdnn.models import float_types
from mdnn.models.loss import TokenCrossEntropy
from mdnn.tokens.characters import TextTokenizer
from mdnn.training.optimizers import make_optimizer
from mdnn.training.steps.step import make_step

REFED = ("refeed.steps=4", "backbone.width=8", "context.grid=[2, 3]")
NO_NORMS = tuple(f'backbone.{k}="none"' for k in ("layer.0.norm", "layer.1.norm", "final_norm"))
STEP = 1e-5


@pytest.fixture
def double(monkeypatch):
    """float64 throughout."""
    policy = keras.config.dtype_policy()
    # Networks are of float32 whatever the policy says, but for this test.
    monkeypatch.setattr(float_types, "POLICY", "float64")
    keras.config.set_dtype_policy("float64")
    if keras.backend.backend() != "jax":
        yield
    else:
        import jax

        before = jax.config.jax_enable_x64
        jax.config.update("jax_enable_x64", True)
        yield
        jax.config.update("jax_enable_x64", before)
    keras.config.set_dtype_policy(policy)


def made(folder, *settings, spread=0.2):
    """A network at a random place in its weights' space, and a batch."""
    config = tiny.load_config(folder, *REFED, *settings)
    model = mdnn.build(config)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        start = keras.ops.convert_to_numpy(variable)
        variable.assign(start + spread * rng.standard_normal(start.shape))
    tokenizer = TextTokenizer()
    units = tokenizer.ids("Çeci n'est pas 😀 un texte, \u0001 ou bien si. " * 3)
    return config, model, TextBatches(units, tokenizer, config.context.positions, 3, seed=0).at(0)


def as_function(model):
    """A compiled function of a list of weights and the model's inputs, without a state."""
    fixed = [v.value for v in model.non_trainable_variables]

    def call(weights, *inputs):
        inputs = inputs[0] if len(inputs) == 1 else list(inputs)
        return model.stateless_call(weights, fixed, inputs)[0]

    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(call)
    import tensorflow as tf

    return tf.function(call, jit_compile=False)


def heads_loss(hidden, weights, targets):
    """Mean nats of text units from hidden vectors, in numpy."""
    hidden = np.asarray(hidden, "float64").reshape(-1, hidden.shape[-1])
    target_bytes = targets.reshape(-1, 8)[:, 1:4]
    nats = 0.0
    for k in range(3):
        x = hidden
        for earlier in range(k):
            gate = weights[f"heads/text_byte_{k + 1}_gate_{earlier + 1}"]
            x = x * (1 + gate[target_bytes[:, earlier]])
        scores = x @ weights[f"heads/text_byte_{k + 1}_kernel"]
        scores = scores + weights[f"heads/text_byte_{k + 1}_bias"]
        norm = np.logaddexp.reduce(scores, axis=1)
        nats += norm - scores[np.arange(len(x)), target_bytes[:, k]]
    return nats.mean()


def loss_of_weights(model, tokens, targets, bptt_steps):
    """The loss as a function of a dict of weights, in which they act in the last steps alone.

    The state after the first steps is computed once, from the model's own weights.
    """
    embedded = model.embed(model.input["tokens"])
    refeed = model.get_layer("refeed")
    start = keras.Input(embedded.shape[1:], dtype="float64")
    state = refeed(embedded, steps=bptt_steps, state=start)
    late = keras.Model([model.input["tokens"], start], model.read_out(state))
    call = as_function(late)
    if bptt_steps < refeed.steps:
        early = keras.Model(model.input["tokens"], refeed(embedded, steps=4 - bptt_steps))
        kept = np.asarray(early(tokens))
    else:
        kept = np.zeros((len(tokens), *embedded.shape[1:]))

    def loss(weights):
        own = [keras.ops.convert_to_tensor(weights[v.path]) for v in late.trainable_variables]
        return heads_loss(np.asarray(call(own, tokens, kept)), weights, targets)

    return loss


def slope(loss, weights, direction):
    """Central difference of a loss along a direction."""
    ends = [
        loss({name: w + sign * STEP * direction.get(name, 0) for name, w in weights.items()})
        for sign in (1, -1)
    ]
    return (ends[0] - ends[1]) / (2 * STEP)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("bptt_steps", [4, 2, 1])
def test_gradients_are_the_slopes_of_the_loss(tmp_path, bptt_steps):
    setting = "refeed.bptt_steps=0" if bptt_steps == 4 else f"refeed.bptt_steps={bptt_steps}"
    if keras.backend.backend() == "jax":
        # There Keras computes norms in float32, whatever the policy; without, values grow.
        config, model, batch = made(tmp_path, setting, *NO_NORMS, spread=0.05)
    else:
        config, model, batch = made(tmp_path, setting)
    value, gradients = loss_and_gradients(model, TokenCrossEntropy(config.tokens.modalities), batch)
    weights = {
        v.path: keras.ops.convert_to_numpy(v).astype("float64") for v in model.trainable_variables
    }
    gradients = {
        v.path: keras.ops.convert_to_numpy(g)
        for v, g in zip(model.trainable_variables, gradients, strict=True)
    }
    loss = loss_of_weights(model, batch["tokens"], batch["targets"], bptt_steps)
    np.testing.assert_allclose(value, loss(weights), rtol=1e-6)
    rng = np.random.default_rng(1)
    directions = [
        {name: rng.standard_normal(w.shape) / np.sqrt(w.size)} for name, w in weights.items()
    ]
    directions.append({name: d for one in directions for name, d in one.items()})
    expected = [slope(loss, weights, direction) for direction in directions]
    found = [
        sum(float((gradients[name] * d).sum()) for name, d in direction.items())
        for direction in directions
    ]
    # Scores are float32 whatever the policy: that is what limits the agreement.
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    if bptt_steps < 4:
        # Through all steps the slopes are others: the check can tell.
        through_all = loss_of_weights(model, batch["tokens"], batch["targets"], 4)
        full = [slope(through_all, weights, direction) for direction in directions]
        assert np.abs(np.subtract(full, expected)).max() > 1e-3


@pytest.mark.parametrize("bptt_steps", [0, 2])
def test_a_step_of_the_loop_is_a_step_of_fit(tmp_path, bptt_steps):
    plain = [
        f"train.optimizer.{key}"
        for key in ('name="sgd"', "beta_1=0", "weight_decay=0", "clip_norm=0")
    ]
    config, model, batch = made(tmp_path, f"refeed.bptt_steps={bptt_steps}", *plain)
    loss = TokenCrossEntropy(config.tokens.modalities)
    start = model.get_weights()
    optimizer = make_optimizer(config.train.optimizer, model.trainable_variables)
    step = make_step(model, loss, optimizer)
    loop_loss = float(step(batch, 0.5))
    step.sync()
    by_loop = model.get_weights()

    model.set_weights(start)
    model.compile(keras.optimizers.SGD(0.5), loss=loss, jit_compile=JIT)
    history = model.fit(batch, batch["targets"], batch_size=3, epochs=1, verbose=0)
    np.testing.assert_allclose(loop_loss, history.history["loss"][0], rtol=1e-6)
    moved = 0.0
    for before, a, b in zip(start, by_loop, model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
        moved = max(moved, float(np.abs(a - before).max()))
    assert moved > 1e-2


def test_steps_go_on_from_the_weights_that_are_there(tmp_path):
    # Weights may be read from a file, and the network asked, between two steps.
    config, model, batch = made(tmp_path)
    loss = TokenCrossEntropy(config.tokens.modalities)
    optimizer = make_optimizer(config.train.optimizer, model.trainable_variables)
    step = make_step(model, loss, optimizer)
    for factor in (0.5, 2.0):
        step.sync()
        model.predict_on_batch(batch)
        for variable in model.trainable_variables:
            variable.assign(variable * factor)
        expected, _ = loss_and_gradients(model, loss, batch)
        np.testing.assert_allclose(float(step(batch, 0.0)), float(expected), rtol=1e-6)
    rate = float("0.125")
    held = sys.getrefcount(rate)
    step(batch, rate)
    assert sys.getrefcount(rate) == held, "each step leaves its rate in memory"
