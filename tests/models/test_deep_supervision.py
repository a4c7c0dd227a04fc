"""What a training step of puzzles computes: one loss, states that are carried and detached."""

import keras
import numpy as np
import pytest
from backends import to_numpy, weight_gradients
from networks import randomize
from puzzle_networks import load_sudoku

import mdnn
from mdnn.datasets.batches.puzzle_batches import PuzzleBatches
from mdnn.datasets.puzzles.puzzle_splits import open_puzzles
from mdnn.models.loss import loss_for
from mdnn.models.loss_model import LossModel
from mdnn.models.thinking.deep_supervision import RIGHT, SOUND, STOP, DeepSupervisionLoss
from mdnn.tasks.puzzle_feed import with_asked


def made(folder, *settings):
    """A thinker of a random network, and a batch for it."""
    config = load_sudoku(folder, *settings)
    model = randomize(mdnn.build(config))
    corpus = open_puzzles("sudoku-4x4", seed=1)
    batch = with_asked(PuzzleBatches(corpus.train, 8, config.loss.prompt).at(0), corpus.task)
    batch["fresh"] = np.ones(8, dtype=bool)
    return DeepSupervisionLoss(model, loss_for(config), config), batch, config


def test_without_carried_states_it_is_the_learner(tmp_path):
    for settings in ((), ("tokens.candidates=0",)):
        thinker, batch, config = made(tmp_path, *settings)
        del batch["fresh"]
        learner = LossModel(thinker.network, loss_for(config))
        if config.tokens.candidates:
            scores = thinker.network({name: batch[name] for name in ("tokens", "targets")})
            given = {"sample_weight": batch["weights"]}
            expected = float(loss_for(config)(batch["targets"], scores, **given))
        else:
            expected = float(learner(batch))
        assert float(thinker(batch)) == pytest.approx(expected, rel=1e-5)
        assert [v.path for v in thinker.trainable_variables] == [
            v.path for v in thinker.network.trainable_variables
        ]
        assert not thinker.non_trainable_variables


def test_a_second_segment_goes_on_from_the_first(tmp_path):
    thinker, batch, _ = made(tmp_path, "refeed.supervision_steps=3")
    first = float(thinker(batch))
    refeed = thinker.network.refeed
    x = thinker.network.embed(batch["tokens"])
    expected = to_numpy(refeed(x, steps=2))
    np.testing.assert_allclose(to_numpy(thinker.carried[0]), expected, rtol=1e-4, atol=1e-5)
    old = np.arange(8) % 2 == 0
    second = float(thinker(batch | {"fresh": ~old}))
    assert second != pytest.approx(first, rel=1e-4)
    on, anew = (to_numpy(refeed(x, steps=steps)) for steps in (4, 2))
    found = to_numpy(thinker.carried[0])
    np.testing.assert_allclose(found[old], on[old], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[~old], anew[~old], rtol=1e-4, atol=1e-5)
    assert abs(on - anew).max() > 1e-3
    # No file of a network holds them.
    assert not {id(v) for v in thinker.carried} & {id(v) for v in thinker.network.variables}


def test_no_gradient_reaches_the_segment_before(tmp_path):
    """The gradient of a second segment is that of two steps from a constant state."""
    thinker, batch, _ = made(tmp_path, "refeed.supervision_steps=3")
    thinker(batch)
    state = to_numpy(thinker.carried[0])
    network = thinker.network

    class Last(keras.Model):
        def __init__(self):
            super().__init__()
            self.network = network
            self.built = True

        def call(self, batch):
            x = network.embed(batch["tokens"])
            (y,) = network.iterate(x, (keras.ops.convert_to_tensor(state),), 2)
            return thinker.loss_after(y, batch)[0]

    on = batch | {"fresh": np.zeros(8, dtype=bool)}
    expected = weight_gradients(Last(), lambda loss: loss, on)
    for path, gradient in weight_gradients(thinker, lambda loss: loss, on).items():
        np.testing.assert_allclose(gradient, expected[path], rtol=1e-3, atol=1e-5, err_msg=path)
    assert max(abs(gradient).max() for gradient in expected.values()) > 1e-3


def test_the_verdict(tmp_path):
    thinker, batch, _ = made(tmp_path, "refeed.supervision_steps=2", "refeed.step_schedule=halt")
    before = float(thinker(batch))
    verdict = to_numpy(thinker.verdict)
    assert (verdict[SOUND] == 1).all()
    # Weights are random here, and not -5 as at the start.
    hidden = thinker.network.read_out(keras.ops.convert_to_tensor(to_numpy(thinker.carried[0])))
    np.testing.assert_allclose(verdict[STOP], to_numpy(thinker.halt.stop(hidden)), rtol=1e-4)
    scores = to_numpy(thinker.network({"tokens": batch["tokens"], "targets": None}))
    answers = scores.argmax(-1)
    right = (answers == batch["targets"][..., 1]) | ~batch["asked"]
    np.testing.assert_array_equal(verdict[RIGHT], right.all(-1))
    # Were they the right answers, the head would be wrong by much less.
    thinker.halt.bias.assign(-20.0)
    thinker.halt.kernel.assign(np.zeros(8))
    sure = float(thinker(batch))
    thinker.halt.bias.assign(20.0)
    wrong = float(thinker(batch))
    share = 1 - verdict[RIGHT].mean()
    assert share > 0
    assert wrong - sure == pytest.approx(0.5 * 20 * (2 * share - 1), abs=0.01)
    assert before > sure


def test_a_targets_answer_is_right(tmp_path):
    """Of scores that say the solution every puzzle is exact."""
    from mdnn.models.thinking.deep_supervision import solved

    _, batch, _ = made(tmp_path)
    scores = keras.ops.one_hot(batch["targets"][..., 1], 32)
    assert (to_numpy(solved(batch, scores)) == 1).all()
    position = np.argmax(batch["asked"][3])
    wrong = np.array(to_numpy(scores))
    wrong[3, position] = np.roll(wrong[3, position], 1)
    assert to_numpy(solved(batch, keras.ops.convert_to_tensor(wrong))).tolist() == [
        float(k != 3) for k in range(8)
    ]


def test_a_state_that_is_no_number(tmp_path):
    thinker, batch, _ = made(tmp_path, "refeed.supervision_steps=2")
    thinker(batch)
    state = np.array(to_numpy(thinker.carried[0]))
    state[5, 0, 0] = np.nan
    thinker.carried[0].assign(state)
    loss = float(thinker(batch | {"fresh": np.zeros(8, dtype=bool)}))
    assert np.isnan(loss)
    assert to_numpy(thinker.verdict)[SOUND].tolist() == [float(k != 5) for k in range(8)]
    found = to_numpy(thinker.carried[0])
    assert np.isfinite(found).all()
    assert (found[5] == 0).all()


def test_progressive_loss(tmp_path):
    """The loss after the sampled steps and that after all of them, in their shares."""
    words = ("refeed.steps=5", "refeed.bptt_steps=2", "refeed.step_schedule=sampled")
    losses = {}
    for alpha in (1.0, 0.25):
        thinker, batch, _ = made(tmp_path, *words, f"refeed.progressive={alpha}")
        del batch["fresh"]
        losses[alpha] = [
            float(thinker(batch | {"free": np.array([free], "int32")})) for free in (0, 3)
        ]
    sampled, whole = losses[1.0]
    assert losses[0.25] == pytest.approx([0.25 * sampled + 0.75 * whole, whole], rel=1e-4)
    assert sampled != pytest.approx(whole, rel=1e-4)
