"""Growing a training: its whole state, stages, going on, what is refused."""

import csv
import json
import shutil

import numpy as np
import pytest
import tiny
from test_trainer import stop

import mdnn
from mdnn.cli import main
from mdnn.config.growing import grown_config
from mdnn.growth.network_growth import network_origins
from mdnn.growth.optimizer_growth import restart_moments
from mdnn.growth.origins import new_share
from mdnn.runs.origin import read_origin
from mdnn.runs.run_folder import open_run
from mdnn.runs.safetensors_io import read_arrays
from mdnn.training import checkpoint
from mdnn.training.growing.run_state import state_of
from mdnn.training.growing.training_state import grow_state
from mdnn.training.optimizers import make_optimizer

STATE = "mdnn.training.growing.stages.grow_state"

STAGES = """
[[train.stage]]
at = 0.5
context.grid = [2, 8]
train.batch_size = 4
backbone.depth = 2
backbone.width = 24
backbone.layer.0.mixer.0.groups = 3

"""
QUICK = (*tiny.QUICK, "train.steps=6", "train.deterministic=true", "train.ema_decay=0.9")
LARGER = ["context.grid=[2, 8]", "backbone.depth=2", "backbone.width=24"]
LARGER += ["backbone.layer.0.mixer.0.groups=3", "backbone.layer.1.width=40"]


def staged(folder, *settings, stages=STAGES):
    """The tiny config from one character on, in three stages."""
    path = tiny.write_config(folder)
    text = path.read_text("utf-8").replace("grid = [8]", "grid = [1]")
    path.write_text(text.replace("[train.optimizer]", f"{stages}[train.optimizer]"), "utf-8")
    return mdnn.load_config(path, [*QUICK, "backbone.layer.1.dropout=0.1", *settings])


def same_runs(one, other):
    """Asserts that two runs have the same weights, checkpoint and metrics, bit by bit."""
    files = ["model.safetensors", checkpoint.newest(one).relative_to(one)]
    for file in files:
        a, b = (read_arrays(run / file)[0] for run in (one, other))
        assert a.keys() == b.keys()
        for name in a:
            assert a[name].tobytes() == b[name].tobytes(), name
    assert (one / "metrics.csv").read_bytes() == (other / "metrics.csv").read_bytes()


def test_stages_and_a_stop_at_their_border(tmp_path, monkeypatch, capsys):
    config = staged(tmp_path)
    whole = mdnn.train(config, tmp_path / "whole")
    shown = capsys.readouterr().err
    assert "stage 1 of 2 at step 0: context 1, depth 1, width 16, " in shown
    assert "stage 2 of 2 at step 3: context 2 x 8, depth 2, width 24, " in shown
    assert "stage 2 of 2  step 6" in shown
    network = mdnn.load(tmp_path / "whole")
    assert (network.grid, network.width) == ((2, 8), 24)
    assert network.count_params() == whole["parameters"]
    assert open_run(tmp_path / "whole").config.train.batch_size == 4
    with open(tmp_path / "whole" / "metrics.csv", encoding="utf-8", newline="") as file:
        stages = [int(row["stage"]) for row in csv.DictReader(file)]
    assert stages == [0] * 3 + [1] * 3
    assert (tmp_path / "whole" / "loss.png").read_bytes().startswith(b"\x89PNG")
    # Stopped while the network grows; then before the first step after it; then gone on with.
    parts = tmp_path / "parts"
    with monkeypatch.context() as patch:
        patch.setattr(STATE, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert mdnn.train(config, parts, show=False)["steps"] == 3
    assert mdnn.load(parts).grid == (1,)
    stop(monkeypatch, at=0)
    assert mdnn.train(config, parts, resume=True, show=False)["steps"] == 3
    assert mdnn.load(parts).grid == (2, 8)
    mdnn.train(config, parts, resume=True, show=False)
    same_runs(tmp_path / "whole", parts)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (
            "[[train.stage]]\nat = 0.2\ncontext.grid = [0]\n",
            "train.stage.0: context.grid.0: expected",
        ),
        (
            "[[train.stage]]\nat = 0.2\ncontext.grid = [8]\n[[train.stage]]\nat = 0.4\n"
            "context.grid = [4]\n",
            "train.stage.1: context.grid: growing cannot shorten an axis: expected at least 8",
        ),
        (
            "[[train.stage]]\nat = 0.4\nbackbone.depth = 2\n[[train.stage]]\nat = 0.4\n"
            "backbone.depth = 3\n",
            "train.stage.1.at: expected shares of the budget above 0 and below 1, one after",
        ),
        ("[[train.stage]]\nat = 0.4\nbackbone.dept = 2\n", "did you mean 'depth'?"),
        (
            "[[train.stage]]\nbackbone.depth = 2\n",
            "train.stage.0.at: expected a share of the budget",
        ),
        ("[[train.stage]]\nat = 1.0\nbackbone.depth = 2\n", "train.stage.0.at: expected shares"),
        ("[[train.stage]]\nat = 0.4\n", "train.stage.0: expected keys that change from 0.4 of the"),
        ("[[train.stage]]\nat = 0.4\nseed = 2\n", "train.stage.0: seed: expected a key that may"),
        (
            "[[train.stage]]\nat = 0.4\nbackbone.layer = [{kind = 'mix'}]\n",
            "train.stage.0.backbone.layer: expected single keys",
        ),
    ],
)
def test_stages_that_are_refused(tmp_path, stages, message):
    with pytest.raises(mdnn.MdnnError) as refused:
        staged(tmp_path, stages=stages)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_stages_that_cannot_grow_are_refused_before_the_first_step(tmp_path):
    stages = "[[train.stage]]\nat = 0.4\nbackbone.width = 24\n"
    config = staged(tmp_path, "backbone.layer.0.norm=layer", stages=stages)
    with pytest.raises(
        mdnn.MdnnError, match=r"^train.stage.0: backbone.layer.0.norm: 'layer' takes"
    ):
        mdnn.train(config, tmp_path / "run", show=False)
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def grown_run(tmp_path_factory, tiny_run):
    path = tmp_path_factory.mktemp("grown") / "run"
    return path, mdnn.grow(tiny_run, path, LARGER)


def test_a_grown_run(grown_run, tiny_run):
    path, facts = grown_run
    assert facts["difference"] < 1e-5
    assert facts["step"] == 300
    assert facts["parameters"] == mdnn.load(path).count_params() > facts["parameters_before"]
    assert read_origin(path)["changes"] == LARGER
    # A row of the grid reads what the whole context did: the loss has no jump.
    before, after = (mdnn.evaluate(run, sliding=False)["loss"] for run in (tiny_run, path))
    assert after == pytest.approx(before, abs=0.1)
    assert mdnn.generate(path, "The cat", length=8, temperature=0.0)


@pytest.mark.long
def test_a_grown_run_goes_on_without_a_jump(grown_run, tmp_path):
    path, _ = grown_run
    shutil.copytree(path, tmp_path / "run")
    config = mdnn.load_config(path / "config.toml", ["train.steps=330"])
    after = mdnn.train(config, tmp_path / "run", resume=True, show=False)
    with open(tmp_path / "run" / "metrics.csv", encoding="utf-8", newline="") as file:
        rows = {int(row["step"]): float(row["train_loss"]) for row in csv.DictReader(file)}
    old = np.mean([loss for step, loss in rows.items() if 250 < step <= 300])
    first = np.mean([loss for step, loss in rows.items() if 300 < step <= 310])
    assert first < old + 0.15
    assert after["loss"] < mdnn.evaluate(path, sliding=False)["loss"] + 0.02


@pytest.mark.parametrize("name", ["adamw", "muon", "lion", "sgd"])
def test_the_state_of_every_optimizer(tiny_run, name):
    """Moments of what was copied go along; those of what is new start from zero."""
    old = mdnn.load(tiny_run)
    new = mdnn.build(grown_config(old.config, [*LARGER, f"train.optimizer.name={name}"], free=True))
    spec = new.config.train.optimizer
    optimizers = [make_optimizer(spec, net.trainable_variables, 0.9) for net in (old, new)]
    rng = np.random.default_rng(0)
    for variable in optimizers[0].variables:
        if tuple(variable.shape):
            variable.assign(abs(rng.normal(size=variable.shape)) * 1e-3)
    optimizers[0].iterations.assign(7)
    grow_state(old, new, *optimizers)
    assert int(optimizers[1].iterations) == 7
    numbers = {w.path: k for k, w in enumerate(old.trainable_variables)}
    firsts, seconds = (
        [getattr(o, "_momentums", None) or o.momentums for o in optimizers],
        [
            getattr(o, "_velocities", None) or getattr(o, "adam_velocities", None)
            for o in optimizers
        ],
    )
    for k, weight in enumerate(new.trainable_variables):
        if "block_0_feedforward/dense_in/kernel" in weight.path:
            before = numbers[weight.path]
            m, grown = (np.asarray(side[n]) for side, n in zip(firsts, (before, k), strict=True))
            np.testing.assert_array_equal(grown[:16, :32], m[:, :32])
            assert not grown[16:].any()
            # Gate and value: 40 columns each, of which 32 are old.
            np.testing.assert_array_equal(grown[:16, 40:72], m[:, 32:])
            if seconds[0] and seconds[0][before] is not None:
                v, grown = (
                    np.asarray(side[n]) for side, n in zip(seconds, (before, k), strict=True)
                )
                np.testing.assert_array_equal(grown[:16, :32], v[:, :32])
                # Zeros: the decay of v is 0.99.
                assert not grown[16:].any()
        if weight.path == "block_0_feedforward/norm/scale" and name == "adamw":
            # The gain is larger by sqrt(16 / 24), its gradient smaller by as much.
            factor = (16 / 24) ** 0.5
            m, v = (np.asarray(side[0][numbers[weight.path]]) for side in (firsts, seconds))
            np.testing.assert_allclose(np.asarray(firsts[1][k])[:16], m / factor, rtol=1e-5)
            np.testing.assert_allclose(np.asarray(seconds[1][k])[:16], v / factor**2, rtol=1e-5)
        if "block_1" in weight.path and seconds[1] and seconds[1][k] is not None:
            # A new block: as at the start of a training.
            assert not np.asarray(firsts[1][k]).any()
            assert not np.asarray(seconds[1][k]).any()
    averages = optimizers[1]._model_variables_moving_average
    for k, weight in enumerate(new.trainable_variables):
        if weight.path == "embedding/text_byte_3":
            before = optimizers[0]._model_variables_moving_average[numbers[weight.path]]
            np.testing.assert_array_equal(np.asarray(averages[k])[:, :16], np.asarray(before))
            assert not np.asarray(averages[k])[:, 16:].any()


def test_shared_kernels_share_their_gradient(tiny_run):
    """A kernel of 8 channels becomes 8: each has an eighth of the gradient and of its variance."""
    old = mdnn.load(tiny_run)
    changes = ["backbone.layer.0.mixer.0.sharing=separate"]
    new = mdnn.build(grown_config(old.config, changes, free=True))
    origin = network_origins(old, new)["block_0_mix/mixer_0_0/kernel_column"]
    assert origin.parts == 8
    m = np.arange(30, dtype="float32").reshape(2, 15)
    grown = origin.first_moment(m, (16, 15))
    np.testing.assert_allclose(grown, np.repeat(m, 8, axis=0) / 8)
    np.testing.assert_allclose(origin.second_moment(m, (16, 15), 0), np.repeat(m, 8, axis=0) / 8)


@pytest.mark.parametrize("beta_2", [0.9, 0.99, 0.997, 0.999, 0.9999])
def test_first_steps_of_new_weights(beta_2):
    """They are at most 2.7 times the learning rate, and right soon for far smaller gradients."""
    for gradient, soon in ((1.0, 1), (0.05, 300)):
        m, v, steps = 0.0, new_share(beta_2), []
        for _ in range(1000):
            m = 0.9 * m + 0.1 * gradient
            v = beta_2 * v + (1 - beta_2) * gradient**2
            steps.append(m / v**0.5)
        assert max(steps) < 2.7
        if beta_2 <= 0.99:
            assert min(steps[soon:]) > 0.4


@pytest.mark.parametrize("beta_2", [0.99, 0.999])
def test_moments_that_begin_anew(tiny_run, beta_2):
    """As in a grown network: zeros, with a slow decay a share of the mean; others are kept."""
    network = mdnn.build(
        mdnn.load_config(tiny_run / "config.toml", [f"train.optimizer.beta_2={beta_2}"])
    )
    weights = network.trainable_variables
    optimizer = make_optimizer(network.config.train.optimizer, weights, 0.9)
    firsts, seconds = optimizer._momentums, optimizer._velocities
    for variable in (*firsts[:2], *seconds[:2]):
        variable.assign(np.full(tuple(variable.shape), 3.0))
    restart_moments(optimizer, [0])
    assert not np.asarray(firsts[0]).any()
    np.testing.assert_allclose(np.asarray(seconds[0]), 3 * new_share(beta_2), rtol=1e-5)
    assert (np.asarray(firsts[1]) == 3).all()
    assert (np.asarray(seconds[1]) == 3).all()


def test_a_network_without_a_training(tmp_path, tiny_run, capsys):
    """Weights alone: of a network, and of a .keras file."""
    network = mdnn.load(tiny_run)
    network.save(tmp_path / "net.keras")
    for number, form in enumerate((network, tmp_path / "net.keras")):
        facts = mdnn.grow(form, tmp_path / f"run-{number}", ["backbone.depth=2"])
        assert facts["step"] is None
        assert facts["difference"] < 1e-5
        assert mdnn.load(tmp_path / f"run-{number}").config.backbone.depth == 2
    assert state_of(open_run(network)) is None
    out = tmp_path / "net"
    words = ["grow", str(tmp_path / "net.keras"), "--out", str(out), "--set", "backbone.depth=2"]
    assert main(words) == 0
    hint = f"go on: mdnn train {out}/config.toml --out NEW --init-from {out}"
    assert hint in capsys.readouterr().out


def test_the_command_line(tmp_path, tiny_run, capsys):
    out = str(tmp_path / "run")
    command = ["grow", str(tiny_run), "--out", out]
    assert main([*command, "--set", "context.grid=[12]", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["positions"] == 12
    assert main(["inspect", out]) == 0
    assert f"grown from {tiny_run.resolve()} at step 300" in capsys.readouterr().out
    for words, message in (
        ([], "already exists"),
        (["--set", "context.grid=[4]"], "growing cannot shorten an axis"),
        (["--set", "context.gird=[9]"], "did you mean 'grid'?"),
        (["--set", "backbone.depth=0"], "expected at least 1"),
    ):
        place = out if not words else str(tmp_path / "other")
        assert main(["grow", str(tiny_run), "--out", place, *words]) == 2
        refused = capsys.readouterr().err
        assert message in refused
        assert "--resume" not in refused
    assert main(["grow", str(tiny_run), "--out", str(tmp_path / "other")]) == 2
    assert "grow: expected a key to change, received none" in capsys.readouterr().err
    assert main(["grow", "nothing", "--out", str(tmp_path / "other")]) == 2
    assert "nothing is not a run folder" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
