"""One checkout's side of `versions.py`: works for the seconds asked for, prints a call's median."""

import functools
import importlib
import itertools
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

CHECKOUT = Path(sys.argv[1])


def main(case, *overrides):
    """Answers each line of standard input, a number of seconds, by the median seconds of a call."""
    answers, sys.stdout = sys.stdout, sys.stderr
    sys.path.insert(0, str(CHECKOUT / "benchmarks"))
    kind, _, name = case.partition(":")
    with tempfile.TemporaryDirectory() as scratch:
        work = WORK[kind](CHECKOUT / "configs" / f"{name}.toml", scratch, overrides)
        for _ in range(3):
            work()
        print("ready", file=answers, flush=True)
        for line in sys.stdin:
            times, end = [], time.perf_counter() + float(line)
            while not times or time.perf_counter() < end:
                begun = time.perf_counter()
                work()
                times.append(time.perf_counter() - begun)
            print(statistics.median(times), file=answers, flush=True)


def training_step(path, scratch, overrides):
    """A training step as `mdnn train` takes it."""
    import mdnn

    threads = getattr(mdnn, "configure_threads", None) or mdnn.share_cores
    first("mdnn.runtime", "mdnn.quiet").quiet_import(threads)
    from mdnn.models.builder import build

    config = mdnn.load_config(path, overrides)
    if hasattr(first("mdnn.training.trainer", "mdnn.training.loop"), "open_training_data"):
        task, show = named("open_training_data")(config), named("Display")(False)
    else:
        task, show = named("task_for")(config).open(), named("make_display")(False)
    run = named("Run")(Path(scratch), config, task.words)
    training = named("Training")(run.holding(build(config, task.words)), task, show)
    feed = getattr(training, "feed", None) or training.thinking
    update = getattr(feed, "update", None) or feed.settle
    rate = config.train.optimizer
    rate = getattr(rate, "learning_rate", None) or rate.rate
    step = itertools.count()

    def take():
        number = next(step)
        loss = training.step(feed.batch(number), rate, training.batches.objective(number))
        update()
        return float(loss)

    return take


TRAINING = (
    "mdnn.training.trainer",
    "mdnn.training.loop",
    "mdnn.training.notebook_display",
    "mdnn.training.progress",
    "mdnn.runs.run_folder",
    "mdnn.tasks.registry",
)
"""Modules that have what a training needs, in one version or another."""


def named(name):
    """Returns what has a name in a module of `TRAINING` of the checkout."""
    for module in TRAINING:
        if (CHECKOUT / Path(*module.split("."))).with_suffix(".py").exists():
            module = importlib.import_module(module)
            if hasattr(module, name):
                return getattr(module, name)
    raise ImportError(f"{CHECKOUT}: no {name} in {', '.join(TRAINING)}")


def first(*names):
    """The first of these modules that the checkout has: names of different versions."""
    for name in names:
        if (CHECKOUT / Path(*name.split("."))).with_suffix(".py").exists():
            return importlib.import_module(name)
    raise ImportError(f"{CHECKOUT}: expected one of {', '.join(names)}")


def writing(path, scratch, _):
    """Writing 200 characters in Python."""
    return functools.partial(writer("_Streaming", path, scratch), 1, 200)


def saved_writing(path, scratch, _):
    """Writing 200 characters by the SavedModel."""
    return functools.partial(writer("_Served", path, scratch), 1, 200)


def writer(kind, path, scratch):
    """A writer of the checkout's benchmarks/generate.py, of an untrained network."""
    first("mdnn.runtime", "mdnn.quiet").quiet_import()
    import generate

    run = next(generate._runs(SimpleNamespace(run=None, configs=[path]), scratch))
    return getattr(generate, kind)(run)


WORK = {"step": training_step, "write": writing, "saved": saved_writing}

if __name__ == "__main__":
    main(*sys.argv[2:])
