"""Runs of networks in tandem: trained, used as one or as all, and taught to a student."""

import numpy as np
import pytest
import tiny

import mdnn
from mdnn.cli import main
from mdnn.runs.inspection import network_facts
from mdnn.runs.run_folder import open_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tandem")
    config = tiny.load_config(
        folder, *tiny.QUICK, "tandem.members=3", "tandem.exchange=1", "train.steps=60"
    )
    result = mdnn.train(config, folder / "run", show=False)
    return open_run(folder / "run"), result


def test_all_and_one(run):
    run, result = run
    together = mdnn.evaluate(run, tiny.TEXT)["loss"]
    each = [mdnn.evaluate(run.member(k), tiny.TEXT)["loss"] for k in range(3)]
    assert together < np.mean(each) < 2.5
    assert result["parameters"] == 3 * run.member(0).model.count_params()
    one = run.member(1)
    assert not one.config.tandem.members
    path = mdnn.save(one, run.path.parent / "one")
    assert mdnn.evaluate(path, tiny.TEXT)["loss"] == pytest.approx(each[1], rel=1e-5)
    with pytest.raises(mdnn.MdnnError, match="this run holds one network"):
        one.member(0)
    small = mdnn.quantize(run, "int8", run.path.parent / "small")
    assert mdnn.evaluate(small, tiny.TEXT)["loss"] == pytest.approx(together, abs=0.05)


def test_costs_are_those_of_all_members(run):
    config, one = run[0].config, run[0].member(0).config
    all_of_them, alone = network_facts(config, model=run[0].model), network_facts(one)
    assert all_of_them["parameters"] == 3 * alone["parameters"]
    assert all_of_them["operations_per_position"] == 3 * alone["operations_per_position"]
    assert all_of_them["receptive_field"] == alone["receptive_field"]


def test_a_student(run, capsys):
    path = run[0].path
    student = path.parent / "student"
    words = ["distill", str(path), "--members", "2", "--out", str(student), "--weight", "0.5"]
    assert main([*words, "--set", "train.steps=20"]) == 0
    assert "20 steps" in capsys.readouterr().out
    learnt = open_run(student)
    assert learnt.config.distill.members == 2
    assert learnt.model.count_params() == run[0].member(0).model.count_params()
    for more, said in (
        (["--members", "4"], "members: expected 2 to the run's 3 members, received 4"),
        (["--set", "backbone.width=128"], "expected a student of at most its teachers'"),
        (["--set", "context.grid=[16]"], "context.grid: a student has that of its teacher"),
        (["--set", "distill.weight=2"], "distill.weight"),
    ):
        assert main(["distill", str(path), "--out", str(path.parent / "no"), *more]) == 2
        assert said in capsys.readouterr().err
        assert not (path.parent / "no").exists()


def test_bad_words(run, capsys):
    path = run[0].path
    assert main(["evaluate", str(path), "--member", "7"]) == 2
    assert "member: expected a number from 0 to 2, received 7" in capsys.readouterr().err
    one = path.parent / "plain"
    mdnn.save(run[0].member(0), one)
    with pytest.raises(mdnn.MdnnError, match="networks in tandem do not grow"):
        mdnn.grow(path, path.parent / "grown", overrides=["backbone.depth=2"])
    for option in (["--ensemble"], ["--member", "0"]):
        assert main(["evaluate", str(one), *option]) == 2
        assert "this run holds one network" in capsys.readouterr().err


@pytest.mark.long
def test_served_as_they_generate(run, tmp_path):
    import tensorflow as tf

    for number, name in ((None, "all"), (1, "one")):
        chosen = run[0].member(number)
        path = mdnn.export(chosen, tmp_path / name)
        answer = (
            tf.saved_model.load(str(path))
            .signatures["generate"](
                prompt=tf.constant(["The cat"]),
                length=tf.constant(30),
                temperature=tf.constant(0.8),
                seed=tf.constant(3),
            )["text"]
            .numpy()
        )
        settings = {"temperature": 0.8, "top_k": 0, "top_p": 1}
        expected = mdnn.generate(chosen, "The cat", length=30, seed=3, **settings)
        assert answer[0].decode() == expected
