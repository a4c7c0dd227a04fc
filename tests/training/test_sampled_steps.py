"""Texts and items whose number of refeeding steps is drawn anew for every batch."""

import numpy as np
import tiny

import mdnn
from mdnn.tasks.feed import SampledDepthFeed, sampled_no_grad_steps

SAMPLED = ("refeed.steps=4", "refeed.bptt_steps=1", "refeed.step_schedule=sampled")


def test_a_text_network_learns_with_drawn_steps(tmp_path):
    config = tiny.load_config(tmp_path, *tiny.QUICK, *SAMPLED, "refeed.damping=0.2")
    run = mdnn.train(config, tmp_path / "run", show=False)
    assert run["steps"] == 20
    drawn = [int(sampled_no_grad_steps(config, step)[0]) for step in range(100)]
    assert set(drawn) == {0, 1, 2, 3}
    assert drawn == [int(sampled_no_grad_steps(config, step)[0]) for step in range(100)]
    assert mdnn.generate(tmp_path / "run", "The ", length=8, temperature=0)


def test_every_example_of_a_batch_has_its_number(tmp_path):
    class Batches:
        def at(self, step):
            return {"tokens": np.zeros((5, 3, 8), "int32")}

    config = tiny.load_config(tmp_path, *SAMPLED)
    batch = SampledDepthFeed(Batches(), config).batch(7)
    np.testing.assert_array_equal(
        batch["no_grad_steps"], np.repeat(sampled_no_grad_steps(config, 7), 5)
    )
