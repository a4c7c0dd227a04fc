"""The evaluation at the end of a training has a limit that is said; a changed source is said."""

import json

import numpy as np
import tiny

import mdnn
from mdnn.datasets.fingerprint import SOURCE
from mdnn.runs.run_folder import open_run
from mdnn.tasks.registry import task_for

LIMIT = "train.final_evaluation=64"


def train(folder, capsys, *settings, resume=False, text=tiny.TEXT):
    config = tiny.load_config(folder, *tiny.QUICK, *settings, text=text)
    result = mdnn.train(config, folder / "run", resume=resume)
    return result, capsys.readouterr().err


def test_a_text(tmp_path, capsys):
    result, said = train(tmp_path, capsys, LIMIT)
    assert 50 < result["characters"] < 64
    whole = len(tiny.TEXT) - int(len(tiny.TEXT) * 0.9)
    line = f"evaluating on 64 of {whole} tokens of the validation text (train.final_evaluation)"
    assert f"{line}; mdnn evaluate reads all" in " ".join(said.split())
    assert mdnn.evaluate(tmp_path / "run")["characters"] == whole - 1
    source = json.loads((tmp_path / "run" / SOURCE).read_text())
    assert source["source"] == str(tmp_path / "text.txt")
    assert source["length"] == 4 * len(tiny.TEXT)
    # going on with the same text, and with another one
    _, said = train(tmp_path, capsys, "train.steps=22", resume=True)
    assert "changed" not in said
    assert "evaluating on 64" in " ".join(said.split())
    _, said = train(tmp_path, capsys, "train.steps=24", resume=True, text=tiny.TEXT + "More. ")
    line = f"changed since this run began ({4 * len(tiny.TEXT):,} bytes then, "
    assert line in " ".join(said.split())


def test_items(tmp_path, items_run):
    task = task_for(open_run(items_run).config)
    seen, said = [], []

    class Evaluator:
        def metrics(self, data, progress, most):
            seen.append(most)
            return {}

    for limit in (0, 40, 80, 10**9):
        task.final_metrics(Evaluator(), limit, None, said.append)
    assert seen == [None, 1, 2, 10**9 // 40]
    assert len(said) == 2
    assert said[0].startswith("evaluating on 1 of ")
    assert task.fingerprint().length > 0


def test_progress_of_items(items_run):
    run = open_run(items_run)
    task = task_for(run.config, run.words)
    evaluator, told = task.evaluator(task.networks(run.model)), []
    metrics = evaluator.metrics(task.validation, told.append, most=2)
    assert metrics["items"] == 2
    assert told == sorted(told)
    assert np.isclose(told[-1], 1.0)
