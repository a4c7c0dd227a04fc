"""The steps that benchmarks time are those of the trainings: their losses and their batches."""

import pathlib
import sys

import numpy as np
import pytest
import tiny
from tandem_networks import saved_tandem

from mdnn.models.tandem.distillation import DistillationLoss
from mdnn.models.tandem.tandem_loss import TandemLoss
from mdnn.training.adapting.distill_run import student_config

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def steps_of(monkeypatch):
    """`Steps` of benchmarks/steps.py, and none of its modules left behind."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import steps

    yield steps.Steps
    for name in ("benchmark_runs", "steps"):
        sys.modules.pop(name, None)


def only_loss(steps):
    (loss,) = {id(model): model for model in steps.step.loss_models.values()}.values()
    return loss


def test_members_learn_from_each_other(steps_of, tmp_path):
    words = "tandem.members=2", "tandem.exchange=0.5"
    steps = steps_of(tiny.load_config(tmp_path, *tiny.QUICK, *words))
    assert isinstance(only_loss(steps), TandemLoss)
    np.testing.assert_array_equal(steps.feed.batch(0)["exchange"], 0.5)
    assert all(steps.take() > 0 for _ in range(2))


def test_a_student_learns_from_its_teacher(steps_of, tmp_path):
    steps = steps_of(student_config(saved_tandem(tmp_path).path))
    assert isinstance(only_loss(steps), DistillationLoss)
    assert np.isfinite(steps.take())


def test_a_carried_state_is_carried(steps_of, tmp_path):
    words = "refeed.steps=2", "refeed.supervision_steps=2"
    steps = steps_of(tiny.load_config(tmp_path, *tiny.QUICK, *words))
    assert all(np.isfinite(steps.take()) for _ in range(3))
    assert steps.feed.state()
