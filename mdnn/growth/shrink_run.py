"""Provides `shrink`: an ordinary smaller run, cut out of a larger one."""

from mdnn.config.growing import shrunk_config
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.files import check_new_folder, making
from mdnn.growth.narrowing import at_density
from mdnn.growth.slices import take_weights, weight_slices
from mdnn.models.builder import build
from mdnn.runs.item_statistics import ITEMS, write_item_statistics
from mdnn.runs.origin import write_origin
from mdnn.runs.run_files import write_run
from mdnn.runs.run_folder import open_run


def shrink(run, out, density=None, overrides=()):
    """Makes a run folder of a smaller network, whose weights are slices of a trained one's.

    At a trained density the smaller network gives the scores that the large one gives at that
    density. Other changes give up what the network learnt there: train on (`mdnn.train` with
    `init_from`), or grow again (`mdnn.grow`).

    Args:
        run: a run folder, an opened `Run`, a `Network` or a `.keras` file.
        out: path of the run folder to make.
        density: float, a trained density (`train.density`); `None` keeps the widths.
        overrides: strings `KEY=VALUE`, the config keys that change: `"context.grid=[32]"` (shorter
            axes, or fewer), `"backbone.depth=2"` (the first blocks stay), widths and groups of
            layers.

    Returns:
        dict: `run`, `parameters`, `parameters_before` and `positions`.

    Raises:
        MdnnError: no run, `out` is not empty, a density that was not trained, an unknown key, or a
            change that shrinking cannot make; then nothing is written.
    """
    path = as_path(out, "out")
    check_new_folder(path)
    if density is None and not overrides:
        raise MdnnError("shrink: expected a density or a key to change (--density, --set)")
    large = open_run(run)
    if large.config.tandem.members:
        raise MdnnError("shrink: expected one network, received networks in tandem")
    before = large.unpacked.count_params()
    narrow = at_density(large, density)
    config, network = narrow.config, narrow.unpacked
    if overrides:
        config = shrunk_config(config, overrides)
        network = build(config, large.words)
        take_weights(weight_slices(network, narrow.unpacked, exact=False), network)
    changes = [*overrides] if density is None else [f"density={density:g}", *overrides]
    name = "a network in memory" if large.path is None else large.path.resolve()
    with making(path) as part:
        if large.path is None or (large.path / ITEMS).is_file():
            write_item_statistics(part, large.item_statistics)
        write_origin(part, "shrunk", name, changes=changes)
        write_run(part, config, large.words, network)
    return {
        "run": str(path),
        "parameters": network.count_params(),
        "parameters_before": before,
        "positions": config.context.positions,
    }
