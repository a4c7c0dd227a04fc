"""Provides `grow`: a run folder of a larger network that computes what the smaller one does."""

import dataclasses

import numpy as np
from keras.ops import convert_to_numpy

from mdnn.config.growing import grown_config
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.files import check_new_folder, making
from mdnn.growth.grid_change import grid_change
from mdnn.growth.network_growth import modes_of
from mdnn.models.builder import build
from mdnn.runs.origin import write_origin
from mdnn.runs.run_files import write_run
from mdnn.runs.run_folder import open_run
from mdnn.tensorflow_graphs import forgetting_gradients
from mdnn.tokens.features import COORDINATES, MODALITY, NUM_FEATURES
from mdnn.tokens.modalities import modality
from mdnn.training import checkpoint
from mdnn.training.ema import take_averages
from mdnn.training.growing.run_state import copy_about, optimizer_for, state_of
from mdnn.training.growing.training_state import grow_state
from mdnn.training.preparation import anchored

TOLERANCE = 1e-4
"""Largest difference of scores, relative to the largest score, that rounding explains."""


@forgetting_gradients()
def grow(run, out, overrides=()):
    """Makes a run folder of a larger network that computes the same as a trained one.

    On contexts that the smaller network could read, laid into the corner of the larger grid, both
    give the same scores. The state of the training grows, too: `mdnn.train` with `resume` goes on.
    What can grow, and what cannot: docs/growing.md.

    Args:
        run: a run folder, an opened `Run`, a `Network` or a `.keras` file.
        out: path of the run folder to make.
        overrides: strings `KEY=VALUE`, the config keys that change, such as
            `"context.grid=[16, 32]"` or `"backbone.depth=6"`.

    Returns:
        dict: `run`, `parameters`, `parameters_before`, `positions`, `step` (`None` without the
        state of a training) and `difference`, the largest difference of the scores on random
        contexts, relative to the largest score.

    Raises:
        MdnnError: no run, `out` is not empty, no key to change, an unknown one, or a change that
            growing cannot make; then nothing is written.
    """
    path = as_path(out, "out")
    check_new_folder(path)
    run = open_run(run)
    if not overrides:
        raise MdnnError("grow: expected a key to change, received none")
    state = state_of(run)
    if state is not None:
        run = dataclasses.replace(run, config=state.config).holding(state.model)
    config = anchored(grown_config(run.config, overrides, free=True))
    network = build(config, run.words)
    optimizer = None
    if state is not None and config.train.optimizer.name == run.config.train.optimizer.name:
        optimizer = optimizer_for(config, network)
    grow_state(run.model, network, None if optimizer is None else state.optimizer, optimizer)
    facts = {
        "parameters": network.count_params(),
        "parameters_before": run.model.count_params(),
        "positions": config.context.positions,
        "step": None if optimizer is None else state.progress.step,
        "difference": largest_difference(run.model, network),
    }
    if facts["difference"] > TOLERANCE:
        raise MdnnError(
            f"the larger network's scores differ by {facts['difference']:.1e} of the largest "
            "score; this is a bug in mdnn; nothing is written"
        )
    with making(path) as part:
        copy_about(run, part, config)
        name = "a network in memory" if run.path is None else run.path.resolve()
        write_origin(part, "grown", name, facts["step"], optimizer is not None, overrides)
        if optimizer is not None:
            progress = dataclasses.replace(state.progress, best=None, stage=0)
            checkpoint.write_checkpoint(part, checkpoint.sections_of(network, optimizer), progress)
            take_averages(optimizer, network.trainable_variables)
        write_run(part, config, run.words, network)
    return facts | {"run": str(path)}


def largest_difference(old, new, contexts=2, seed=0):
    """Compares two networks on random contexts of the smaller one.

    Args:
        old, new: networks, the new one grown from the old one.
        contexts: int, number of contexts.
        seed: int.

    Returns:
        float: the largest difference of the scores that both have, relative to the largest one.
    """
    change, config = grid_change(old, new), old.config
    rng = np.random.default_rng(seed)
    kind = modality(next(name for name in config.tokens.modalities if name != "word"))
    small = np.zeros((contexts, config.context.positions, NUM_FEATURES), "int32")
    small[..., MODALITY] = kind.index
    first = MODALITY + 1
    for byte in range(len(kind.bytes)):
        most = min(kind.bytes[byte], 4 if kind.name == "symbol" else 128)
        last = byte == len(kind.bytes) - 1 or kind.name != "text"
        if last:
            small[..., first + byte] = rng.integers(0, most, small.shape[:2])
    small[..., COORDINATES.start] = np.arange(config.context.positions)
    places = change.positions()
    candidates = config.tokens.candidates
    if candidates:
        places = places.reshape(candidates, -1)[0]
    large = np.zeros((contexts, new.config.context.positions, NUM_FEATURES), "int32")
    large[:, places] = small
    worst = 0.0
    for causal in sorted(modes_of(config)):
        before = convert_to_numpy(old.scores(small, small, causal=causal))
        targets = np.zeros_like(large)
        targets[:, places] = small
        after = convert_to_numpy(new.scores(large, targets, causal=causal))[:, places]
        columns = _shared_columns(old.heads, new.heads)
        pairs = [(before[..., a], after[..., b]) for a, b in columns]
        top = max(float(np.abs(a[np.abs(a) < 1e8]).max(initial=1e-9)) for a, _ in pairs)
        for a, b in pairs:
            seen = np.abs(a) < 1e8  # symbols without a field have no score
            worst = max(worst, float(np.abs(a - b)[seen].max(initial=0.0)) / top)
    return worst


def _shared_columns(old, new):
    """Returns pairs of columns of the scores that belong to the same class of the same step."""
    pairs, begins, number = [], {}, 0
    for step in new.steps:
        begins[step.name] = number, step
        number += step.classes
    number = 0
    for step in old.steps:
        begin, other = begins[step.name]
        for k in range(step.classes):
            same = k if step.values is None else other.values.index(step.values[k])
            pairs.append((number + k, begin + same))
        number += step.classes
    before, after = (np.array(side) for side in zip(*pairs, strict=True))
    return [(before, after)]
