"""Larger networks that compute what smaller ones do: every change, every kind of layer."""

import numpy as np
import pytest
from gradients import loss_and_gradients
from growing import FEEDFORWARD, difference, grown, random_network
from networks import make_config, mix, text_tokens

import mdnn
from mdnn.config.growing import shrunk_config
from mdnn.config.load import Config
from mdnn.growth.slices import take_weights, weight_slices
from mdnn.models.loss import loss_for
from mdnn.training.growing.grow_run import _shared_columns, largest_difference

WIRED = {
    "dense": {"wiring": "causal"},
    "shift": {"wiring": "causal+shift"},
    "local": {"wiring": "causal+local", "window": 1},
    "sequential": {"wiring": "causal", "execution": "sequential"},
    "descending": {"wiring": "causal", "execution": "sequential", "order": "descending"},
    "separate": {"wiring": "causal", "sharing": "separate"},
    "groups": {"wiring": "causal", "groups": 2},
    "none": {"wiring": "causal", "self_connection": "none"},
}
SINGLE = {
    "conv": {"kind": "conv", "window": 2, "axes": ["column"]},
    "local": {"kind": "local", "window": 1, "axes": ["row"]},
    "local, groups": {"kind": "local", "window": 1, "axes": ["column"], "groups": 2},
    "local, separate": {"kind": "local", "window": 1, "axes": ["row"], "sharing": "separate"},
    "attention": {"kind": "attention", "heads": 2, "axes": ["column"]},
    "keys": {"kind": "keys", "heads": 2, "axes": ["row"]},
    "keys, previous": {
        "kind": "keys",
        "heads": 2,
        "axes": ["column"],
        "features": 3,
        "match": "previous",
        "write_gate": True,
        "forget_gate": True,
    },
}
BIG = ["context.grid=[2, 4, 3]", "backbone.depth=3", "backbone.width=8", "backbone.layer.1.width=9"]
LAYER = "backbone.layer.0"
MIXER = f"{LAYER}.mixer.0"


def text_network(*branches, **words):
    branches = branches or (mix({"wiring": "causal+shift", "groups": 2}, gate="silu"), FEEDFORWARD)
    return random_network(make_config(*branches, **words))


@pytest.fixture(scope="module")
def text():
    return text_network(depth=2)


@pytest.mark.parametrize(
    "changes",
    [
        ["context.grid=[7]"],
        ["context.grid=[3, 4]"],
        ["context.grid=[2, 3, 6]"],
        ["backbone.depth=5"],
        ["backbone.width=6"],
        ["backbone.layer.1.width=9"],
        [f"{MIXER}.groups=4"],
        [f"{MIXER}.sharing=separate"],
        ["tokens.coordinates=true"],
        ["context.grid=[9]", f"{MIXER}.wiring=causal"],
        [*BIG[:1], "context.grid=[3, 6]", *BIG[1:], f"{MIXER}.groups=4"],
    ],
    ids=lambda changes: changes[-1],
)
def test_every_change_of_a_text_network(text, changes):
    assert difference(text, grown(text, changes)) < 1e-5


@pytest.mark.parametrize("name", WIRED)
def test_every_wiring_and_sharing(name):
    old = text_network(mix(WIRED[name]), FEEDFORWARD, grid=(2, 3))
    assert difference(old, grown(old, BIG)) < 1e-5
    if name != "shift":
        assert difference(old, grown(old, ["context.grid=[4, 5]"])) < 1e-5
    if name != "separate":
        changes = [f"{MIXER}.sharing=separate", "context.grid=[2, 2, 3]"]
        assert difference(old, grown(old, changes)) < 1e-5


def test_tied_kernels_become_separate():
    old = text_network(mix({"wiring": "causal", "sharing": "tied"}), grid=(3, 3))
    assert difference(old, grown(old, ["context.grid=[3, 3, 3]"])) < 1e-5
    changes = ["context.grid=[4, 5]", f"{MIXER}.sharing=separate"]
    assert difference(old, grown(old, changes)) < 1e-5


@pytest.mark.parametrize("name", SINGLE)
def test_every_mixer_of_one_axis(name):
    old = text_network(mix(SINGLE[name]), mix({"wiring": "causal"}), grid=(2, 3), width=8)
    more = [f"{MIXER}.heads=4"] * ("heads" in SINGLE[name])
    wider = ["backbone.width=16", "backbone.depth=2", *more]
    assert difference(old, grown(old, wider)) < 1e-5
    assert difference(old, grown(old, ["context.grid=[3, 5]"])) < 1e-5
    if "window" in SINGLE[name]:
        assert difference(old, grown(old, [f"{MIXER}.window=3"])) < 1e-5


@pytest.mark.parametrize("match", ["own", "previous"])
def test_keys_of_all_axes(match):
    mixer = {"kind": "keys", "heads": 2, "features": 3, "match": match}
    mixer |= {"write_gate": True, "forget_gate": True}
    old = text_network(mix({"wiring": "causal"}, mixer), FEEDFORWARD, grid=(2, 3))
    assert difference(old, grown(old, ["context.grid=[5, 3]"])) < 1e-5
    heads = "backbone.layer.0.mixer.1.heads=4"
    wider = ["backbone.width=8", heads, "backbone.depth=3", "context.grid=[2, 4, 3]"]
    assert difference(old, grown(old, wider)) < 1e-5


def test_the_papers_own_layers_from_one_character():
    """One position, separate kernels along every axis and the channels, partial activation."""
    mixers = (
        {"wiring": "causal", "sharing": "separate"},
        {"axes": ["channels"], "wiring": "full", "sharing": "separate"},
    )
    activation = "partial(melu, 0.75)"
    old = text_network(
        {"kind": "linear", "activation": activation},
        mix(*mixers, project=False, activation=activation),
        grid=(1,),
        depth=1,
    )
    assert difference(old, grown(old, ["context.grid=[4]"])) < 1e-5
    large = grown(old, ["context.grid=[2, 3]", "backbone.depth=2", "backbone.width=8"])
    assert difference(old, large) < 1e-5
    assert difference(large, grown(large, ["context.grid=[2, 4, 3]"])) < 1e-5


def test_an_axis_between_others():
    old = text_network(mix({"wiring": "causal"}), FEEDFORWARD, grid=(2, 3))
    names = "context.axes=['row', 'half', 'column']"
    assert difference(old, grown(old, ["context.grid=[2, 4, 3]", names])) < 1e-5


@pytest.mark.parametrize(
    "changes",
    [
        ["context.grid=[5, 3]"],
        ["context.grid=[2, 3, 2]"],
        ["backbone.width=8", f"{LAYER}.width=10", f"{LAYER}.depth=3", "context.grid=[2, 3, 4]"],
    ],
    ids=lambda changes: changes[-1],
)
def test_folds(changes):
    block = [mix({"wiring": "causal"}), {"kind": "feedforward", "width": 6}]
    fold = {"kind": "fold", "width": 5, "block": block}
    old = text_network(fold, mix({"wiring": "causal", "axes": ["column"]}), grid=(3, 2))
    assert difference(old, grown(old, changes)) < 1e-5


@pytest.mark.parametrize(
    ("mixer", "changes"),
    [
        ({"wiring": "full"}, ["context.grid=[2, 4, 5]", "backbone.width=8"]),
        ({"wiring": "full", "execution": "sequential"}, ["context.grid=[2, 4, 5]"]),
        ({"wiring": "full", "sharing": "separate"}, ["context.grid=[2, 4, 5]", "backbone.depth=2"]),
        ({"wiring": "shift"}, ["context.grid=[2, 2, 3]", "backbone.depth=2"]),
        ({"wiring": "causal"}, ["context.grid=[2, 4, 5]"]),
        ({"kind": "local", "wiring": "full", "window": 1, "axes": [2]}, ["context.grid=[2, 4, 5]"]),
        ({"kind": "conv", "wiring": "full", "window": 2, "axes": [2]}, ["context.grid=[2, 4, 3]"]),
        ({"kind": "mean", "axes": [1]}, ["context.grid=[2, 5]", "backbone.width=8"]),
    ],
    ids=str,
)
def test_networks_that_see_the_whole_context(mixer, changes):
    """Kernels that are not causal, and causal ones that are called whole."""
    both = {"autoregressive": float(mixer["wiring"] == "causal" if "wiring" in mixer else 0)}
    train = {"steps": 1, "objectives": {**both, "parallel": 1.0}}
    old = text_network(mix(mixer), FEEDFORWARD, grid=(2, 3), train=train)
    new = grown(old, changes)
    assert difference(old, new, causal=False) < 1e-5
    if both["autoregressive"]:
        assert difference(old, new, causal=True) < 1e-5


@pytest.mark.parametrize(
    "refeed", [{"steps": 3, "damping": 0.2}, {"steps": 2, "initial_state": "learned"}], ids=str
)
def test_networks_that_run_on_their_own_output(refeed):
    old = text_network(mix({"wiring": "causal"}), FEEDFORWARD, grid=(2, 3), refeed=refeed)
    changes = ["backbone.width=6", "context.grid=[3, 3]", "backbone.depth=2"]
    assert difference(old, grown(old, changes)) < 1e-5


FINE = "context.axes=['row','column','fine']"
REFUSED = [
    ({}, {"norm": "layer"}, ["backbone.width=6"], "'layer' takes the mean over the stream"),
    (
        {},
        {"residual": "post"},
        ["backbone.depth=2"],
        "start as the identity only with residual = 'pre', received 'post'",
    ),
    ({}, {}, ["context.grid=[3]"], "keeps every axis, received [3] (column) without 'row' of 2"),
    (
        {},
        {},
        ["context.grid=[2, 2]"],
        "growing cannot shorten an axis: expected at least 3 for 'column'",
    ),
    (
        {},
        {},
        ["context.grid=[2, 3, 2]", "context.axes=['row','column','fine']"],
        "the fastest axis",
    ),
    ({"groups": 2}, {}, [f"{MIXER}.groups=1"], "4 channels cannot be widened to 4: 2 groups of"),
    (
        {"wiring": "causal+shift"},
        {},
        ["context.grid=[2, 5]"],
        "lengthen 'column' while 'row' still has size 1",
    ),
    (
        {"wiring": "causal+random", "density": 0.5},
        {},
        ["context.grid=[2, 9]"],
        "leaves out weights",
    ),
    (
        {"kind": "attention", "heads": 2, "axes": [2]},
        {},
        ["backbone.width=8"],
        "keeps heads",
    ),
    (
        {"kind": "keys"},
        {},
        ["context.grid=[2, 5]"],
        "new positions between those of [2, 3]: lengthen the slowest axis",
    ),
    (
        {"kind": "keys", "heads": 2},
        {},
        ["backbone.width=8"],
        "expected 4 heads of 8 channels, received 2",
    ),
    (
        {"kind": "keys", "features": 3},
        {},
        [f"{MIXER}.features=4"],
        "growing keeps 3 features",
    ),
    (
        {"kind": "keys"},
        {},
        [f"{MIXER}.match=previous"],
        "growing keeps match = 'own', received 'previous'",
    ),
    (
        {"kind": "conv", "window": 2, "axes": [2]},
        {},
        [f"{MIXER}.window=1"],
        "window: growing: expected at least 2, received 1",
    ),
    ({}, {"activation": "sigmoid", "project": False}, ["backbone.width=8"], "sigmoid of zero is"),
    ({}, {}, [f"{MIXER}.execution=sequential"], "expected 'parallel' as before growing"),
    ({}, {}, ["tokens.table=full", "tokens.heads=full"], "growing keeps table = 'bytes'"),
    ({}, {}, ["backbone.final_norm=none"], "growing cannot change 'rms' to 'none'"),
]


@pytest.mark.parametrize(
    ("mixer", "branch", "changes", "message"), REFUSED, ids=lambda x: str(x)[:40]
)
def test_what_cannot_grow(mixer, branch, changes, message):
    """One line says what and why."""
    old = mdnn.build(make_config(mix({"wiring": "causal"} | mixer, **branch), grid=(2, 3)))
    with pytest.raises(mdnn.MdnnError) as refused:
        grown(old, changes)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_new_learns_and_parts(text):
    """After a step against the gradient every new weight that can learn has a gradient, and no two
    new channels, hidden units or blocks are alike."""
    new = grown(text, ["backbone.width=8", "backbone.layer.1.width=10", "backbone.depth=3"])
    tokens = text_tokens((4, new.positions), seed=3)
    batch = {"tokens": tokens, "targets": np.roll(tokens, 1, axis=1)}
    for _ in range(3):
        _, gradients = loss_and_gradients(new, loss_for(new.config), batch)
        for weight, gradient in zip(new.trainable_variables, gradients, strict=True):
            gradient = getattr(gradient, "values", gradient)
            if tuple(gradient.shape) == tuple(weight.shape):
                weight.assign_sub(0.3 * np.asarray(gradient))
    for weight, gradient in zip(new.trainable_variables, gradients, strict=True):
        if "dense" in weight.path or "kernel" in weight.path.rsplit("/", 1)[-1]:
            values, slope = np.asarray(weight), np.asarray(gradient)
            if "block" not in weight.path or values.ndim != 2 or "mixer" in weight.path:
                continue
            assert (abs(slope).max(axis=0) > 0).all(), weight.path
            assert (abs(slope).max(axis=1) > 0).all(), weight.path
            assert len(np.unique(values.round(6), axis=1).T) == values.shape[1], weight.path


@pytest.mark.parametrize("steps", [1, 3])
def test_more_refeed_steps(steps):
    """New steps have gates of zero, which learn; growing again keeps the gates of before."""
    branches = mix({"wiring": "causal"}), FEEDFORWARD
    old = text_network(*branches, grid=(2, 3), refeed={"steps": steps})
    new = grown(old, [f"refeed.steps={steps + 2}"])
    assert new.steps == steps + 2
    assert new.refeed.gates.shape == (2,)
    assert difference(old, new) < 1e-5
    tokens = text_tokens((2, 6))
    batch = {"tokens": tokens, "targets": np.roll(tokens, 1, axis=1)}
    _, gradients = loss_and_gradients(new, loss_for(new.config), batch)
    paths = [weight.path for weight in new.trainable_variables]
    assert (abs(np.asarray(gradients[paths.index("refeed/step_gates")])) > 0).all()
    new.refeed.gates.assign([0.5, -0.3])
    assert difference(old, new) > 1e-3
    larger = grown(new, [f"refeed.steps={steps + 3}", "backbone.depth=2"])
    np.testing.assert_allclose(np.asarray(larger.refeed.gates), [0.5, -0.3, 0.0])
    assert difference(new, larger) < 1e-5
    kept = f"^refeed.steps: growing keeps at least {steps + 3}, received {steps}$"
    with pytest.raises(mdnn.MdnnError, match=kept):
        grown(larger, [f"refeed.steps={steps}"])
    # Fewer steps are the first ones; more than were trained go on with the last gate.
    plain = np.asarray(old.scores(tokens, tokens, steps=steps))
    np.testing.assert_allclose(
        np.asarray(new.scores(tokens, tokens, steps=steps)), plain, rtol=1e-5
    )
    assert np.isfinite(np.asarray(new.scores(tokens, tokens, steps=steps + 5))).all()


@pytest.mark.parametrize(("steps", "gated"), [(5, 2), (4, 1), (3, 0), (2, 0), (1, 0)])
def test_fewer_refeed_steps(steps, gated):
    """Shrinking takes the last steps, those with a gate among them first."""
    branches = mix({"wiring": "causal"}), FEEDFORWARD
    large = text_network(*branches, grid=(2, 3), refeed={"steps": 5, "gated_steps": 2})
    small = mdnn.build(shrunk_config(large.config, [f"refeed.steps={steps}"]))
    take_weights(weight_slices(small, large, exact=False), small)
    assert small.config.refeed.gated_steps == gated
    if gated:
        gates = np.asarray(large.refeed.gates)[:gated]
        np.testing.assert_array_equal(np.asarray(small.refeed.gates), gates)
    tokens = text_tokens((2, 6))
    wanted = np.asarray(large.scores(tokens, tokens, steps=steps))
    np.testing.assert_allclose(np.asarray(small.scores(tokens, tokens)), wanted, rtol=1e-5)


def item_network(modalities, *settings, **tokens):
    layers = [mix({"wiring": "causal"}), FEEDFORWARD]
    words = {"modalities": modalities, "coordinates": True, "digits": 2, **tokens}
    tables = {"context": {"grid": [2, 3], "layout": "items"}, "tokens": words}
    tables["data"] = {"source": "items"}
    backbone = {"width": 4, "depth": 1, "layer": layers}
    return random_network(Config.from_dict({"backbone": backbone, "train": {"steps": 1}, **tables}))


@pytest.mark.parametrize(
    "changes",
    [
        ['tokens.modalities=["grey", "text", "audio"]'],
        ['tokens.modalities=["text", "grey", "audio", "image"]', "backbone.width=6"],
        ["tokens.items=true", "tokens.digits=3", "context.grid=[4, 3]"],
        ["tokens.answer_coordinates=true"],
        ["train.objectives.parallel=1.0"],
    ],
    ids=str,
)
def test_more_modalities_and_tables(changes):
    """Old classes keep their scores, wherever their modality stands in the list."""
    old = item_network(["text", "grey"])
    new = grown(old, changes)
    tokens = text_tokens((2, 6))
    tokens[:, 3:, 0], tokens[:, 3:, 1] = 4, 200
    assert largest_difference(old, new) < 1e-5
    before = np.asarray(old.scores(tokens, tokens, causal=True))
    large = np.zeros((2, new.config.context.positions, 8), "int32")
    large[:, :6] = tokens
    after = np.asarray(new.scores(large, large, causal=True))[:, :6]
    for columns in _shared_columns(old.heads, new.heads):
        kept = before[..., columns[0]], after[..., columns[1]]
        np.testing.assert_allclose(kept[1], kept[0], rtol=1e-5, atol=1e-5)


def test_from_one_modality_to_two():
    """The first head of modalities is new; every byte's scores stay."""
    old = text_network(mix({"wiring": "causal"}), FEEDFORWARD, grid=(2, 3))
    new = grown(old, ["context.layout=items", "data.source=a", 'tokens.modalities=["text","grey"]'])
    assert new.heads.modalities == ["text", "grey", "end"]
    assert largest_difference(old, new) < 1e-5


def test_candidates_of_puzzles():
    """The axis of candidates grows as any other; symbols keep their scores."""
    config = puzzle("sudoku-4x4")
    old = random_network(config)
    changes = ["data.source=sudoku-6x6", "tokens.candidates=6", "context.grid=[6, 6]"]
    new = grown(old, [*changes, "backbone.width=12"])
    assert largest_difference(old, new) < 1e-5


def puzzle(source):
    layers = [
        mix({"wiring": "full", "axes": [1]}, {"wiring": "full", "axes": [2, 3]}, gate="silu"),
        FEEDFORWARD,
    ]
    return Config.from_dict(
        {
            "data": {"source": source},
            "tokens": {"modalities": ["symbol"], "candidates": 4},
            "context": {"layout": "puzzle", "grid": [4, 4]},
            "backbone": {"width": 6, "depth": 1, "layer": layers},
            "refeed": {"steps": 2},
            "train": {"steps": 1, "objectives": {"autoregressive": 0.0, "parallel": 1.0}},
        }
    )
