"""Grows the whole state of a training: weights, optimizer, averages, random generators."""

import itertools

import keras

from mdnn.errors import MdnnError
from mdnn.growth.network_growth import grow_weights, network_origins
from mdnn.growth.optimizer_growth import grow_optimizer, weight_averages
from mdnn.models.builder import build


def grow_state(old, new, old_optimizer=None, new_optimizer=None, origins=None):
    """Copies the function of a network, and its optimizer's state, to a larger or smaller one.

    Args:
        old: network.
        new: the other network, with its initial weights.
        old_optimizer, new_optimizer: Keras optimizers of one kind, built on the trainable
            variables of the networks; `None` to copy the weights alone.
        origins: where the new weights come from, a dict as `network_origins` returns it; `None`
            for a larger network. `mdnn.growth.slices.slice_origins` has those of a smaller one.

    Raises:
        MdnnError: the networks differ in something that growing cannot change. Nothing is assigned.
    """
    origins = network_origins(old, new) if origins is None else origins
    weights, averages = grow_weights(origins, new), None
    if old_optimizer is not None and weight_averages(old_optimizer, old.trainable_variables):
        kept = weight_averages(old_optimizer, old.trainable_variables)
        fixed = {w.path: keras.ops.convert_to_numpy(w) for w in old.non_trainable_weights}
        averages = grow_weights(origins, new, fixed | kept)
    for weight in new.weights:
        weight.assign(weights[weight.path])
    if old_optimizer is not None:
        variables = old.trainable_variables, new.trainable_variables
        grow_optimizer(origins, old_optimizer, new_optimizer, *variables, averages)
    before, after = generators(old), generators(new)
    for name in before.keys() & after.keys():
        after[name].assign(keras.ops.convert_to_numpy(before[name]))


def generators(network):
    """Returns the states of a network's random generators, a dict keyed by the layer that draws."""
    found = {}
    for block in network.blocks:
        for name, layer in ((block.name, block), *_inner(block)):
            if getattr(layer, "dropout", None) is not None:
                found[name] = layer.dropout.seed_generator.state
    generator = getattr(network.refeed, "generator", None)
    if generator is not None:
        found["refeed"] = generator.state
    return found


def _inner(block):
    """Returns the blocks inside a fold as pairs of a name and a block."""
    return [(f"{block.name}/{inner.name}", inner) for inner in getattr(block, "blocks", ())]


def check_stages(configs, words):
    """Refuses stages whose networks cannot grow into one another.

    Args:
        configs: list of `mdnn.Config`, one per stage.
        words: the table of words.

    Raises:
        MdnnError: names the stage and what cannot grow.
    """
    networks = [build(config, words) for config in configs]
    for number, (old, new) in enumerate(itertools.pairwise(networks)):
        try:
            network_origins(old, new)
        except MdnnError as error:
            raise MdnnError(f"train.stage.{number}: {error}") from None
