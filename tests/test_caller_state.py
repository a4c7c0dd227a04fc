"""No public function changes what belongs to the program that calls it."""

import inspect
import itertools
import os
import random
import subprocess
import sys
import threading
import urllib.request

import keras
import numpy as np
import pytest
import tiny
from process_state import changes, snapshot
from puzzle_networks import load_sudoku

import mdnn
from mdnn.errors import MdnnError
from mdnn.runs.run_folder import open_run
from mdnn.tokens import TextTokenizer

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
ON_TORCH = keras.backend.backend() == "torch"
NUMBERS = itertools.count()
SHORT = ("train.steps=2", "train.num_evaluations=1", "train.sample=4")


class Prepared:
    """What the calls are made with.

    Args:
        folder: an empty folder.
        run, items: the folders of a run of texts and of one of items.
    """

    def __init__(self, folder, run, items):
        self.folder, self.run, self.items = folder, run, items
        self.config = tiny.load_config(folder, *SHORT)
        self.picture = folder / "picture.png"

    def new(self):
        """A path where nothing is."""
        return self.folder / f"new-{next(NUMBERS)}"


def text_batches(prepared):
    tokenizer = TextTokenizer()
    mdnn.TextBatches(tokenizer.ids(tiny.TEXT), tokenizer, 8, 4, seed=1).at(0)


def item_batches(prepared):
    config = mdnn.load_config(prepared.items / "config.toml")
    lines = mdnn.open_dataset(prepared.items.parent, 0.25).train
    objectives = config.train.objectives
    tokenizer = mdnn.ItemTokenizer((), 1000)
    mdnn.ItemBatches(lines, tokenizer, config.context, 4, 1, objectives=objectives).at(0)


def puzzle_batches(prepared):
    mdnn.PuzzleBatches(mdnn.open_puzzles("sudoku-4x4").train, 4).at(0)


def loss(prepared):
    targets = np.array([[[1, 0, 0, 65, 0, 0, 0, 0]]], "int32")
    mdnn.TokenCrossEntropy()(targets, keras.ops.ones((1, 1, 529)))


def fit(prepared):
    tokenizer = TextTokenizer()
    model = mdnn.build(prepared.config)
    loss = mdnn.TokenCrossEntropy(["text"])
    model.compile("adam", loss, jit_compile=False)
    return model, mdnn.TextBatches(tokenizer.ids(tiny.TEXT), tokenizer, 8, 4, seed=1, steps=2)


def train(prepared, *settings):
    config = tiny.load_config(prepared.folder, *SHORT, *settings)
    mdnn.train(config, prepared.new(), show=False)


def train_puzzles(prepared):
    mdnn.train(load_sudoku(prepared.folder, "train.steps=2"), prepared.new(), show=False)


def resume(prepared):
    run = prepared.new()
    mdnn.train(prepared.config, run, show=False)
    mdnn.train(mdnn.load_config(run / "config.toml", ["train.steps=3"]), run, True, False)


def fail_to_train(prepared):
    with pytest.raises(MdnnError):
        mdnn.train(tiny.load_config(prepared.folder, "context.grid=[4000]"), prepared.new())


def search(prepared):
    """A search whose time is over when its first trial has begun."""
    path = tiny.write_config(prepared.folder)
    tried = {"backbone.depth": [1, 2]}
    result = mdnn.search(path, tried, 1e-3, prepared.new(), show=False)
    assert result["left"] == 2


def write_and_read(prepared):
    mdnn.write_item(mdnn.Item("grey", tiny.picture("one")), prepared.picture)
    mdnn.read_item(prepared.picture)


def adapt(prepared):
    """Learns an identity in one step; returns its file."""
    out = prepared.folder / f"identity-{next(NUMBERS)}.safetensors"
    mdnn.adapt(prepared.run, prepared.config.data.source, out, steps=1, show=False)
    return out


def imported(prepared):
    """Imports a tiny file of llama2.c; returns the run."""
    from foreign_files import write_llama2c

    file, out = prepared.folder / "llama.bin", prepared.new()
    write_llama2c(file, prepared.folder / "tokenizer.bin")
    mdnn.import_weights(file, out, context=12)
    return open_run(out)


def inspect_text(prepared):
    """Looks at a network without chunks."""
    with pytest.raises(MdnnError):
        mdnn.inspect_text(prepared.run, "The cat sat on the mat.")


def chat_prompt(prepared):
    """Lays out a question for a network without a template."""
    for run in (imported(prepared), imported(prepared).path):
        with pytest.raises(MdnnError):
            mdnn.chat_prompt(run, "Hello")


def serve(prepared):
    """Asks a server that is stopped again."""
    with mdnn.serve(prepared.run, port=0, max_batch=1, show=False) as server:
        urllib.request.urlopen(f"{server.address}v1/models/mdnn", timeout=60).close()


CALLS = {
    "ChatSession": lambda prepared: mdnn.ChatSession(prepared.run, length=3).say("The "),
    "adapt": adapt,
    "chat_prompt": chat_prompt,
    "distill": lambda prepared: mdnn.distill(
        prepared.run, prepared.new(), overrides=SHORT, show=False
    ),
    "import_weights": imported,
    "inspect_text": inspect_text,
    "merge": lambda prepared: mdnn.merge(prepared.run, adapt(prepared), prepared.new()),
    "plan": lambda prepared: mdnn.plan(prepared.config, compile_step=False),
    "shrink": lambda prepared: mdnn.shrink(
        prepared.run, prepared.new(), overrides=["context.grid=[4]"]
    ),
    "TextBatches": text_batches,
    "Config": lambda prepared: mdnn.Config.from_dict(
        {"backbone": {"layer": [{"kind": "linear"}]}, "train": {"steps": 1}}
    ),
    "Item": lambda prepared: mdnn.Item("text", "abc"),
    "ItemBatches": item_batches,
    "ItemTokenizer": lambda prepared: mdnn.ItemTokenizer().tokens(mdnn.Item("text", "abc")),
    "MdnnError": lambda prepared: mdnn.MdnnError("nothing"),
    "Network": lambda prepared: mdnn.build(prepared.config).with_options(causal=False),
    "PuzzleBatches": puzzle_batches,
    "TokenCrossEntropy": loss,
    "build": lambda prepared: mdnn.build(prepared.config),
    "evaluate": lambda prepared: mdnn.evaluate(prepared.run, "The cat sat on the mat."),
    "export": lambda prepared: mdnn.export(prepared.run, prepared.new()),
    "generate": lambda prepared: mdnn.generate(prepared.run, "The ", length=3),
    "grow": lambda prepared: mdnn.grow(prepared.run, prepared.new(), ["backbone.depth=2"]),
    "inspect": lambda prepared: mdnn.inspect(prepared.run),
    "load": lambda prepared: mdnn.load(prepared.run),
    "load_config": lambda prepared: mdnn.load_config(prepared.run / "config.toml"),
    "open_text": lambda prepared: mdnn.open_text(prepared.config.data.source),
    "open_dataset": lambda prepared: mdnn.open_dataset(prepared.items.parent, 0.25),
    "open_puzzles": lambda prepared: mdnn.open_puzzles("sudoku-4x4"),
    "quantize": lambda prepared: mdnn.quantize(prepared.run, out=prepared.new()),
    "read_item": write_and_read,
    "search": search,
    "serve": serve,
    "save": lambda prepared: mdnn.save(mdnn.build(prepared.config), prepared.new()),
    "train": train,
    "write_item": write_and_read,
}
"""A call of each public name."""

MORE = {
    "evaluate items": lambda prepared: mdnn.evaluate(prepared.items),
    "generate items": lambda prepared: mdnn.generate(prepared.items, ["one"], output="grey 4x4"),
    "generate by unmasking": lambda prepared: mdnn.generate(
        prepared.items,
        ["one"],
        output="grey 4x4",
        decoding="masked_diffusion",
        num_denoising_steps=2,
    ),
    "fail to train": fail_to_train,
    "train deterministically": lambda prepared: train(prepared, "train.deterministic=true"),
    "train with dropout": lambda prepared: train(prepared, "backbone.layer.0.dropout=0.1"),
    "train in bfloat16": lambda prepared: train(prepared, "train.precision=bfloat16"),
    "train on puzzles": train_puzzles,
    "resume": resume,
}

NAMED_FOR_IT = {"configure_threads"}
"""Functions that are there to change a setting of the process."""


def is_here(name):
    """Whether the backend has what a call needs."""
    if ON_TORCH and (name.startswith(("train", "fail")) or name == "resume"):
        return False
    return ON_TENSORFLOW or name not in ("export", "serve")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, tiny_run, items_run):
    return Prepared(tmp_path_factory.mktemp("prepared"), tiny_run, items_run)


def test_every_public_name_is_called():
    modules = {name for name in mdnn.__all__ if inspect.ismodule(getattr(mdnn, name))}
    assert set(mdnn.__all__) - modules - NAMED_FOR_IT == set(CALLS)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.long) if name in MORE else name
        for name in CALLS | MORE
        if is_here(name)
    ],
)
def test_nothing_of_the_callers_is_changed(prepared, name):
    before = snapshot()
    (CALLS | MORE)[name](prepared)
    assert changes(before, snapshot()) == []


@pytest.mark.long
@pytest.mark.parametrize(
    "name", [name for name in ("build", "generate", "evaluate", "train", "export") if is_here(name)]
)
def test_nothing_is_changed_from_another_thread(prepared, name):
    """Neither afterwards nor meanwhile: other threads of the caller go on.

    Meanwhile TensorFlow's loggers have a filter more, which drops records of that thread alone.
    """
    failures, seen, before = [], [], snapshot()

    def call():
        try:
            CALLS[name](prepared)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    while thread.is_alive():
        seen += [
            change for change in changes(before, snapshot()) if not change.startswith("logger")
        ]
        thread.join(0.5)
    assert failures == []
    assert sorted(set(seen + changes(before, snapshot()))) == []


FIRST = """
import random, sys, json
sys.path.insert(0, {tests!r})
import numpy as np, keras, mdnn
import matplotlib
from process_state import changes, snapshot
if keras.backend.backend() != "torch":
    import tensorflow as tf
before = snapshot()
model = mdnn.build(mdnn.load_config({config!r}))
first = changes(before, snapshot())
mdnn.generate({run!r}, "The ", length=3)
mdnn.evaluate({run!r}, "The cat sat on the mat.")
if keras.backend.backend() != "torch":
    mdnn.train({config!r}, {out!r}, show=False)
print(json.dumps(first + changes(before, snapshot())))
"""


def test_the_first_calls_of_a_process(prepared):
    """What they import for the first time changes nothing either."""
    config = tiny.write_config(prepared.folder)
    config.write_text(config.read_text().replace("steps = 300", "steps = 2"))
    here = os.path.dirname(__file__)
    program = FIRST.format(
        tests=here, config=str(config), run=str(prepared.run), out=str(prepared.new())
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["text-grid", "digits-small", "sudoku-4x4", "transformer"])
def test_building_draws_from_no_generator_of_the_callers(name, monkeypatch):
    """Not even while it builds: another thread may draw at that moment."""

    def refuse(*args):
        raise AssertionError("a number was drawn")

    config = mdnn.load_config(name)
    for owner in (random, np.random):
        for drawing in ("randint", "random", "uniform", "normal", "seed"):
            if hasattr(owner, drawing):
                monkeypatch.setattr(owner, drawing, refuse)
    weights = mdnn.build(config).get_weights()
    # Without a seed every table of one shape would start alike.
    large = [weight.tobytes() for weight in weights if weight.size > 16 and weight.any()]
    ones = [weight for weight in weights if weight.size > 16 and (weight == 1).all()]
    assert len(set(large)) >= len(large) - max(0, len(ones) - 1)


def test_seeds_drawn_in_a_loop_differ(prepared):
    """A program that draws its seeds gets others each time, whatever mdnn does in between."""
    random.seed(1)
    np.random.seed(1)
    drawn = set()
    for _ in range(3):
        seed = random.randrange(10**6)
        drawn.add((seed, float(np.random.rand())))
        mdnn.generate(prepared.run, "The ", length=2, seed=seed)
        mdnn.build(prepared.config)
    assert len(drawn) == 3


def test_the_same_config_builds_the_same_network(prepared):
    """Whatever the caller drew before."""
    keras.utils.set_random_seed(1)
    first = mdnn.build(prepared.config).get_weights()
    keras.utils.set_random_seed(2)
    second = mdnn.build(prepared.config).get_weights()
    assert len(first) == len(second)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


POLICIES = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64")


@pytest.mark.parametrize(
    "policy",
    [POLICIES[0], *(pytest.param(policy, marks=pytest.mark.long) for policy in POLICIES[1:])],
)
def test_a_global_policy_changes_no_network(prepared, policy):
    """Networks are of float32, whatever policy Keras' own layers are made with."""
    text = mdnn.generate(prepared.run, "The ", length=8)
    loss = mdnn.evaluate(prepared.run, "The cat sat on the mat.")
    picture = mdnn.generate(
        prepared.items,
        ["one"],
        output="grey 4x4",
        decoding="masked_diffusion",
        num_denoising_steps=2,
    )
    weights = mdnn.build(prepared.config).get_weights()
    keras.config.set_dtype_policy(policy)
    try:
        built = mdnn.build(prepared.config)
        assert {weight.dtype for weight in built.weights if "int" not in weight.dtype} == {
            "float32"
        }
        assert all(map(np.array_equal, built.get_weights(), weights))
        assert mdnn.generate(prepared.run, "The ", length=8) == text
        assert mdnn.evaluate(prepared.run, "The cat sat on the mat.") == loss
        own = mdnn.generate(
            prepared.items,
            ["one"],
            output="grey 4x4",
            decoding="masked_diffusion",
            num_denoising_steps=2,
        )
        assert np.array_equal(own, picture)
        model, batches = fit(prepared)
        assert np.isfinite(model.fit(batches, verbose=0).history["loss"]).all()
        if not ON_TORCH:
            train(prepared)
        assert keras.config.dtype_policy().name == policy
        assert keras.layers.Dense(1).dtype_policy.name == policy
    finally:
        keras.config.set_dtype_policy("float32")
