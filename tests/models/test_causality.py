"""No network that a config can describe looks ahead, and each looks back as far as it should."""

import numpy as np
import pytest
from backends import to_numpy
from networks import SHIPPED, make_config, mix, randomize, text_tokens, tiny

from mdnn import build
from mdnn.tokens.modalities import modality


def influence(config):
    """Which position's token changes which position's scores: booleans `[changed, scores]`.

    Rows of one batch are compared with the same rows of another, so that equal is equal.
    """
    model = randomize(build(config))
    positions = config.context.positions
    base = np.repeat(text_tokens((1, positions)), positions, axis=0)
    if config.tokens.subwords:
        base[..., 0] = modality("subword").index
    changed = base.copy()
    changed[np.arange(positions), np.arange(positions), 3] += 1
    before, after = (
        to_numpy(model({"tokens": tokens, "targets": None})) for tokens in (base, changed)
    )
    return (before != after).any(axis=-1)


def assert_causal(found, past=None):
    """The future is left out and the whole past, or as told, is seen by the last position."""
    positions = len(found)
    assert not np.tril(found, -1).any()
    past = range(positions) if past is None else past
    assert set(np.flatnonzero(found[:, -1])) == set(past)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped(name):
    found = influence(tiny(name))
    assert_causal(found)
    # Every position sees its whole past, but in a database what is stored in later columns.
    unseen = 3 if name == "database" else 0
    assert np.triu(found).sum() == len(found) * (len(found) + 1) // 2 - unseen


@pytest.mark.parametrize("sharing", ["groups", "shared", "separate", "tied"])
@pytest.mark.parametrize("execution", ["parallel", "sequential"])
@pytest.mark.parametrize("wiring", ["causal", "causal+shift"])
def test_dense(sharing, execution, wiring):
    mixer = {"sharing": sharing, "execution": execution, "wiring": wiring}
    if sharing == "groups":
        mixer["groups"] = 2
    found = influence(make_config(mix(mixer), grid=(2, 2)))
    assert_causal(found)
    assert np.triu(found).sum() == 10


ATTENTION = {"kind": "attention", "heads": 2}
CONV = {"kind": "conv", "window": 1}
LOCAL = {"kind": "local", "window": 1}
CHANNELS = {"axes": [-1], "wiring": "full", "sharing": "separate"}


@pytest.mark.parametrize(
    ("mixers", "branch", "grid", "depth", "past"),
    [
        ([{"order": "descending", "execution": "sequential"}], {}, (2, 2), 1, None),
        ([{"self_connection": "once"}], {}, (2, 3), 1, None),
        ([{"self_connection": "none"}], {}, (2, 3), 1, None),
        ([{}], {"project": False, "residual": "none", "norm": "none"}, (2, 2, 2), 1, None),
        ([{"wiring": "causal+local", "window": 1}], {}, (6,), 1, [4, 5]),
        ([{"wiring": "causal+local", "window": 1}], {"times": 2}, (6,), 1, [3, 4, 5]),
        ([{"wiring": "causal+random", "density": 0.0}], {}, (4,), 1, [3]),
        ([{"wiring": "causal+random", "density": 1.0}], {}, (4,), 1, None),
        ([{"axes": [1]}, {"axes": [2]}], {}, (2, 3), 1, [2, 3, 4, 5]),
        ([{"axes": [1]}, {"axes": [2]}], {}, (2, 3), 2, None),
        ([{"axes": [1]}, {"axes": [2]}], {"stack": 2}, (2, 3), 1, None),
        ([ATTENTION], {"project": False}, (5,), 1, None),
        ([{**ATTENTION, "axes": [1]}, {**ATTENTION, "axes": [2]}], {}, (2, 3), 2, None),
        ([CONV], {}, (5,), 1, [3, 4]),
        ([{**CONV, "axes": [2]}, {"axes": [1]}], {}, (2, 3), 1, [2, 4, 5]),
        ([LOCAL], {"norm": "layer", "residual": "post"}, (5,), 2, [2, 3, 4]),
        ([{**LOCAL, "groups": 2}], {"gate": "silu"}, (5,), 1, [3, 4]),
        ([{**LOCAL, "sharing": "separate"}], {}, (5,), 1, [3, 4]),
        ([{}, CHANNELS], {"activation": "melu"}, (2, 2), 1, None),
        ([CHANNELS], {}, (2, 2), 1, [3]),
    ],
    ids=str,
)
def test_mixers(mixers, branch, grid, depth, past):
    assert_causal(influence(make_config(mix(*mixers, **branch), grid=grid, depth=depth)), past)


def fold(*block, **options):
    return {"kind": "fold", "width": 6, "block": list(block), **options}


@pytest.mark.parametrize(
    ("branches", "grid", "past"),
    [
        ([fold(mix({}))], (3, 2), [0, 1, 2, 3, 5]),
        ([fold(mix({}), depth=2, residual="post"), mix({"axes": [2]})], (3, 2), None),
        ([mix({"axes": [2]}), fold({"kind": "feedforward"})], (3, 2), [2, 3, 4, 5]),
        ([mix({"axes": [3]}), fold(mix({"groups": 3, "wiring": "causal+shift"}))], (2, 2, 2), None),
        ([fold(mix(CONV)), mix({"axes": [2]})], (4, 2), [2, 3, 4, 5, 6, 7]),
        ([fold(mix({**ATTENTION, "heads": 1})), mix({**ATTENTION, "axes": [2]})], (3, 2), None),
        ([fold(mix(CHANNELS)), mix(CHANNELS)], (3, 2), [2, 3, 5]),
    ],
    ids=str,
)
def test_folds(branches, grid, past):
    assert_causal(influence(make_config(*branches, grid=grid)), past)


def test_refed_folds():
    config = make_config(
        fold({"kind": "feedforward"}), mix({"axes": [2]}), grid=(4, 2), refeed={"steps": 3}
    )
    assert_causal(influence(config), range(8))


def test_refeeding_reaches_further():
    config = make_config(mix(LOCAL), grid=(6,), refeed={"steps": 3, "initial_state": "learned"})
    assert_causal(influence(config), [2, 3, 4, 5])
