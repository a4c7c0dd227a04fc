"""Provides `shrink`: an ordinary smaller run, cut out of a larger one."""

import dataclasses

from mdnn.config.density import check_density, narrowed_config
from mdnn.config.growing import shrunk_config
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.files import check_new_folder, making
from mdnn.growth.narrowing import density_slices
from mdnn.growth.slices import slice_origins, weight_slices
from mdnn.models.builder import build
from mdnn.runs.item_statistics import ITEMS, write_item_statistics
from mdnn.runs.origin import write_origin
from mdnn.runs.run_files import write_run
from mdnn.runs.run_folder import open_run
from mdnn.tensorflow_graphs import forgetting_gradients
from mdnn.training import checkpoint
from mdnn.training.ema import take_averages
from mdnn.training.growing.run_state import copy_about, optimizer_for, state_of
from mdnn.training.growing.training_state import grow_state


@forgetting_gradients()
def shrink(run, out, density=None, overrides=()):
    """Makes a run folder of a smaller network, whose weights are slices of a trained one's.

    At a trained density the smaller network gives the scores that the large one gives at that
    density. Other changes give up what the network learned there: train on, or grow again
    (`mdnn.grow`). The state of the training shrinks, too: moments and averages of the weights that
    stay, steps and schedule. `mdnn.train` with `resume` goes on, with `init_from` and
    `init_optimizer` a new run does.

    Args:
        run: a run folder, an opened `Run`, a `Network` or a `.keras` file.
        out: path of the run folder to make.
        density: float, a trained density (`train.density`); `None` keeps the widths.
        overrides: strings `KEY=VALUE`, the config keys that change: `"context.grid=[32]"` (shorter
            axes, or fewer), `"backbone.depth=2"` (the first blocks stay), widths and groups of
            layers.

    Returns:
        dict: `run`, `parameters`, `parameters_before`, `positions` and `step` (`None` without the
        state of a training).

    Raises:
        MdnnError: no run, `out` is not empty, a density that was not trained, an unknown key, or a
            change that shrinking cannot make; then nothing is written.
    """
    path = as_path(out, "out")
    check_new_folder(path)
    if density is None and not overrides:
        raise MdnnError("shrink: expected a density or a key to change, received neither")
    large = open_run(run)
    if large.config.tandem.members:
        raise MdnnError("shrink: expected one network, received networks in tandem")
    state = state_of(large)
    if state is not None and _name_after(state.config, overrides) != _name_after(state.config):
        # Another optimizer has other state.
        state = None
    if state is None:
        config, network, optimizer = large.config, large.unpacked, None
    else:
        config, network, optimizer = state.config, state.model, state.optimizer
    before = network.count_params()
    if density is not None and check_density(config, density) != 1:
        config = narrowed_config(config, density)
        network, optimizer = _smaller(config, network, optimizer, density_slices)
    if overrides:
        config = shrunk_config(config, overrides)
        network, optimizer = _smaller(config, network, optimizer, _cut)
    changes = [*overrides] if density is None else [f"density={density:g}", *overrides]
    name = "a network in memory" if large.path is None else large.path.resolve()
    step = None if state is None else state.progress.step
    with making(path) as part:
        if large.path is None or (large.path / ITEMS).is_file():
            write_item_statistics(part, large.item_statistics)
        write_origin(part, "shrunk", name, step, state is not None, changes)
        if state is not None:
            copy_about(large, part, config)
            progress = dataclasses.replace(state.progress, best=None, stage=0)
            checkpoint.write_checkpoint(part, checkpoint.sections_of(network, optimizer), progress)
            take_averages(optimizer, network.trainable_variables)
        write_run(part, config, large.words, network)
    return {
        "run": str(path),
        "parameters": network.count_params(),
        "parameters_before": before,
        "positions": config.context.positions,
        "step": step,
    }


def _name_after(config, overrides=()):
    """Returns the name of the optimizer after changes of the config."""
    return shrunk_config(config, overrides).train.optimizer.name


def _cut(small, large):
    """Returns the slices of a network with other sizes, as `mdnn.growth.slices.weight_slices`."""
    try:
        return weight_slices(small, large, exact=False)
    except MdnnError as error:
        # It is about growing, from the smaller network to the larger one.
        raise MdnnError(
            f"shrink takes away what grow adds, but the smaller network cannot grow back: {error}"
        ) from None


def _smaller(config, network, optimizer, slices_of):
    """Returns a network of a config that holds slices of a larger one, and its optimizer.

    Args:
        config: `mdnn.Config` of the smaller network.
        network: the larger network.
        optimizer: its optimizer; `None` for none.
        slices_of: function `(small, large)` that returns what `weight_slices` does.
    """
    small = build(config, network.words)
    new = None if optimizer is None else optimizer_for(config, small)
    origins = slice_origins(slices_of(small, network))
    grow_state(network, small, optimizer, new, origins)
    return small, new
