"""Several prompts side by side: apart unless the config says so, with the same weights."""

import dataclasses

import numpy as np
import pytest
from backends import jacobian, to_numpy, values
from networks import make_config, mix, randomize, text_tokens

from mdnn import build, load
from mdnn.models.run import open_run, write_run

GRID = (2, 2)
SLOTS = 4
FOLD = {"kind": "fold", "width": 6, "block": [mix({"sharing": "separate"}, gate="silu")]}
BRANCHES = {
    "dense": [mix({"groups": 2}, {"sharing": "separate", "execution": "sequential"})],
    "shift": [mix({"wiring": "causal+shift", "sharing": "tied"}, gate="silu", stack=2, times=2)],
    "fold": [FOLD, mix({"axes": [2]}), {"kind": "feedforward"}],
    "others": [
        mix(
            {"kind": "attention", "heads": 2, "axes": [2]},
            {"kind": "conv", "window": 1, "axes": [1]},
            {"kind": "local", "window": 1, "axes": [2], "sharing": "separate"},
            {"axes": [-1], "sharing": "separate", "wiring": "full"},
        ),
        {"kind": "linear"},
    ],
}


def config_of(prompts, *branches, **tables):
    context = {"grid": list(GRID), "prompts": prompts, "layout": "items"}
    return make_config(*branches, context=context, **tables)


def connected(model, causal):
    """Which slot reaches which: booleans `[from prompt, from slot, to prompt, to slot]`."""
    x = np.random.default_rng(1).normal(size=(*model.grid, model.width)).astype("float32")
    options = model.options.changed(causal=causal)
    found = jacobian(lambda x: model.backbone(x, options), x)
    slots = (model.grid[0], SLOTS, model.width)
    return (found.reshape(*slots, *slots) != 0).any(axis=(2, 5)).transpose(2, 3, 0, 1)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("name", ["dense", "shift", "fold"])
def test_jacobian(name, causal):
    """Nothing of another prompt, all of its own (causally: all of its own past)."""
    found = connected(randomize(build(config_of(3, *BRANCHES[name]))), causal)
    own = np.triu(np.ones((SLOTS, SLOTS), bool)) if causal else np.ones((SLOTS, SLOTS), bool)
    for one in range(3):
        for other in range(3):
            expected = own if one == other else np.zeros_like(own)
            np.testing.assert_array_equal(found[one, :, other], expected)


@pytest.mark.parametrize(
    "mixer",
    [
        {"axes": [0], "sharing": "shared"},
        {"axes": [0], "kind": "attention", "heads": 2},
        {"axes": [0, 1, 2], "groups": 2},
        {"axes": [0, 1, 2], "sharing": "separate"},
    ],
    ids=str,
)
def test_prompts_that_are_mixed(mixer):
    """The prompts' axis is the slowest one: a prompt sees those before it, and whole all."""
    model = randomize(build(config_of(3, *BRANCHES["fold"], mix(mixer))))
    causal, whole = connected(model, causal=True), connected(model, causal=False)
    assert whole.all()
    for one in range(3):
        for other in range(3):
            touches = causal[one, :, other]
            assert touches.any() == (one <= other)
            # In row-major order nothing comes back from a later slot.
            assert one < other or not np.tril(touches, -1).any()
            if one < other and len(mixer["axes"]) > 1:
                assert touches.all()


def shapes(model):
    return {weight.path: (tuple(weight.shape), weight.dtype) for weight in model.weights}


@pytest.mark.parametrize("name", BRANCHES)
@pytest.mark.parametrize("refeed", [{}, {"steps": 2, "start": "learned"}], ids=str)
def test_weights_know_nothing_of_prompts(name, refeed):
    one, eight = (build(config_of(n, *BRANCHES[name], refeed=refeed)) for n in (1, 8))
    assert shapes(one) == shapes(eight)
    assert (one.output.shape[1], eight.output.shape[1]) == (SLOTS, 8 * SLOTS)
    # The same start, too.
    for a, b in zip(one.weights, eight.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b), a.path)


@pytest.mark.parametrize("name", BRANCHES)
def test_each_prompt_is_answered_as_if_alone(name):
    one, three = (build(config_of(n, *BRANCHES[name])) for n in (1, 3))
    randomize(three)
    one.set_weights(three.get_weights())
    tokens = text_tokens((2, 3, SLOTS))
    flat = tokens.reshape(2, 3 * SLOTS, 8)
    for causal in (True, False):
        several, alone = three.with_options(causal), one.with_options(causal)
        found = values(lambda t, m=several: m({"tokens": t, "targets": t}), flat)
        expected = values(
            lambda t, m=alone: m({"tokens": t, "targets": t}), tokens.reshape(6, SLOTS, 8)
        )
        found = found.reshape(expected.shape)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_a_run_of_eight_prompts_opened_with_one(tmp_path):
    config = config_of(8, *BRANCHES["fold"])
    model = randomize(build(config))
    write_run(tmp_path, config, (), model)
    run = open_run(tmp_path)
    assert run.config.context.prompts == 8
    context = dataclasses.replace(run.config.context, prompts=1)
    alone = load(dataclasses.replace(run, config=dataclasses.replace(config, context=context)))
    tokens = text_tokens((1, 8 * SLOTS))
    found = values(lambda t: alone({"tokens": t, "targets": t}), tokens.reshape(8, SLOTS, 8))
    expected = values(lambda t: model({"tokens": t, "targets": t}), tokens)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-3, atol=1e-3)
