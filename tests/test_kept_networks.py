"""What is made around a network that is kept open is bounded and leaves nothing in its layers."""

import gc
import types
import weakref

import keras
import numpy as np
import pytest
import tiny
from networks import count_nodes, text_tokens

import mdnn
from mdnn.datasets.puzzles.puzzle_splits import make_task
from mdnn.identity import adapted_network
from mdnn.kernels import run_plan
from mdnn.models.compiling import predicted
from mdnn.recently_used import recently_used
from mdnn.runs.run_folder import run_of
from mdnn.tasks import puzzle_evaluator
from mdnn.tasks.batch_evaluator import MAX_EVALUATORS, cached_evaluator
from mdnn.tasks.learning import MAX_VARIANTS
from mdnn.tasks.registry import task_for
from mdnn.tensorflow_graphs import PREFIX, _registered, forget_with
from mdnn.tokens.symbols import PuzzleName


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    settings = ("train.objectives.parallel=1", "backbone.slab=4")
    return mdnn.build(tiny.load_config(tmp_path_factory.mktemp("kept"), *settings))


def export(network):
    from mdnn.serving.export.saved_model import exported_by_task

    exported_by_task(run_of(network))


def evaluator(network):
    task = task_for(network.config)
    task.evaluator(task.networks(network, steps=1))


@pytest.mark.parametrize("make", [export, evaluator])
def test_nodes(kept, make):
    if make is export and keras.backend.backend() != "tensorflow":
        pytest.skip("SavedModels are TensorFlow's")
    make(kept)
    before = count_nodes(kept)
    assert before > 10
    make(kept)
    assert count_nodes(kept) == before


def test_evaluators_with_ever_new_steps(kept):
    """Each has networks of its own, which share the layers."""
    task, before, first = task_for(kept.config), count_nodes(kept), None
    for steps in range(2, 3 + MAX_VARIANTS):
        evaluator = cached_evaluator(task, kept, steps)
        first = first or weakref.ref(evaluator)
    assert count_nodes(kept) == before
    assert len(vars(kept)["variants"]) == MAX_VARIANTS
    assert len(vars(kept)["evaluators"]) == MAX_EVALUATORS
    gc.collect()
    assert first() is None


@pytest.mark.parametrize("settings", [(), ("tandem.members=2",)], ids=["one", "members"])
def test_networks_with_other_options(tmp_path, settings):
    """They leave no symbolic calls and are functional models like any other."""
    if settings and keras.backend.backend() == "torch":
        pytest.skip("members need TensorFlow or JAX")
    network = mdnn.build(tiny.load_config(tmp_path, *settings))
    nodes = count_nodes(network)
    other = network.with_options(causal=False)
    again = other.with_options(causal=False)
    assert count_nodes(network) == nodes
    tokens = text_tokens((2, 8))
    inputs = {"tokens": tokens, "targets": tokens}
    expected = keras.ops.convert_to_numpy(other(inputs))
    around = keras.Model(other.input, keras.ops.tanh(other.output))
    assert [id(w) for w in around.weights] == [id(w) for w in network.weights]
    found = keras.ops.convert_to_numpy(around(inputs))
    np.testing.assert_allclose(found, np.tanh(expected), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(again(inputs)), expected)
    dead = weakref.ref(other)
    del other, around, again
    gc.collect()
    assert dead() is None


def names():
    return {name for name in list(_registered()) if name.startswith(PREFIX)}


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the table is TensorFlow's")
def test_compiled_functions_take_their_gradients_with_them():
    """TensorFlow would hold the graph of each for ever: here that of a loop in a function."""

    class Loop(keras.Model):
        def __init__(self, key):
            super().__init__()
            self.key = key

        def traced_for(self, inputs):
            return self.key

        def call(self, x):
            return keras.ops.fori_loop(0, 3, lambda _, x: keras.ops.silu(x), x)

    gc.collect()
    before = names()
    for key, xla in ((None, False), (1, False), (None, True)):
        model = Loop(key)
        model.jit_compile = xla
        predicted(model, np.ones((2, 3), "float32"))
        assert len(names()) > len(before)
        first = names()
        # Another shape, and no trace at all.
        predicted(model, np.ones((2, 4), "float32"))
        assert names() > first
        second = names()
        predicted(model, np.ones((2, 4), "float32"))
        assert names() == second
        del model
        gc.collect()
        assert names() == before
    forget_with(len)


def test_few_of_each_kind_are_kept():
    cache = {}
    for number in (1, 2, 3, 2, 4):
        assert recently_used(cache, number, lambda number=number: -number, 2) == -number
    assert cache == {2: -2, 4: -4}
    with pytest.raises(ZeroDivisionError):
        recently_used(cache, 5, lambda: 1 / 0, 2)
    assert cache == {2: -2, 4: -4}


def test_native_decoders(monkeypatch, tmp_path):
    """Each number of steps has a plan with all weights."""
    monkeypatch.setattr(run_plan, "_plan_of_folder", lambda *arguments: object())
    monkeypatch.setattr(run_plan, "NativeDecoder", lambda plan: plan)
    run = types.SimpleNamespace(path=tmp_path, cache={})
    found = [run_plan.decoder_of_run(run, steps) for steps in (1, 2, 1, *range(3, 9))]
    assert found[0] is found[2]
    assert run_plan.decoder_of_run(run, 8) is found[-1]
    assert len(run.cache["native_decoders"]) == run_plan.MAX_DECODERS


def test_identities(monkeypatch, kept):
    """Each identity has a network."""
    fake = types.SimpleNamespace(config=kept.config)
    monkeypatch.setattr(adapted_network, "check_belongs", lambda *arguments: None)
    monkeypatch.setattr(adapted_network, "adapted_network", lambda *arguments: fake)
    monkeypatch.setattr(adapted_network, "adapted_weights", lambda *arguments: [])
    run, made = run_of(kept), []
    for number in range(adapted_network.MAX_RUNS + 2):
        arrays = {"first.offset": np.full(2, number, "float32")}
        identity = adapted_network.Identity(kind="offset", arrays=arrays, network="a")
        made += [adapted_network.with_identity(run, identity) for _ in range(2)]
        assert made[-1] is made[-2]
    assert len(set(map(id, made))) == len(made) / 2
    assert len(run.cache["identity_runs"]) == adapted_network.MAX_RUNS


def test_sizes_of_puzzles(monkeypatch, kept):
    """Each size has a compiled network."""
    monkeypatch.setattr(puzzle_evaluator, "fits", lambda *arguments: True)
    make = lambda model, config: types.SimpleNamespace(network=model)  # noqa: E731
    monkeypatch.setattr(puzzle_evaluator, "RecurrentInference", make)
    evaluator = puzzle_evaluator.PuzzleEvaluator({"parallel": kept}, kept.config)
    for side in range(3, 6 + puzzle_evaluator.MAX_SIZES):
        kind = make_task(PuzzleName("maze", (2 * side + 1, 5)))
        assert evaluator.solver(kind) is evaluator.solver(kind)
    assert len(evaluator.solvers) == puzzle_evaluator.MAX_SIZES
