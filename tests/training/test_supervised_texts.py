"""Texts and items trained with deep supervision, a halting head, and steps by length."""

import keras
import numpy as np
import pytest
import tiny
from backends import to_numpy
from keras import ops
from networks import make_config, mix, randomize, text_tokens

import mdnn
from mdnn.models.builder import build
from mdnn.models.loss import loss_for
from mdnn.models.loss_model import LossModel
from mdnn.models.thinking.carried_states import CarriedStates
from mdnn.models.thinking.stepped_loss import SteppedLoss, likeliest_is_right
from mdnn.runs.run_folder import open_run
from mdnn.tasks import task_for
from mdnn.tasks.feed import SupervisedBatches
from mdnn.training.steps.step import make_step

HALT = ("refeed.supervision_steps=3", "refeed.step_schedule=halt", "refeed.damping=0.2")
SUPERVISED = ("refeed.steps=2", "refeed.supervision_steps=2", "refeed.bptt_steps=1")
LENGTH = ("refeed.steps=3", "refeed.step_schedule=length", "refeed.steps_by_length.per_given=0.4")
PROGRESSIVE = (
    "refeed.steps=3",
    "refeed.bptt_steps=1",
    "refeed.step_schedule=sampled",
    "refeed.progressive=0.5",
)


def loss_model_of(config, batch_size=3):
    model = randomize(build(config))
    memory = CarriedStates(batch_size, model) if config.refeed.supervision_steps > 1 else None
    return SteppedLoss(model, loss_for(config), config, memory)


def batch_of(**more):
    return {"tokens": text_tokens((3, 4)), "targets": text_tokens((3, 4), seed=1), **more}


def test_states_are_carried_on():
    """Two calls of R steps are one of 2 R, and `reset` begins anew."""
    config = make_config(
        mix({"groups": 2}), refeed={"steps": 2, "supervision_steps": 3, "inner_steps": 1}
    )
    loss_model = loss_model_of(config)
    model = loss_model.network
    assert model.steps == 6
    assert not loss_model.divisible

    def expected(steps):
        return float(LossModel(model.with_options(steps=steps), loss_for(config))(batch_of()))

    for fresh, steps in ((True, 2), (False, 4), (False, 6), (True, 2)):
        found = float(loss_model(batch_of(reset=np.full(3, fresh))))
        assert found == pytest.approx(expected(steps), rel=1e-5)


def test_the_halting_head_learns_where_the_answer_is_right():
    refeed = {"steps": 1, "supervision_steps": 2, "step_schedule": "halt", "halt_weight": 1.0}
    loss_model = loss_model_of(make_config(mix({"groups": 2}), refeed=refeed))
    network, batch = loss_model.network, batch_of(reset=np.ones(3, bool))
    batch["targets"][0, 2:] = 0
    hidden = network.hidden(batch["tokens"], steps=1)
    # Half of the targets are what the network would write.
    tokens = network.heads.decode(hidden, lambda scores, _: ops.argmax(scores, axis=-1))
    batch["targets"][:, ::2, 1:4] = to_numpy(tokens)[:, ::2, 1:4]
    right, counted = likeliest_is_right(network.heads, hidden, batch["targets"])
    right, counted = to_numpy(right), to_numpy(counted)
    assert counted.sum() == 10
    assert right[1].tolist() == [1, 0, 1, 0]
    stop = to_numpy(network.halt.stop(hidden))
    chance = np.where(right > 0, stop, -stop)
    wrong = (np.logaddexp(0, -chance) * counted).sum() / 10
    plain = float(LossModel(network.with_options(steps=1), loss_model.loss_function)(batch))
    assert float(loss_model(batch)) == pytest.approx(plain + wrong, rel=1e-4)


def test_a_progressive_loss():
    config = make_config(
        mix({"groups": 2}),
        refeed={"steps": 4, "bptt_steps": 1, "step_schedule": "sampled", "progressive": 0.25},
    )
    loss_model = loss_model_of(config)

    def after(steps):
        model = loss_model.network.with_options(steps=steps)
        return float(LossModel(model, loss_for(config))(batch_of()))

    found = float(loss_model(batch_of(no_grad_steps=np.full(3, 1, "int32"))))
    assert found == pytest.approx(0.25 * after(2) + 0.75 * after(4), rel=1e-5)


def test_a_batch_stays_for_its_supervision_steps():
    class Batches:
        def at(self, step):
            return {"tokens": np.full((2, 3, 8), step)}

        def objective(self, step):
            return ("autoregressive", "parallel")[step % 2]

    feed = SupervisedBatches(Batches(), 3)
    batches = [feed.batch(step) for step in range(7)]
    assert [int(batch["tokens"].max()) for batch in batches] == [0, 0, 0, 1, 1, 1, 2]
    assert [bool(batch["reset"].all()) for batch in batches] == [True, False, False] * 2 + [True]
    assert [feed.objective(step) for step in (2, 3, 6)] == [
        "autoregressive",
        "parallel",
        "autoregressive",
    ]


def losses_of(config, steps):
    """Trains a network for some steps; returns the losses."""
    task = task_for(config).open()
    model = build(config, task.words)
    optimizer = keras.optimizers.Adam(1e-2)
    optimizer.build(model.trainable_variables)
    step = make_step(
        task.networks(model), loss_for(config), optimizer, task.batches, loss_model=task.loss_model
    )
    feed, losses = task.feed(), []
    feed.follow(step)
    for number in range(steps):
        losses.append(float(step(feed.batch(number), 1e-2, feed.objective(number))))
        feed.update()
    step.sync()
    return losses


@pytest.mark.parametrize("settings", [HALT, LENGTH, PROGRESSIVE])
def test_steps_lower_the_loss_of_texts(tmp_path, settings):
    losses = losses_of(tiny.load_config(tmp_path, *tiny.QUICK, *settings), 12)
    assert np.mean(losses[-3:]) < 0.7 * losses[0]


def test_steps_lower_the_loss_of_items(tmp_path):
    words = ("train.objectives={autoregressive=1}", "refeed.inner_steps=1")
    losses = losses_of(tiny.load_items(tmp_path, *tiny.QUICK, *HALT, *words), 12)
    assert np.mean(losses[-3:]) < 0.9 * losses[0]


@pytest.mark.long
@pytest.mark.parametrize("settings", [HALT, LENGTH, PROGRESSIVE, SUPERVISED])
def test_a_text_network_learns(tmp_path, settings):
    short = ("train.num_evaluations=0", "train.sample=0", "train.steps=40")
    config = tiny.load_config(tmp_path, *short, *settings)
    model = build(config)
    before = mdnn.evaluate(model, tiny.TEXT[:200], sliding=False)["loss"]
    result = mdnn.train(config, tmp_path / "run", show=False)
    assert result["loss"] < before - 1
    run = open_run(tmp_path / "run")
    text = mdnn.generate(run, "The ", length=12, temperature=0)
    # Decoded position by position; each character is the likeliest of a whole pass.
    for number in range(4):
        tokens = np.zeros((1, 8, 8), "int32")
        units = run.tokenizer.ids("The " + text[:number])
        tokens[0, : len(units)] = run.tokenizer.tokens(units)
        hidden = run.model.hidden(tokens)[:, len(units) - 1]
        token = run.model.heads.decode(hidden, lambda scores, _: ops.argmax(scores, axis=-1))
        assert run.tokenizer.text(run.tokenizer.ids_from_tokens(to_numpy(token))) == text[number]


@pytest.mark.long
@pytest.mark.parametrize("settings", [HALT, LENGTH])
def test_an_item_network_learns_in_all_modes(tmp_path, settings):
    config = tiny.load_items(tmp_path, *tiny.QUICK, *settings)
    result = mdnn.train(config, tmp_path / "run", show=False)
    assert np.isfinite(result["loss"])
    assert len(result["modes"]) == 3
    run = open_run(tmp_path / "run")
    task = task_for(run.config, run.words)
    networks = task.networks(run.model)
    assert all(network.options.adaptive for network in networks.values())
    for decoding in result["modes"]:
        answer = mdnn.generate(run, ["one"], output="text 3", decoding=decoding, temperature=0)
        assert answer is not None


@pytest.mark.long
def test_training_resumes_with_its_states(tmp_path):
    """A run that was stopped between two supervision steps goes on as one that was not."""
    # A rate that does not depend on the budget.
    rate = ("train.optimizer.min_lr_ratio=1.0", "train.optimizer.warmup_steps=0")
    settings = ("train.num_evaluations=0", "train.sample=0", *rate, *HALT)
    for name, budgets in (("once", (8,)), ("twice", (4, 8))):
        for budget in budgets:
            config = tiny.load_config(tmp_path, *settings, f"train.steps={budget}")
            resume = budget != budgets[0]
            mdnn.train(config, tmp_path / name, resume=resume, show=False)
    once, twice = (open_run(tmp_path / name).model.get_weights() for name in ("once", "twice"))
    for a, b in zip(once, twice, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.long
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="SavedModels are TensorFlow's")
@pytest.mark.parametrize("settings", [HALT, LENGTH])
def test_a_saved_model_takes_the_same_steps(tmp_path, settings):
    import tensorflow as tf

    config = tiny.load_config(tmp_path, *tiny.QUICK, *settings)
    model = build(config)
    randomize(model)
    if model.halt is not None:
        model.halt.kernel.assign(8 * model.halt.kernel)
        model.halt.bias.assign(4.0)
    expected = mdnn.generate(model, "The ", length=12, temperature=0)
    loaded = tf.saved_model.load(str(mdnn.export(model, tmp_path / "served", xla=False)))
    found = loaded.signatures["generate"](
        prompt=tf.constant(["The "]),
        length=tf.constant(12),
        temperature=tf.constant(0.0),
        seed=tf.constant(0),
    )
    assert found["text"].numpy()[0].decode() == expected
