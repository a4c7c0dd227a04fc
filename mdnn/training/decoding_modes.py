"""The ways to write that a config trains, and the network wired for each."""

from mdnn.datasets.batches.objectives import OBJECTIVES, objective_weights


def decoding_mode_shares(config):
    """How often each way to write is trained: a dict from its name to its share of the steps.

    The names are those of `[train.objectives]`, in their order, without those never trained.
    """
    shares = objective_weights(config.train.objectives).tolist()
    return {name: share for name, share in zip(OBJECTIVES, shares, strict=True) if share}


def networks_by_mode(model, config):
    """The network for each way that is trained: a dict from its name to a `keras.Model`.

    In turn no position sees those after it; the other ways see the whole context. All have the
    weights of `model`.

    Args:
        model: the network as `mdnn.build` makes it.
        config: its config.
    """
    names = decoding_mode_shares(config)
    whole = model.with_options(causal=False) if model.causal and len(names) > 1 else model
    return {name: model if name == "autoregressive" else whole for name in names}
