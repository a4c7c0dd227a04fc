"""Calls of the public functions that `test_calls_in_a_loop.py` makes again and again."""

import functools
import itertools
import shutil
import urllib.request

import foreign_files
import networks
import numpy as np
import pytest
import tiny
from puzzle_networks import load_sudoku

import mdnn
from mdnn.runs.run_folder import open_run
from mdnn.tokens import TextTokenizer

NUMBERS = itertools.count()


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
    def refed(self):
        return self.trained("refed", tiny.load_config(self.folder, *tiny.QUICK, "refeed.steps=2"))

    @functools.cached_property
    def puzzles(self):
        settings = ("train.steps=2", "refeed.initial_state=random")
        return self.trained("puzzles", load_sudoku(self.folder, *settings))

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
    def chunks(self):
        return mdnn.build(networks.tiny("text-subwords"))

    @functools.cached_property
    def foreign(self):
        foreign_files.write_gguf(self.folder / "a.gguf")
        return self.folder / "a.gguf"


def generate(run, k, **options):
    return mdnn.generate(run, "The ", **{"length": 20, "seed": k, **options})


def generate_items(run, seed, **options):
    return mdnn.generate(run, ["one"], output="grey 4x4", seed=seed, **options)


def serve_a_text(run):
    """Asks a server for some characters and stops it."""
    body = b'{"model": "mdnn", "prompt": "The ", "max_tokens": 3}'
    with mdnn.serve(run, port=0, max_batch=1, show=False) as server:
        urllib.request.urlopen(f"{server.address}v1/completions", body, timeout=60).close()


def text_batches(made, k):
    tokenizer = TextTokenizer()
    mdnn.TextBatches(tokenizer.ids(tiny.TEXT), tokenizer, 8, 4, seed=k).at(k)


def item_batches(made, k):
    config = mdnn.load_config(made.items / "config.toml")
    lines = mdnn.open_dataset(made.items.parent, 0.25).train
    objectives = config.train.objectives
    tokenizer = mdnn.ItemTokenizer((), 1000)
    mdnn.ItemBatches(lines, tokenizer, config.context, 4, k, objectives=objectives).at(k)


def loss(made, k):
    targets = np.array([[[1, 0, 0, k % 128, 0, 0, 0, 0]]], "int32")
    mdnn.TokenCrossEntropy()(targets, np.ones((1, 1, 529), "float32"))


def write_and_read(made, k):
    item = mdnn.Item("grey", np.full((4, 4), k % 256, np.uint8))
    mdnn.write_item(item, made.folder / "a.png")
    mdnn.read_item(made.folder / "a.png")


def question(made, k):
    """Asks a network without a template, which refuses."""
    with pytest.raises(mdnn.MdnnError):
        mdnn.chat_prompt(made.run, f"{k}")


def tokenize(made, k):
    tokenizer = mdnn.ItemTokenizer()
    tokenizer.item(tokenizer.tokens(mdnn.Item("text", f"abc {k}")))


TEXT = "The cat sat on the mat."
LIGHT = {
    "load_config": lambda made, k: mdnn.load_config(made.run / "config.toml"),
    "Config of a dict": lambda made, k: mdnn.Config.from_dict(
        {"backbone": {"layer": [{"kind": "linear"}]}, "train": {"steps": 1 + k}}
    ),
    "build": lambda made, k: mdnn.build(made.config),
    "Network with other options": lambda made, k: made.model.with_options(False, 1 + k),
    "load by path": lambda made, k: mdnn.load(made.run),
    "load opened": lambda made, k: mdnn.load(made.opened),
    "load .keras": lambda made, k: mdnn.load(made.keras),
    "generate by path": lambda made, k: generate(made.run, k),
    "generate by path, other lengths": lambda made, k: mdnn.generate(
        made.run, "The "[: 1 + k % 4], length=1 + k % 20, seed=k
    ),
    "generate opened": lambda made, k: generate(made.opened, k),
    "generate a model": lambda made, k: generate(made.model, k),
    "generate several texts": lambda made, k: mdnn.generate(
        made.run, ["The ", "A"] * (1 + k % 3), length=5, seed=k
    ),
    "generate to a stream": lambda made, k: generate(made.run, k, stream=[].append),
    "generate with log-probabilities": lambda made, k: generate(made.run, k, logprobs=2),
    "generate until a text": lambda made, k: generate(made.run, k, stop=["at", f"a{k}"]),
    "generate with penalties and biases": lambda made, k: generate(
        made.run, k, presence_penalty=k / 1000, logit_bias={65 + k % 20: k / 100}
    ),
    "generate by a regular expression": lambda made, k: generate(
        made.run, k, regex=f"[a-z]{{1,{1 + k % 9}}}"
    ),
    "generate by a schema": lambda made, k: generate(made.run, k, schema={"enum": [k, f"{k}"]}),
    "generate items by path": lambda made, k: generate_items(made.items, k),
    "generate items by unmasking": lambda made, k: generate_items(
        made.items, k, decoding="masked_diffusion", num_denoising_steps=2
    ),
    "generate puzzles by path": lambda made, k: mdnn.generate(made.puzzles, made.puzzle, seed=k),
    "generate puzzles with other steps": lambda made, k: mdnn.generate(
        made.puzzles, made.puzzle, seed=k, steps=1 + k, num_starts=1 + k % 3
    ),
    "generate members": lambda made, k: generate(made.tandem, k),
    "generate at a density": lambda made, k: generate(
        made.nested, k, density=(0.5, 1.0, "auto")[k % 3]
    ),
    "generate with an identity": lambda made, k: generate(
        made.run, k, identity=(made.identity, None)[k % 2]
    ),
    "evaluate by path": lambda made, k: mdnn.evaluate(made.run, TEXT),
    "evaluate opened": lambda made, k: mdnn.evaluate(made.opened, TEXT),
    "evaluate a model": lambda made, k: mdnn.evaluate(made.model, TEXT),
    "evaluate at positions": lambda made, k: mdnn.evaluate(made.run, TEXT, by_position=True),
    "evaluate members": lambda made, k: mdnn.evaluate(made.tandem, TEXT),
    "evaluate at a density": lambda made, k: mdnn.evaluate(
        made.nested, TEXT, density=(0.5, 1.0, "auto")[k % 3]
    ),
    "evaluate with an identity": lambda made, k: mdnn.evaluate(
        made.run, TEXT, identity=(made.identity, None)[k % 2]
    ),
    "evaluate items": lambda made, k: mdnn.evaluate(made.items),
    "evaluate puzzles": lambda made, k: mdnn.evaluate(made.puzzles),
    "evaluate puzzles at other steps": lambda made, k: mdnn.evaluate(
        made.puzzles, steps=[1 + k % 20, 2 + k % 20], num_starts=1 + k % 2
    ),
    "inspect": lambda made, k: mdnn.inspect((made.config, made.run, made.opened)[k % 3]),
    "inspect_text": lambda made, k: mdnn.inspect_text(made.chunks, TEXT * (1 + k % 3)),
    "open_text": lambda made, k: mdnn.open_text(made.config.data.source),
    "open_dataset": lambda made, k: mdnn.open_dataset(made.items.parent, 0.25),
    "open_puzzles": lambda made, k: mdnn.open_puzzles("sudoku-4x4").train.at(k, 2),
    "TextBatches": text_batches,
    "ItemBatches": item_batches,
    "PuzzleBatches": lambda made, k: mdnn.PuzzleBatches(
        mdnn.open_puzzles("sudoku-4x4").train, 4
    ).at(k),
    "TokenCrossEntropy": loss,
    "ItemTokenizer": tokenize,
    "read_item of what write_item wrote": write_and_read,
    "chat_prompt": question,
    "ChatSession": lambda made, k: mdnn.ChatSession(made.run, length=3, seed=k).say("The "),
    "save": lambda made, k: mdnn.save(made.model, made.new()),
    "plan": lambda made, k: mdnn.plan(made.config, compile_step=False),
    "configure_threads": lambda made, k: mdnn.configure_threads(),
}
HEAVY = {
    "serve": lambda made, k: serve_a_text((made.run, made.opened)[k % 2]),
    "train": lambda made, k: mdnn.train(made.config, made.new(), show=False),
    "evaluate new networks": lambda made, k: mdnn.evaluate(mdnn.load(made.run), TEXT),
    # More numbers of steps than are kept compiled, and no larger graphs from call to call.
    "evaluate at other steps": lambda made, k: mdnn.evaluate(made.refed, TEXT, steps=1 + k % 6),
    "export": lambda made, k: mdnn.export(made.run, made.new()),
    "export a model": lambda made, k: mdnn.export(made.model, made.new()),
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
    "import_weights": lambda made, k: mdnn.import_weights(made.foreign, made.new()),
}

WITHOUT_WORK = {"Item", "MdnnError"}
"""Public names that only hold what they are given."""
