"""Small text networks of every kind that the native library runs."""

import numpy as np

from mdnn.config.load import Config
from mdnn.models.builder import build

FEED = {"kind": "feedforward", "gate": "silu"}


def mix(*mixers, **branch):
    return {"kind": "mix", "mixer": list(mixers), **branch}


SHIFT = {"wiring": "causal+shift", "groups": 2}

NETWORKS = {
    "shift": ([8], [mix(SHIFT, gate="silu"), FEED], {}),
    "pairs": (
        [5],
        [
            mix({"sharing": "shared"}, stack=2, activation="gelu", project=False, norm="layer"),
            {"kind": "feedforward", "activation": "partial(melu, 0.75)", "width": 10, "bias": True},
        ],
        {"tokens": {"coordinates": True, "digits": 2}, "backbone": {"final_norm": "layer"}},
    ),
    "grid": ([3, 4], [mix(SHIFT, gate="silu"), FEED], {}),
    "three axes": (
        [2, 3, 2],
        [
            mix({"execution": "sequential", "groups": 2}, {"kind": "attention", "axes": [2]}),
            mix(
                {"kind": "conv", "axes": [3], "window": 1},
                {"kind": "local", "axes": [2], "window": 1},
            ),
        ],
        {"tokens": {"coordinates": True, "digits": 2}},
    ),
    "own kernels": (
        [2, 3],
        [
            mix({"sharing": "separate"}, {"axes": [-1], "sharing": "separate"}, project=False),
            mix({"axes": [-1], "sharing": "shared"}, {"kind": "local", "axes": [1], "window": 1}),
        ],
        {},
    ),
    "attention": (
        [9],
        [
            mix({"kind": "attention", "heads": 2}, project=False),
            {"kind": "linear", "activation": "sort2", "residual": "post"},
        ],
        {},
    ),
    "along a slower axis": (
        [3, 2],
        [mix({"kind": "attention", "axes": [1], "heads": 2}), FEED],
        {},
    ),
    "refed": (
        [2, 3],
        [mix({"axes": [2], "groups": 2}, times=2, activation="tanh"), FEED],
        {"refeed": {"steps": 2, "initial_state": "learned", "damping": 0.25}},
    ),
    "inner steps": (
        [4],
        [mix({})],
        {"refeed": {"steps": 2, "inner_steps": 2, "initial_state": "random"}},
    ),
    "inner widths": (
        [2, 4],
        [
            mix(
                {"groups": 3},
                {"kind": "attention", "axes": [2], "heads": 2},
                {"axes": [-1], "sharing": "separate"},
                gate="silu",
                width=12,
            ),
            mix({"execution": "sequential", "groups": 2}, width=4, bias=True),
        ],
        {},
    ),
    "whole code points": ([4], [mix({})], {"tokens": {"table": "full", "heads": "full"}}),
    "one position": ([1], [mix({}), FEED], {}),
    "embedding size": (
        [5],
        [mix(SHIFT)],
        {"tokens": {"coordinates": True, "digits": 2, "embedding_size": {"text": 3}}},
    ),
}
"""Grids, layers and further tables of configs by name."""


def text_network(name, width=8, words=(), **settings):
    """Returns the network of a name with random weights."""
    grid, layers, tables = NETWORKS[name]
    tables = dict(tables)
    backbone = {"width": width, "depth": 1, "layer": layers, **tables.pop("backbone", {})}
    table = {"backbone": backbone, "context": {"grid": grid}, "train": {"steps": 1}, **tables}
    network = build(Config.from_dict({**table, **settings}), words)
    rng = np.random.default_rng(0)
    for weight in network.weights:
        # Near the sizes of trained weights: scores of some nats.
        weight.assign(rng.normal(size=weight.shape) / 2)
    return network
