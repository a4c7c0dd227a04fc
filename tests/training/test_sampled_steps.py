"""Texts and items whose number of refeeding steps is drawn anew for every batch."""

import numpy as np
import pytest
import tiny

import mdnn
from mdnn.tasks.feed import SampledDepthFeed, sampled_free_steps

SAMPLED = ("refeed.steps=4", "refeed.bptt_steps=1", "refeed.step_schedule=sampled")


def test_a_text_network_learns_with_drawn_steps(tmp_path):
    config = tiny.load_config(tmp_path, *tiny.QUICK, *SAMPLED, "refeed.damping=0.2")
    run = mdnn.train(config, tmp_path / "run", show=False)
    assert run["steps"] == 20
    drawn = [int(sampled_free_steps(config, step)[0]) for step in range(100)]
    assert set(drawn) == {0, 1, 2, 3}
    assert drawn == [int(sampled_free_steps(config, step)[0]) for step in range(100)]
    assert mdnn.generate(tmp_path / "run", "The ", length=8, temperature=0)


def test_every_example_of_a_batch_has_its_number(tmp_path):
    class Batches:
        def at(self, step):
            return {"tokens": np.zeros((5, 3, 8), "int32")}

    config = tiny.load_config(tmp_path, *SAMPLED)
    batch = SampledDepthFeed(Batches(), config).batch(7)
    np.testing.assert_array_equal(batch["free"], np.repeat(sampled_free_steps(config, 7), 5))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("refeed.step_schedule=length", "refeed.step_schedule: expected 'fixed' or 'sampled'"),
        ("refeed.progressive=0.5", "refeed.progressive: expected 1.0, received 0.5; it belongs"),
    ],
)
def test_what_belongs_to_puzzles(tmp_path, setting, message):
    length = ("refeed.steps_by_length.per_asked=1.0",) * ("length" in setting)
    with pytest.raises(mdnn.MdnnError, match=message):
        tiny.load_config(tmp_path, *SAMPLED, setting, *length)
