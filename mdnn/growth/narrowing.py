"""Provides a run's network at a density: a network of its own, with smaller products."""

from mdnn.config.density import check_density, narrowed_config
from mdnn.errors import MdnnError
from mdnn.growth.slices import take_weights, weight_slices
from mdnn.models.builder import build
from mdnn.runs.run_folder import open_run


def at_density(run, density):
    """Returns a run whose network has a share of the hidden widths and kernels of another one's.

    The weights are slices of the larger network's: nothing is masked.

    Args:
        run: what `mdnn.runs.run_folder.open_run` takes.
        density: float, one of `train.density` of the run's config; `None` or 1.0 for the whole
            network.

    Returns:
        `mdnn.runs.run_folder.Run`; the same object in every call with equal arguments.

    Raises:
        MdnnError: a density that was not trained.
    """
    run = open_run(run)
    if density is None or check_density(run.config, density) == 1:
        return run
    cache = run.cache.setdefault("narrowed_runs", {})
    if density not in cache:
        network = narrowed(run.unpacked, density)
        cache[density] = run.holding(network, network.config)
    elif run.path is None:
        # A network in memory may have been trained since.
        network = cache[density].model
        take_weights(weight_slices(network, run.unpacked), network)
    return cache[density]


def narrowed(network, density):
    """Returns a new network with the weights of another one at a density.

    Args:
        network: `mdnn.models.network.Network`.
        density: float.

    Raises:
        MdnnError: the network cannot be narrowed.
    """
    small = build(narrowed_config(network.config, density), network.words)
    take_weights(density_slices(small, network), small)
    return small


def density_slices(small, large):
    """Returns `mdnn.growth.slices.weight_slices` of a network at a density.

    Raises:
        MdnnError: names what cannot be narrowed.
    """
    try:
        return weight_slices(small, large)
    except MdnnError as error:
        raise MdnnError(f"train.density: {error}") from None
