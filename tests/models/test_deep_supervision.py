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
from mdnn.models.thinking.deep_supervision import CORRECT, FINITE, HALT_LOGIT, DeepSupervisionLoss
from mdnn.tasks.puzzle_feed import with_unknown_mask


def made(folder, *settings):
    """The loss of a random network, and a batch for it."""
    config = load_sudoku(folder, *settings)
    model = randomize(mdnn.build(config))
    splits = open_puzzles("sudoku-4x4", seed=1)
    batch = with_unknown_mask(PuzzleBatches(splits.train, 8, config.loss.prompt).at(0), splits.task)
    batch["reset"] = np.ones(8, dtype=bool)
    return DeepSupervisionLoss(model, loss_for(config), config), batch, config


def test_without_carried_states_it_is_the_loss_model(tmp_path):
    for settings in ((), ("tokens.candidates=0",)):
        supervised, batch, config = made(tmp_path, *settings)
        del batch["reset"]
        loss_model = LossModel(supervised.network, loss_for(config))
        if config.tokens.candidates:
            scores = supervised.network({name: batch[name] for name in ("tokens", "targets")})
            given = {"sample_weight": batch["weights"]}
            expected = float(loss_for(config)(batch["targets"], scores, **given))
        else:
            expected = float(loss_model(batch))
        assert float(supervised(batch)) == pytest.approx(expected, rel=1e-5)
        assert [v.path for v in supervised.trainable_variables] == [
            v.path for v in supervised.network.trainable_variables
        ]
        assert not supervised.non_trainable_variables


def test_a_second_segment_goes_on_from_the_first(tmp_path):
    supervised, batch, _ = made(tmp_path, "refeed.supervision_steps=3")
    first = float(supervised(batch))
    refeed = supervised.network.refeed
    x = supervised.network.embed(batch["tokens"])
    expected = to_numpy(refeed(x, steps=2))
    np.testing.assert_allclose(to_numpy(supervised.carried[0]), expected, rtol=1e-4, atol=1e-5)
    old = np.arange(8) % 2 == 0
    second = float(supervised(batch | {"reset": ~old}))
    assert second != pytest.approx(first, rel=1e-4)
    on, anew = (to_numpy(refeed(x, steps=steps)) for steps in (4, 2))
    found = to_numpy(supervised.carried[0])
    np.testing.assert_allclose(found[old], on[old], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[~old], anew[~old], rtol=1e-4, atol=1e-5)
    assert abs(on - anew).max() > 1e-3
    # No file of a network holds them.
    assert not {id(v) for v in supervised.carried} & {id(v) for v in supervised.network.variables}


def test_no_gradient_reaches_the_segment_before(tmp_path):
    """The gradient of a second supervision step is that of two steps from a constant state."""
    supervised, batch, _ = made(tmp_path, "refeed.supervision_steps=3")
    supervised(batch)
    state = to_numpy(supervised.carried[0])
    network = supervised.network

    class Last(keras.Model):
        def __init__(self):
            super().__init__()
            self.network = network
            self.built = True

        def call(self, batch):
            x = network.embed(batch["tokens"])
            (y,) = network.iterate(x, (keras.ops.convert_to_tensor(state),), 2)
            return supervised.loss_after(y, batch)[0]

    on = batch | {"reset": np.zeros(8, dtype=bool)}
    expected = weight_gradients(Last(), lambda loss: loss, on)
    for path, gradient in weight_gradients(supervised, lambda loss: loss, on).items():
        np.testing.assert_allclose(gradient, expected[path], rtol=1e-3, atol=1e-5, err_msg=path)
    assert max(abs(gradient).max() for gradient in expected.values()) > 1e-3


def test_the_verdict(tmp_path):
    supervised, batch, _ = made(tmp_path, "refeed.supervision_steps=2", "refeed.step_schedule=halt")
    before = float(supervised(batch))
    verdict = to_numpy(supervised.verdict)
    assert (verdict[FINITE] == 1).all()
    # Weights are random here, and not -5 as at the start.
    hidden = supervised.network.read_out(
        keras.ops.convert_to_tensor(to_numpy(supervised.carried[0]))
    )
    np.testing.assert_allclose(
        verdict[HALT_LOGIT], to_numpy(supervised.halt.stop(hidden)), rtol=1e-4
    )
    scores = to_numpy(supervised.network({"tokens": batch["tokens"], "targets": None}))
    answers = scores.argmax(-1)
    right = (answers == batch["targets"][..., 1]) | ~batch["unknown_mask"]
    np.testing.assert_array_equal(verdict[CORRECT], right.all(-1))
    # Were they the right answers, the head would be wrong by much less.
    supervised.halt.bias.assign(-20.0)
    supervised.halt.kernel.assign(np.zeros(8))
    sure = float(supervised(batch))
    supervised.halt.bias.assign(20.0)
    wrong = float(supervised(batch))
    share = 1 - verdict[CORRECT].mean()
    assert share > 0
    assert wrong - sure == pytest.approx(0.5 * 20 * (2 * share - 1), abs=0.01)
    assert before > sure


def test_a_targets_answer_is_right(tmp_path):
    """Of scores that say the solution every puzzle is exact."""
    from mdnn.models.thinking.deep_supervision import solved

    _, batch, _ = made(tmp_path)
    scores = keras.ops.one_hot(batch["targets"][..., 1], 32)
    assert (to_numpy(solved(batch, scores)) == 1).all()
    position = np.argmax(batch["unknown_mask"][3])
    wrong = np.array(to_numpy(scores))
    wrong[3, position] = np.roll(wrong[3, position], 1)
    assert to_numpy(solved(batch, keras.ops.convert_to_tensor(wrong))).tolist() == [
        float(k != 3) for k in range(8)
    ]


def test_a_state_that_is_no_number(tmp_path):
    supervised, batch, _ = made(tmp_path, "refeed.supervision_steps=2")
    supervised(batch)
    state = np.array(to_numpy(supervised.carried[0]))
    state[5, 0, 0] = np.nan
    supervised.carried[0].assign(state)
    loss = float(supervised(batch | {"reset": np.zeros(8, dtype=bool)}))
    assert np.isnan(loss)
    assert to_numpy(supervised.verdict)[FINITE].tolist() == [float(k != 5) for k in range(8)]
    found = to_numpy(supervised.carried[0])
    assert np.isfinite(found).all()
    assert (found[5] == 0).all()


def test_progressive_loss(tmp_path):
    """The loss after the sampled steps and that after all of them, in their shares."""
    words = ("refeed.steps=5", "refeed.bptt_steps=2", "refeed.step_schedule=sampled")
    losses = {}
    for alpha in (1.0, 0.25):
        supervised, batch, _ = made(tmp_path, *words, f"refeed.progressive={alpha}")
        del batch["reset"]
        losses[alpha] = [
            float(supervised(batch | {"no_grad_steps": np.array([free], "int32")}))
            for free in (0, 3)
        ]
    sampled, whole = losses[1.0]
    assert losses[0.25] == pytest.approx([0.25 * sampled + 0.75 * whole, whole], rel=1e-4)
    assert sampled != pytest.approx(whole, rel=1e-4)
