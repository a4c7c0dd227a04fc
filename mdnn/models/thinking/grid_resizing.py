"""Rebuilds a network with the same weights for a grid of another size."""

import dataclasses

from mdnn.errors import MdnnError
from mdnn.models.builder import build
from mdnn.tokens.symbols import puzzle_source


def check_size_free(config, wanted):
    """Refuses a network whose weights depend on the sizes of its grid.

    Args:
        config: its `mdnn.Config`.
        wanted: the puzzle of another size, for the error.

    Raises:
        MdnnError: a layer or option depends on the grid; names the last such key.
    """
    own = puzzle_source(config.data.source)[0] or f"grid {list(config.context.grid)}"
    found = None
    for number, layer in enumerate(config.backbone.layer):
        if layer.kind == "fold":
            found = f"backbone.layer.{number}.kind = 'fold'"
        for k, mixer in enumerate(layer.mixer):
            if not mixer.size_free:
                found = f"backbone.layer.{number}.mixer.{k}.kind = {mixer.kind!r}"
    if config.tokens.coordinates:
        found = "tokens.coordinates = true"
    if found is not None:
        raise MdnnError(
            f"expected a {own}, the puzzle that the network was built for: {found} has weights per "
            f"position; received {wanted}"
        )


def at_grid_size(model, config, name):
    """Builds a network for another size of its puzzle and copies the weights.

    Args:
        model: the network.
        config: its `mdnn.Config`, with puzzles as data.
        name: `mdnn.tokens.symbols.PuzzleName` of the other size.

    Returns:
        Tuple of a functional `keras.Model` with its own copy of the weights, and its config.

    Raises:
        MdnnError: the weights depend on the grid's sizes, or the puzzle has another number of axes.
    """
    check_size_free(config, name)
    if len(name.shape) != len(config.context.grid):
        raise MdnnError(
            f"expected a puzzle of {len(config.context.grid)} axes, as the network's context.grid "
            f"= {list(config.context.grid)}; received {name}"
        )
    context = dataclasses.replace(config.context, grid=tuple(name.shape))
    data = dataclasses.replace(config.data, source=str(name))
    config = dataclasses.replace(config, context=context, data=data)
    other = build(config)
    other.set_weights(model.get_weights())
    return other, config
