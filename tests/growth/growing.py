"""Networks with random weights that grow, and what their scores are before and after."""

import numpy as np
from networks import text_tokens

import mdnn
from mdnn.config.growing import grown_config
from mdnn.growth.grid_change import grid_change
from mdnn.training.growing.training_state import grow_state

FEEDFORWARD = {"kind": "feedforward", "gate": "silu", "width": 6}


def random_network(config, seed=0):
    """A network whose weights are far from their initial values: gains near 1, the rest near 0."""
    network, rng = mdnn.build(config), np.random.default_rng(seed)
    for weight in network.weights:
        base = float(weight.path.endswith("scale"))
        weight.assign(base + 0.3 * rng.normal(size=weight.shape))
    return network


def grown(old, changes):
    """The larger network of a network and a list of `KEY=VALUE`."""
    new = mdnn.build(grown_config(old.config, changes, free=True))
    grow_state(old, new)
    return new


def difference(old, new, causal=True, tokens=None, columns=None):
    """The largest difference of old scores, relative to the largest one.

    Whatever stands at the new positions: they hold random letters.

    Args:
        old, new: networks.
        causal: boolean, how both are called.
        tokens: int32 `[batch, old positions, 8]`; `None` for random letters.
        columns: the columns of the new scores that the old ones are compared with.
    """
    small = text_tokens((2, old.config.context.positions)) if tokens is None else tokens
    large = text_tokens((len(small), new.config.context.positions), seed=7)
    places = grid_change(old, new).positions()[: small.shape[1]]
    large[:, places] = small
    before = np.asarray(old.scores(small, small, causal=causal))
    after = np.asarray(new.scores(large, large, causal=causal))[:, places]
    after = after[..., : before.shape[-1]] if columns is None else after[..., columns]
    seen = abs(before) < 1e8
    return float(abs(before - after)[seen].max() / abs(before[seen]).max())
