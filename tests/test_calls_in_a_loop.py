"""Calls in a loop leave nothing behind: memory is flat, by path and opened.

`make test` makes a few calls of each public function; `make test-long` makes 400
(`MDNN_LOOP_CALLS`), 40 of those that take seconds (`MDNN_SLOW_LOOP_CALLS`) and 8 of `search`, and
prints what stays of each.
"""

import contextlib
import ctypes
import functools
import gc
import itertools
import os
import shutil
import time
import urllib.request
from pathlib import Path

import foreign_files
import keras
import numpy as np
import pytest
import tiny
from puzzle_networks import load_sudoku

import mdnn
from mdnn.runs.run_folder import open_run

CALLS = int(os.environ.get("MDNN_LOOP_CALLS", "400"))
SLOW_CALLS = int(os.environ.get("MDNN_SLOW_LOOP_CALLS", str(max(8, CALLS // 10))))
"""Calls of those that take seconds each: they train or write a whole folder."""

SEARCHES = 8
"""The most calls of `search`, whose trainings begin processes of their own."""

NUMBERS = itertools.count()

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc"),
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="measures TensorFlow's"),
]


def resident():
    """Megabytes that the process has in memory, without freed ones that malloc has kept."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Made:
    """What the calls are made with; each is made when it is first asked for.

    Args:
        folder: for all of it.
        run: folder of a tiny text run.
        items: folder of a tiny run of items.
    """

    def __init__(self, folder, run, items):
        self.folder, self.run, self.items = folder, run, items
        self.config = tiny.load_config(folder, "train.steps=2", *tiny.QUICK[:2])
        self.text = self.config.data.source

    def new(self):
        """A path where nothing is; what the last call wrote is removed."""
        shutil.rmtree(self.folder / "new", ignore_errors=True)
        (self.folder / "new").mkdir()
        return self.folder / "new" / f"{next(NUMBERS)}"

    def trained(self, name, config):
        mdnn.train(config, self.folder / name, show=False)
        return self.folder / name

    @functools.cached_property
    def opened(self):
        return open_run(self.run)

    @functools.cached_property
    def model(self):
        return mdnn.load(self.run)

    @functools.cached_property
    def keras(self):
        self.model.save(self.folder / "model.keras")
        return self.folder / "model.keras"

    @functools.cached_property
    def puzzles(self):
        return self.trained("puzzles", load_sudoku(self.folder, "train.steps=2"))

    @functools.cached_property
    def puzzle(self):
        puzzles, _ = mdnn.open_puzzles("sudoku-4x4").train.at(0, 1)
        return "".join(map(str, puzzles[0])).replace("0", ".")

    @functools.cached_property
    def tandem(self):
        settings = (*tiny.QUICK, "tandem.members=2")
        return self.trained("tandem", tiny.load_config(self.folder, *settings))

    @functools.cached_property
    def nested(self):
        settings = (*tiny.QUICK, "train.density=[0.5, 1.0]", "backbone.width=32")
        return self.trained("nested", tiny.load_config(self.folder, *settings))

    @functools.cached_property
    def identity(self):
        path = self.folder / "identity.safetensors"
        mdnn.adapt(self.run, self.text, path, steps=2, show=False)
        return path

    @functools.cached_property
    def foreign(self):
        foreign_files.write_gguf(self.folder / "a.gguf")
        return self.folder / "a.gguf"


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_run, items_run):
    return Made(tmp_path_factory.mktemp("loop"), tiny_run, items_run)


def generate_items(run, seed):
    return mdnn.generate(run, ["one"], output="grey 4x4", seed=seed)


def serve_a_text(run):
    """Asks a server for some characters and stops it."""
    body = b'{"model": "mdnn", "prompt": "The ", "max_tokens": 3}'
    with mdnn.serve(run, port=0, max_batch=1, show=False) as server:
        urllib.request.urlopen(f"{server.address}v1/completions", body, timeout=60).close()


TEXT = "The cat sat on the mat."
LIGHT = {
    "load_config": lambda made, k: mdnn.load_config(made.run / "config.toml"),
    "build": lambda made, k: mdnn.build(made.config),
    "load by path": lambda made, k: mdnn.load(made.run),
    "load .keras": lambda made, k: mdnn.load(made.keras),
    "generate by path": lambda made, k: mdnn.generate(made.run, "The ", length=20, seed=k),
    "generate by path, other lengths": lambda made, k: mdnn.generate(
        made.run, "The "[: 1 + k % 4], length=1 + k % 20, seed=k
    ),
    "generate opened": lambda made, k: mdnn.generate(made.opened, "The ", length=20, seed=k),
    "generate a model": lambda made, k: mdnn.generate(made.model, "The ", length=20, seed=k),
    "generate items by path": lambda made, k: generate_items(made.items, k),
    "solve by path": lambda made, k: mdnn.generate(made.puzzles, made.puzzle, seed=k),
    "evaluate by path": lambda made, k: mdnn.evaluate(made.run, TEXT),
    "evaluate opened": lambda made, k: mdnn.evaluate(made.opened, TEXT),
    "evaluate a model": lambda made, k: mdnn.evaluate(made.model, TEXT),
    "evaluate at a density": lambda made, k: mdnn.evaluate(
        made.nested, TEXT, density=(0.5, 1.0, "auto")[k % 3]
    ),
    "inspect": lambda made, k: mdnn.inspect((made.config, made.run, made.opened)[k % 3]),
    "open_text": lambda made, k: mdnn.open_text(made.config.data.source),
    "open_dataset": lambda made, k: mdnn.open_dataset(made.items.parent, 0.25),
    "open_puzzles": lambda made, k: mdnn.open_puzzles("sudoku-4x4").train.at(k, 2),
    "read and write an item": lambda made, k: mdnn.read_item(
        mdnn.write_item(
            mdnn.Item("grey", np.full((4, 4), k % 256, np.uint8)), made.folder / "a.png"
        )
        or made.folder / "a.png"
    ),
    "generate members": lambda made, k: mdnn.generate(made.tandem, "The ", length=20, seed=k),
    "generate at a density": lambda made, k: mdnn.generate(
        made.nested, "The ", length=20, seed=k, density=(0.5, 1.0, "auto")[k % 3]
    ),
    "generate with an identity": lambda made, k: mdnn.generate(
        made.run, "The ", length=20, seed=k, identity=(made.identity, None)[k % 2]
    ),
    "chat": lambda made, k: mdnn.chat_prompt(made.run, [{"role": "user", "content": f"{k}"}]),
    "save": lambda made, k: mdnn.save(made.model, made.new()),
    "plan": lambda made, k: mdnn.plan(made.config, compile_step=False),
    "converse": lambda made, k: mdnn.ChatSession(made.run, length=3, seed=k).say("The "),
}
HEAVY = {
    "serve": lambda made, k: serve_a_text((made.run, made.opened)[k % 2]),
    "train": lambda made, k: mdnn.train(made.config, made.new(), show=False),
    "export": lambda made, k: mdnn.export(made.run, made.new()),
    "grow": lambda made, k: mdnn.grow(made.run, made.new(), ["backbone.depth=2"]),
    "shrink": lambda made, k: mdnn.shrink(made.nested, made.new(), density=0.5),
    "quantize": lambda made, k: mdnn.quantize(made.run, out=made.new()),
    "adapt": lambda made, k: mdnn.adapt(
        made.run, made.text, made.new().with_suffix(".safetensors"), steps=2, show=False
    ),
    "merge": lambda made, k: mdnn.merge(made.run, made.identity, made.new()),
    "distill": lambda made, k: mdnn.distill(
        made.tandem, made.new(), overrides=["train.steps=2", *tiny.QUICK[:2]], show=False
    ),
    "search": lambda made, k: mdnn.search(
        made.run / "config.toml",
        {"backbone.depth": [1, 2]},
        10,
        made.new(),
        ["train.steps=2", "train.num_evaluations=1", "train.sample=0"],
        show=False,
    ),
    "import": lambda made, k: mdnn.import_weights(made.foreign, made.new()),
}


def growth(call, made, number, warm):
    """Megabytes that stay of a call, and its seconds: means over `number` calls after `warm`."""
    for k in range(warm):
        call(made, k)
    before, start = resident(), time.perf_counter()
    for k in range(warm, warm + number):
        call(made, k)
    seconds = time.perf_counter() - start
    return (resident() - before) / number, seconds / number


FEW = ("generate by path", "evaluate by path", "load by path", "solve by path", "inspect")
"""Calls that compile or read the most; `test_many_calls` has all."""


@pytest.mark.parametrize("name", FEW)
def test_a_few_calls(made, name):
    """What was compiled is compiled once: otherwise a call takes some 40 MB and seconds."""
    megabytes, _ = growth(LIGHT[name], made, 8, 2)
    assert megabytes < (4 if name.startswith("load") else 2)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", LIGHT | HEAVY)
def test_many_calls(made, name):
    """Memory is flat: what stays of a call is below what any object of it would take."""
    number = CALLS if name in LIGHT else SLOW_CALLS
    number = min(number, SEARCHES) if name == "search" else number
    megabytes, seconds = growth((LIGHT | HEAVY)[name], made, number, max(4, min(number // 8, 20)))
    print(f"\n{name}: {number} calls, {megabytes:.3f} MB stay of each, {1e3 * seconds:.0f} ms each")
    assert megabytes < (0.05 if name in LIGHT else 0.5)
