"""Tiny networks of puzzles, for tests."""

import mdnn

CONFIG = """
data = { source = "sudoku-4x4", validation_size = 24 }
tokens = { modalities = ["symbol"], candidates = 4 }
context = { layout = "puzzle", grid = [2, 2, 2, 2] }
loss.prompt = 0.0
[backbone]
width = 8
depth = 1
[[backbone.layer]]
kind = "mix"
gate = "silu"
residual = "post"
[[backbone.layer.mixer]]
wiring = "full"
[refeed]
steps = 2
[train]
steps = 10
batch_size = 8
sample = 0
objectives = { autoregressive = 0.0, parallel = 1.0 }
"""

# Mazes and prefix sums: mixers whose weights know no size.
FREE = """
data = {{ source = "{source}", validation_size = 24 }}
tokens = {{ modalities = ["symbol"] }}
context = {{ layout = "puzzle", grid = {grid} }}
[backbone]
width = 8
depth = 1
[[backbone.layer]]
kind = "mix"
gate = "silu"
residual = "post"
{mixers}
[refeed]
steps = 6
bptt_steps = 2
step_schedule = "sampled"
[train]
steps = 10
batch_size = 8
sample = 0
objectives = {{ autoregressive = 0.0, parallel = 1.0 }}
"""

CONV = '[[backbone.layer.mixer]]\nkind = "conv"\nwiring = "full"\nwindow = 2\naxes = [{}]\n'


def load_sudoku(folder, *settings):
    """The config of sudokus of 4x4 positions, with changes `KEY=VALUE`."""
    return _load(folder, CONFIG, settings)


def load_free(folder, source, grid, *settings):
    """The config of a network that takes puzzles of any size."""
    mixers = "".join(CONV.format(axis + 1) for axis in range(len(grid)))
    return _load(folder, FREE.format(source=source, grid=list(grid), mixers=mixers), settings)


def _load(folder, text, settings):
    path = folder / "puzzle.toml"
    path.write_text(text, encoding="utf-8")
    return mdnn.load_config(path, settings)
