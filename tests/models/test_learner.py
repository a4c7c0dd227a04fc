"""A network with its loss: the value of UnitLoss, whatever is picked."""

import keras
import numpy as np
import pytest

from mdnn.data import ItemBatches, open_lines
from mdnn.models.builder import build
from mdnn.models.config import Config
from mdnn.models.learner import Learner, TargetNats, picks
from mdnn.models.loss import loss_for, nats_model
from mdnn.models.vocabulary import decoding
from mdnn.tokens import ItemCodec


def made(table="bytes", heads="bytes", places=False, **loss):
    config = Config.from_dict(
        {
            "data": {"source": "digits", "order": "pairs"},
            "tokens": {
                "modalities": ["text", "grey"],
                "table": table,
                "heads": heads,
                "answer_places": places,
                "base": 16,
                "digits": 2,
            },
            "context": {"grid": [4, 32], "layout": "items", "prompts": 2},
            "backbone": {
                "width": 64,
                "depth": 1,
                "branch": [{"kind": "mix", "mixer": [{"wiring": "causal"}]}],
            },
            "loss": loss,
            "train": {"steps": 1, "objectives": {"turn": 1.0, "unmask": 1.0}},
        }
    )
    model = build(config)
    rng = np.random.default_rng(3)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape) / 4)
    batches = ItemBatches(
        open_lines("digits").train,
        ItemCodec(),
        config.context,
        3,
        1,
        config.train.objectives,
        "pairs",
        prompt_weight=config.loss.prompt,
    )
    return config, model, batches


WEIGHTS = {"modality": {"text": 5.0, "end": 0.5}, "step": {"byte_3": 0.25, "place": 2.0}}


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"places": True, "prompt": 0.1, **WEIGHTS},
        {"table": "bits", "prompt": 0.1},
    ],
    ids=["plain", "weighted", "bits"],
)
def test_the_value_is_that_of_the_loss(how, padded):
    config, model, batches = made(**how)
    loss = loss_for(config)
    learner = Learner(model, loss)
    assert learner.picking == (how.get("table") != "bits")
    for step in range(3):
        batch = batches.at(step)
        scores = model({name: batch[name] for name in ("tokens", "targets")})
        expected = loss(batch["targets"], scores, sample_weight=batch["weights"])
        batch["picks"] = picks(batch["targets"], learner.heads.modalities, padded)
        np.testing.assert_allclose(learner(batch), expected, rtol=2e-5)


@pytest.mark.parametrize("how", [{"places": True}, {"table": "bits"}], ids=["places", "bits"])
def test_nats_are_those_of_all_scores(how):
    config, model, batches = made(**how)
    batch = batches.at(1)
    inputs = {name: batch[name] for name in ("tokens", "targets")}
    expected = nats_model(model, **decoding(config))(inputs)
    found = TargetNats(model).nats(**inputs)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_variables_are_the_networks():
    config, model, _ = made()
    learner = Learner(model, loss_for(config))
    assert list(map(id, learner.variables)) == list(map(id, model.variables))


def test_every_target_is_picked_once():
    _, _, batches = made()
    targets = batches.at(0)["targets"]
    found = picks(targets, ["text", "grey", "end"])
    slots = np.sort(np.concatenate(list(found.values())))
    np.testing.assert_array_equal(slots, np.flatnonzero(targets[..., 0].reshape(-1)))
    longer = picks(targets, ["text", "grey", "end"], padded=True)
    for name, index in longer.items():
        assert len(index) & (len(index) - 1) == 0
        np.testing.assert_array_equal(index[index >= 0], found[name])
    assert keras.ops.shape(longer["text"])[0] >= 16
