"""What a benchmark has done already: a trained run, answers in files; so that it can go on."""

import json
import sys
import time

import numpy as np

FIGURES = "training.json"


class Answered:
    """Answers that are kept in files, so that an interrupted table goes on where it was.

    Args:
        folder: path of the folder of answers.
    """

    def __init__(self, folder):
        self.folder = folder

    def once(self, name, about, compute):
        """Returns answers and the seconds that they took, computed or from their file.

        Args:
            name: what the answers are of.
            about: JSON-able value, all that the answers depend on besides the weights.
            compute: function without arguments that returns a list of strings or arrays.
        """
        path = self.folder / f"{name.replace(' ', '-')}.npz"
        about = json.dumps(about, sort_keys=True)
        if path.is_file():
            with np.load(path, allow_pickle=False) as found:
                if str(found["about"]) == about:
                    values = [found[f"answer_{n}"] for n in range(int(found["count"]))]
                    values = [str(v) if v.dtype.kind == "U" else v for v in values]
                    return values, float(found["seconds"])
        begun = time.perf_counter()
        answers = compute()
        seconds = time.perf_counter() - begun
        self.folder.mkdir(parents=True, exist_ok=True)
        arrays = {f"answer_{n}": np.asarray(value) for n, value in enumerate(answers)}
        part = path.with_suffix(".part.npz")
        np.savez_compressed(part, about=about, count=len(answers), seconds=seconds, **arrays)
        part.replace(path)
        return answers, seconds


def trained_run(config, write_data, run, minutes, changes=(), before=None):
    """Trains a run, or goes on with one that was interrupted.

    Args:
        config: path of a config.
        write_data: function of a path that writes the folder of data.
        run: path of the run folder; the data lie beside it, in a folder of its name and `-data`.
        minutes: of training; `None`: those of the config.
        changes: strings `KEY=VALUE`, changes of the config.
        before: function of the config that is called before the training.

    Raises:
        MdnnError: the training was stopped before its end, or `mdnn.train` refuses it.
    """
    from mdnn import MdnnError, load_config, train

    if (run / FIGURES).is_file():
        print(f"{run} is trained: its answers go on", file=sys.stderr)
        return
    source = run.with_name(f"{run.name}-data")
    if not (source / "manifest.jsonl").is_file():
        write_data(source)
    changes = [f"data.source={json.dumps(str(source))}", *changes]
    if minutes:
        changes.append(f"train.minutes={minutes}")
    config = load_config(config, changes)
    if before:
        before(config)
    figures = train(config, run, resume=(run / "config.toml").is_file())
    if figures["stopped"]:
        raise MdnnError(f"{run}: the training was stopped; the same command goes on with it")
    kept = {key: figures[key] for key in ("parameters", "steps", "seconds", "modes")}
    (run / FIGURES).write_text(json.dumps(kept), encoding="utf-8")


def training_figures(run):
    """Returns what `trained_run` kept of a run's training, a dict; empty for another run."""
    path = run / FIGURES
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
