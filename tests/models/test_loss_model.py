"""A network with its loss: the value of TokenCrossEntropy, whatever is with_target_indices."""

import keras
import numpy as np
import pytest
from networks import make_config, mix, randomize, text_tokens

from mdnn.config.load import Config
from mdnn.datasets import ItemBatches, open_dataset
from mdnn.models.builder import build
from mdnn.models.head_options import decoding
from mdnn.models.loss import loss_for
from mdnn.models.loss_model import LossModel, TargetNLL, target_indices
from mdnn.models.network_nll import NetworkNLL
from mdnn.models.thinking.stepped_loss import SteppedLoss
from mdnn.tokens import ItemTokenizer


def made(table="bytes", heads="bytes", places=False, **loss):
    config = Config.from_dict(
        {
            "data": {"source": "digits", "order": "pairs"},
            "tokens": {
                "modalities": ["text", "grey"],
                "table": table,
                "heads": heads,
                "answer_coordinates": places,
                "base": 16,
                "digits": 2,
            },
            "context": {"grid": [4, 32], "layout": "items"},
            "backbone": {
                "width": 64,
                "depth": 1,
                "layer": [{"kind": "mix", "mixer": [{"wiring": "causal"}]}],
            },
            "loss": loss,
            "train": {"steps": 1, "objectives": {"autoregressive": 1.0, "masked_diffusion": 1.0}},
        }
    )
    model = build(config)
    rng = np.random.default_rng(3)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape) / 4)
    batches = ItemBatches(
        open_dataset("digits").train,
        ItemTokenizer(),
        config.context,
        3,
        1,
        config.train.objectives,
        "pairs",
        prompt_weight=config.loss.prompt,
    )
    return config, model, batches


WEIGHTS = {"modality": {"text": 5.0, "end": 0.5}, "step": {"byte_3": 0.25, "coordinate": 2.0}}


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
    loss_model = LossModel(model, loss)
    assert loss_model.uses_target_indices == (how.get("table") != "bits")
    for step in range(3):
        batch = batches.at(step)
        scores = model({name: batch[name] for name in ("tokens", "targets")})
        expected = loss(batch["targets"], scores, sample_weight=batch["weights"])
        batch["target_indices"] = target_indices(
            batch["targets"], loss_model.heads.modalities, padded
        )
        np.testing.assert_allclose(loss_model(batch), expected, rtol=2e-5)


@pytest.mark.parametrize("how", [{"places": True}, {"table": "bits"}], ids=["places", "bits"])
def test_nats_are_those_of_all_scores(how):
    config, model, batches = made(**how)
    batch = batches.at(1)
    inputs = {name: batch[name] for name in ("tokens", "targets")}
    expected = NetworkNLL(model, **decoding(config))(inputs)
    found = TargetNLL(model).nll(**inputs)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_variant_is_run_as_it_is_wired():
    config, model, batches = made()
    batch = batches.at(1)
    inputs = {name: batch[name] for name in ("tokens", "targets")}
    batch["target_indices"] = target_indices(batch["targets"], ["text", "grey", "end"])
    loss, found = loss_for(config), []
    for network in (model, model.with_options(causal=False)):
        expected = loss(batch["targets"], network(inputs), sample_weight=batch["weights"])
        np.testing.assert_allclose(LossModel(network, loss)(batch), expected, rtol=2e-5)
        nats = NetworkNLL(network, **decoding(config))(inputs)
        np.testing.assert_allclose(TargetNLL(network).nll(**inputs), nats, rtol=1e-4, atol=1e-5)
        found.append(float(expected))
    assert abs(found[0] - found[1]) > 1e-3


def test_variables_are_the_networks():
    config, model, _ = made()
    loss_model = LossModel(model, loss_for(config))
    assert list(map(id, loss_model.variables)) == list(map(id, model.variables))


def test_every_target_is_picked_once():
    _, _, batches = made()
    targets = batches.at(0)["targets"]
    found = target_indices(targets, ["text", "grey", "end"])
    positions = np.sort(np.concatenate(list(found.values())))
    np.testing.assert_array_equal(positions, np.flatnonzero(targets[..., 0].reshape(-1)))
    longer = target_indices(targets, ["text", "grey", "end"], padded=True)
    for name, index in longer.items():
        assert len(index) & (len(index) - 1) == 0
        np.testing.assert_array_equal(index[index >= 0], found[name])
    assert keras.ops.shape(longer["text"])[0] >= 16


def test_lengths_stay_once_they_were_needed():
    _, _, batches = made()
    targets, sizes = batches.at(0)["targets"], {"text": 64}
    found = target_indices(targets, ["text", "grey"], padded=True, sizes=sizes)
    assert len(found["text"]) == 64
    assert sizes == {"text": 64, "grey": len(found["grey"])}
    again = target_indices(targets * 0, ["text", "grey"], padded=True, sizes=sizes)
    assert {name: len(index) for name, index in again.items()} == sizes
    assert max(index.max() for index in again.values()) == -1


def test_a_variants_nats_are_its_own():
    config, model, batches = made()
    batch = batches.at(0)
    inputs = {name: batch[name] for name in ("tokens", "targets")}
    whole = model.with_options(causal=False)
    expected = NetworkNLL(whole, **decoding(config))(inputs)
    np.testing.assert_allclose(TargetNLL(whole).nll(**inputs), expected, rtol=1e-5, atol=1e-5)
    loss = loss_for(config)
    value = loss(batch["targets"], whole(inputs), sample_weight=batch["weights"])
    loss_model = LossModel(whole, loss)
    found = loss_model(
        batch | {"target_indices": target_indices(batch["targets"], loss_model.heads.modalities)}
    )
    np.testing.assert_allclose(found, value, rtol=2e-5)


@pytest.mark.parametrize("no_grad_steps", [0, 3])
def test_steps_of_a_batch(no_grad_steps):
    """As many as the batch says, before those that gradients go through."""
    config = make_config(
        mix({"groups": 2}),
        refeed={"steps": 5, "bptt_steps": 2, "step_schedule": "sampled", "inner_steps": 1},
    )
    model = randomize(build(config))
    tokens = text_tokens((3, 4))
    batch = {"tokens": tokens, "targets": text_tokens((3, 4), seed=1)}
    loss_model = SteppedLoss(model, loss_for(config), config)
    found = loss_model(batch | {"no_grad_steps": np.full(3, no_grad_steps, "int32")})
    expected = LossModel(model.with_options(steps=2 + no_grad_steps), loss_for(config))(batch)
    np.testing.assert_allclose(float(found), float(expected), rtol=1e-5)
