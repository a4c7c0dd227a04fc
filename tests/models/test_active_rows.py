"""Rows that hold targets, run alone: what the whole network gives them."""

import numpy as np
import pytest

from mdnn.config.load import Config
from mdnn.datasets import ItemBatches, open_dataset
from mdnn.models.active_rows import ActiveRows, rounded
from mdnn.models.builder import build
from mdnn.models.loss import loss_for
from mdnn.models.loss_model import LossModel
from mdnn.tokens import ItemTokenizer

MIX = {"kind": "mix", "mixer": [{"wiring": "causal", "axes": [2]}]}
INNER = {"kind": "mix", "mixer": [{"wiring": "causal"}]}
FOLD = {"kind": "fold", "width": 24, "depth": 1, "block": [INNER]}
WIDE = {"kind": "mix", "mixer": [{"wiring": "causal"}]}


def made(branches, depth=1, grid=(8, 16), **more):
    config = Config.from_dict(
        {
            "data": {"source": "digits", "order": "pairs"},
            "tokens": {"modalities": ["text", "grey"], "base": 16, "digits": 2},
            "context": {
                "grid": list(grid),
                "layout": "items",
                "pad_to_multiple_of": 16,
            },
            "backbone": {"width": 8, "depth": depth, "layer": branches},
            "loss": {"prompt": 0.0, "modality": {"text": 9.0}},
            "train": {"steps": 1, "objectives": {"autoregressive": 1.0, "masked_diffusion": 1.0}},
            **more,
        }
    )
    model = build(config)
    rng = np.random.default_rng(3)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape) / 4)
    return config, model


def batches(config):
    lines = open_dataset("digits").train
    ways = config.train.objectives
    return ItemBatches(
        lines,
        ItemTokenizer(),
        config.context,
        3,
        1,
        ways,
        "pairs",
        prompt_weight=config.loss.prompt,
    )


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(
    ("branches", "how"),
    [
        ([FOLD, MIX], {}),
        ([MIX, FOLD, MIX, {"kind": "feedforward", "width": 8}], {"depth": 2}),
        ([MIX, FOLD], {"grid": (2, 4, 16)}),
    ],
    ids=["one", "two", "three axes"],
)
def test_the_loss_is_that_of_all_rows(branches, how, padded):
    if "grid" in how:
        # With a bias rows of padding do not stay zeros.
        deeper = {"kind": "mix", "mixer": [{"wiring": "causal", "axes": [3]}], "bias": True}
        branches = [deeper if branch is MIX else branch for branch in branches]
    config, model = made(branches, **how)
    loss, data = loss_for(config), batches(config)
    for causal in (True, False):
        network = model.with_options(causal)
        loss_model, whole = LossModel(network, loss), LossModel(network, loss)
        whole.rows = None
        for step in range(2):
            batch = data.at(step)
            chosen = loss_model.with_target_indices(batch, padded)
            for name in ("answering", "filled"):
                number = (chosen[name] >= 0).sum()
                assert 0 < number < len(chosen[f"{name}_at"])
            found = loss_model(chosen)
            np.testing.assert_allclose(found, whole(whole.with_target_indices(batch)), rtol=1e-5)
            scores = network({name: batch[name] for name in ("tokens", "targets")})
            expected = loss(batch["targets"], scores, sample_weight=batch["weights"])
            np.testing.assert_allclose(found, expected, rtol=2e-5)


@pytest.mark.parametrize(
    ("branches", "more"),
    [([MIX], {}), ([FOLD, WIDE], {}), ([FOLD, MIX], {"refeed": {"steps": 2}})],
    ids=["no fold", "rows are mixed after the fold", "refed"],
)
def test_where_all_rows_are_needed(branches, more):
    _, model = made(branches, **more)
    assert ActiveRows.of(model) is None


def test_lengths_that_are_given():
    sizes = {}
    assert rounded(np.arange(3), "rows", sizes).tolist() == [0, 1, 2, *[-1] * 13]
    assert len(rounded(np.arange(17), "rows", sizes)) == 32
    assert len(rounded(np.arange(3), "rows", sizes)) == 32
    assert sizes == {"rows": 32}
