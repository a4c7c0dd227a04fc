"""Training at several densities, and what uses the result: commands, their Python twins, errors."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tiny
from networks import count_nodes

import mdnn
from mdnn.cli import main
from mdnn.generation import text_decoding
from mdnn.growth.narrowing import at_density
from mdnn.models.loss import loss_for
from mdnn.runs.cached_runs import cached_run
from mdnn.runs.origin import read_origin
from mdnn.runs.run_folder import open_run
from mdnn.tasks import density_rule
from mdnn.tasks.density_rule import auto_metrics, chosen_densities, read_rule
from mdnn.tasks.registry import task_for
from mdnn.tasks.text_task import TextTask
from mdnn.training.optimizers import make_optimizer
from mdnn.training.plans.trained_widths import TrainedWidths
from mdnn.training.steps.step import make_step

SETTINGS = (
    "backbone.width=32",
    "backbone.layer.0.mixer.0.groups=2",
    "backbone.layer.1.width=64",
    "backbone.layer.1.dropout=0.1",
    "train.density=[0.5, 1.0]",
    "train.num_evaluations=1",
    "train.sample=0",
    "train.steps=60",
)


pytestmark = pytest.mark.usefixtures("decoded_without_xla")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("density")
    return mdnn.train(tiny.load_config(folder, *SETTINGS), folder / "run", show=False)


@pytest.fixture(scope="module")
def run(trained):
    return open_run(trained["run"])


def test_training_at_several_densities(trained, run):
    """Every width learns: each is better than guessing, and the whole network is not the worst."""
    assert list(trained["densities"]) == ["0.5", "1"]
    losses = list(trained["densities"].values())
    assert all(loss < 3.0 for loss in losses)
    assert losses[-1] < losses[0] + 0.05
    rule = read_rule(run)
    assert len(rule.densities) == len(rule.edges) + 1
    assert set(rule.densities) <= {0.5, 1.0}
    for density, excess in zip(rule.densities, rule.excess, strict=True):
        assert excess[-1] == 0.0
        assert excess[[0.5, 1.0].index(density)] <= 0.02
    # The curve shows the whole network alone.
    assert "train_loss" in (run.path / "metrics.csv").read_text("utf-8")


def test_a_step_at_a_width_is_a_step_of_the_narrow_network(run):
    """Loss and gradients are those of the narrow network; all other weights have no gradient."""
    config = run.config
    task, network = task_for(config, run.words).open(), mdnn.build(config)
    widths = TrainedWidths(config, network, task)
    names = {widths.name("autoregressive", step) for step in range(40)}
    assert names == {"autoregressive", *widths.networks}
    name = "autoregressive at density 0.5"
    small = at_density(run.holding(network), 0.5).model
    batch = task.batches.at(0)
    loss = loss_for(config)
    before = {weight.path: np.asarray(weight).copy() for weight in network.weights}
    optimizer = make_optimizer(config.train.optimizer, network.trainable_variables, 0.0)
    networks = task.networks(network) | widths.networks
    step = make_step(networks, loss, optimizer, loss_model=widths.loss_model)
    value = float(step(batch, 0.1, name))
    step.sync()
    # Dropout makes the difference.
    expected = float(task.loss_model(small, loss)(batch))
    assert abs(value - expected) < 0.05 * expected
    hidden = network.blocks[1].dense_in.kernel
    moved = np.asarray(hidden) != before[hidden.path]
    # Matrices decay, so look at the gradient's mean square instead of the values.
    assert moved.any()
    slots = {v.path: v for v in optimizer.variables}
    moment = next(np.asarray(v) for p, v in slots.items() if hidden.path.replace("/", "_") in p)
    half = config.backbone.layer[1].width // 2
    assert moment[:, :half].any()
    assert not moment[:, half : 2 * half].any()


def test_generate_and_evaluate_at_a_density(run, tmp_path, capsys):
    text = mdnn.generate(run.path, "The cat", length=12, temperature=0, density=0.5)
    facts = mdnn.shrink(run.path, tmp_path / "half", density=0.5)
    assert facts["parameters"] < facts["parameters_before"]
    assert mdnn.generate(tmp_path / "half", "The cat", length=12, temperature=0) == text
    assert read_origin(tmp_path / "half")["changes"] == ["density=0.5"]
    whole, half = mdnn.evaluate(run.path), mdnn.evaluate(run.path, density=0.5)
    assert half["loss"] == pytest.approx(mdnn.evaluate(tmp_path / "half")["loss"], abs=1e-6)
    assert whole["loss"] != half["loss"]
    words = ["--prompt", "The cat", "--length", "12", "--temperature", "0", "--density", "0.5"]
    assert main(["generate", str(run.path), *words]) == 0
    assert capsys.readouterr().out == f"The cat{text}\n"
    # What was cut out grows again, and is the same network.
    again = mdnn.grow(
        tmp_path / "half",
        tmp_path / "again",
        ["backbone.layer.0.width=32", "backbone.layer.0.mixer.0.groups=2"],
    )
    assert again["difference"] < 1e-4


def test_shrinking_other_sizes(run, tmp_path, capsys):
    words = ["shrink", str(run.path), "--out", str(tmp_path / "short"), "--json"]
    assert main([*words, "--set", "context.grid=[4]", "--set", "backbone.layer.1.width=32"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["positions"] == 4
    small = mdnn.load(tmp_path / "short")
    kernel = small.blocks[0].sets[0][0].kernels[0]
    large = run.model.blocks[0].sets[0][0].kernels[0]
    np.testing.assert_array_equal(np.asarray(kernel), np.asarray(large)[:, 4:-4])
    for settings, message in [
        (["context.grid=[16]"], "shrinking cannot lengthen an axis: expected at most 8"),
        (["backbone.depth=2"], "backbone.depth: shrinking cannot enlarge: expected at most 1"),
        (["backbone.width=16"], "backbone.width: shrinking keeps the stream's width"),
        (["backbone.dept=1"], "did you mean 'depth'"),
        (["backbone.layer.1.gate=tanh"], "but the smaller network cannot grow back: backbone."),
        ([], "shrink: expected a density or a key to change"),
    ]:
        more = [word for setting in settings for word in ("--set", setting)]
        assert main(["shrink", str(run.path), "--out", str(tmp_path / "no"), *more]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


@pytest.mark.long
def test_auto(run):
    rule = read_rule(run)
    prompts = ["The cat sat on the mat. ", "q", "Ça va, naïve café? "]
    chosen = chosen_densities(run, prompts)
    assert set(chosen) <= {0.5, 1.0}
    text = mdnn.generate(run.path, prompts[0], length=8, temperature=0, density="auto")
    assert text == mdnn.generate(run.path, prompts[0], length=8, temperature=0, density=chosen[0])
    metrics = mdnn.evaluate(run.path, density="auto")
    assert 0.5 <= metrics["mean_density"] <= 1
    assert sum(metrics["shares"].values()) == pytest.approx(1)
    # With every window at one density the metrics are those of that density.
    dataclasses.replace(rule, densities=[0.5] * len(rule.densities)).write(run.path)
    opened = cached_run(run.path)
    nodes = count_nodes(at_density(opened, 0.5).model)
    try:
        loss = auto_metrics(opened, task_for(run.config, run.words).validation)["loss"]
    finally:
        rule.write(run.path)
    # What measures the widths was made once: it leaves nothing more in the networks.
    assert count_nodes(at_density(opened, 0.5).model) == nodes
    assert loss == pytest.approx(mdnn.evaluate(run.path, density=0.5)["loss"], abs=1e-5)


@pytest.mark.long
def test_streams_of_several_densities(run, monkeypatch):
    """In one batch each text has its own network, and is what `generate` writes with it."""
    pytest.importorskip("tensorflow")
    from mdnn.serving.server import density_streams

    chosen = {"The cat": 0.5, "Ça va": 1.0, "mat": 0.5}
    monkeypatch.setattr(
        density_streams, "chosen_densities", lambda run, prompts: [chosen[p] for p in prompts]
    )
    rule = read_rule(run)
    dataclasses.replace(rule, densities=[0.5, *[1.0] * len(rule.edges)]).write(run.path)
    try:
        streams = density_streams.DensityStreams(run)
    finally:
        rule.write(run.path)
    assert sorted(streams.streams) == [0.5, 1.0]
    lengths = [9, 30, 5]
    pieces = list(streams.write(list(chosen), lengths, [0.0] * 3, [0] * 3))
    texts = ["".join(each) for each in zip(*pieces, strict=True)]
    for text, length, (prompt, density) in zip(texts, lengths, chosen.items(), strict=True):
        assert text == mdnn.generate(run, prompt, length=length, temperature=0, density=density)


def test_several_prompts_at_their_densities(run, tmp_path, monkeypatch, capsys):
    """Each line of a file has the density of its prompt, with its own seed; the order stays."""
    chosen = {"The cat": 0.5, "Ça va": 1.0, "mat": 0.5}
    monkeypatch.setattr(
        density_rule, "chosen_densities", lambda run, prompts: [chosen[p] for p in prompts]
    )
    asked = []

    def answer(run, prompts, options, *_, **__):
        asked.append((run, prompts, options.seed))
        width = run.model.blocks[1].dense_in.kernel.shape[1]
        return [f"{prompt} {width}" for prompt in prompts]

    monkeypatch.setattr(TextTask, "generate", lambda self, *args, **kwargs: answer(*args, **kwargs))
    found = mdnn.generate(run.path, list(chosen), density="auto", seed=[1, 2, 3])
    widths = {d: at_density(run, d).model.blocks[1].dense_in.kernel.shape[1] for d in (0.5, 1.0)}
    assert found == [f"{prompt} {widths[density]}" for prompt, density in chosen.items()]
    assert [one[1:] for one in asked] == [(["The cat", "mat"], [1, 3]), (["Ça va"], [2])]
    with pytest.raises(mdnn.MdnnError, match="seed: expected one or 3"):
        mdnn.generate(run.path, list(chosen), density="auto", seed=[1])
    monkeypatch.setattr(text_decoding, "generate_text", answer)
    (tmp_path / "prompts.txt").write_text("\n".join(chosen), encoding="utf-8")
    words = ["generate", str(run.path), "--prompts", str(tmp_path / "prompts.txt")]
    assert main([*words, "--density", "auto"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["answer"] for line in lines] == found
    assert [line["prompt"] for line in lines] == list(chosen)
    assert main([*words, "--density", "0.5"]) == 0
    assert capsys.readouterr().out.count(str(widths[0.5])) == 3


def test_bad_densities(run, tiny_run, tmp_path, capsys):
    # Other backends export nothing, at whatever density.
    on_tensorflow = keras.backend.backend() == "tensorflow"
    of_export = "'auto' is chosen for" if on_tensorflow else "export needs the TensorFlow backend"
    for words, message in [
        (["generate", run.path, "--prompt", "a", "--density", "0.3"], "0.5, 1; received 0.3"),
        (["generate", run.path, "--prompt", "a", "--density", "half"], "received 'half'"),
        (
            ["evaluate", tiny_run, "--density", "0.5"],
            "trained with 1 (train.density",
        ),
        (["evaluate", tiny_run, "--density", "auto"], "density: 'auto' needs a run of texts"),
        (
            ["evaluate", run.path, "--density", "auto", "--steps", "2"],
            "cannot be combined with other options",
        ),
        (
            ["export", run.path, tmp_path / "saved", "--density", "auto"],
            of_export,
        ),
        (["shrink", run.path, "--out", tmp_path / "a", "--density", "0.4"], "received 0.4"),
    ]:
        assert main([str(word) for word in words]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "saved").exists()


@pytest.mark.long
def test_items_in_three_decodings(tmp_path):
    """Each decoding has a step at each width, layers inside folds among them."""
    quick = ("train.num_evaluations=0", "train.steps=40", "train.density=[0.5, 1.0]")
    facts = mdnn.train(tiny.load_items(tmp_path, *quick), tmp_path / "run", show=False)
    assert list(facts["densities"]) == ["0.5", "1"]
    metrics = mdnn.evaluate(tmp_path / "run", density=0.5)
    assert set(metrics["modes"]) == {"autoregressive", "parallel", "masked_diffusion"}
    picture = mdnn.generate(tmp_path / "run", ["one"], output="grey 4x4", density=0.5)
    assert picture.shape == (4, 4)
    assert not (tmp_path / "run" / "density.json").exists()


@pytest.mark.long
def test_small_weights(run, tmp_path):
    """A run of int8 weights has its densities, and shrinks to one of float32."""
    small = mdnn.quantize(run.path, "int8", tmp_path / "small")
    losses = [mdnn.evaluate(one, density=0.5, sliding=False)["loss"] for one in (run.path, small)]
    assert losses[1] == pytest.approx(losses[0], abs=0.05)
    mdnn.shrink(small, tmp_path / "half", density=0.5)
    loss = mdnn.evaluate(tmp_path / "half", sliding=False)["loss"]
    assert loss == pytest.approx(losses[1], abs=1e-5)
