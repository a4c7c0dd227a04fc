"""What benchmarks share: options, runs that go on, figures in files, errors, the wall time."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

IMPORTED = time.perf_counter()
CONFIGS = Path(__file__).parents[1] / "configs"

OPTIONS = {
    "source": {"default": "python-docs", "help": "the text"},
    "text": {"default": "python-docs", "help": "a text"},
    "minutes": {"type": float, "help": "of training, for each run"},
    "seconds": {"type": float, "help": "of measuring, for each row"},
    "seeds": {"type": int, "nargs": "+", "default": [1], "help": "a run for each"},
    "set": {"action": "append", "metavar": "KEY=VALUE", "help": "a change of every config"},
    "runs": {"help": "where runs are kept"},
    "json": {"help": "a file for all figures"},
    "processor-time": {
        "action": "store_true",
        "help": "count processor time in place of wall time",
    },
    "step-clock": {
        "action": "store_true",
        "help": "count each step as long as it takes when the networks' steps are timed in turns",
    },
}
"""Options that several benchmarks have, as `add_argument` takes them."""


def benchmark_parser(doc, *names, **defaults):
    """Returns the parser of a benchmark's options.

    Args:
        doc: str, the docstring of its module.
        *names: names of `OPTIONS`, with the defaults there.
        **defaults: names of `OPTIONS` with another default.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    for name in (*names, *defaults):
        words = dict(OPTIONS[name])
        default = defaults.get(name, words.get("default"))
        if words.get("action") == "append":
            default = []
        if words.get("action") == "store_true":
            default = False
        elif default not in (None, []):
            shown = " ".join(map(str, default)) if isinstance(default, list) else default
            words["help"] += f" (default {shown})"
        elif name == "minutes":
            words["help"] += " (default: the config's)"
        parser.add_argument(f"--{name}", **words | {"default": default})
    return parser


def run_changes(source, minutes, seed, *more):
    """Returns the changes of a config that is trained on a text for some minutes, without samples.

    Args:
        source: str, `data.source`.
        minutes: float.
        seed: int.
        *more: further changes `KEY=VALUE`.
    """
    return [
        f"train.minutes={minutes}",
        f"data.source={json.dumps(source)}",
        "train.sample=0",
        f"seed={seed}",
        *more,
    ]


def count_processor_time():
    """Makes trainings count their minutes in processor seconds of all threads of this process.

    On one core that is about the time that a training alone on the machine would take: other work
    makes its steps slower through caches and memory alone.
    """
    from mdnn.training.trainer import Training

    Training._now = staticmethod(time.process_time)


def count_step_seconds(seconds_of):
    """Makes trainings count their minutes by steps, so that other work does not change a run.

    Args:
        seconds_of: function of a stage's `mdnn.Config` that returns the seconds that a step counts.
    """
    from mdnn.training.trainer import Training

    def now(training):
        step = training.progress.step
        seconds, counted = getattr(training, "_counted", (0.0, step))
        seconds += (step - counted) * seconds_of(training.run.config)
        training._counted = seconds, step
        return seconds

    Training._now = now


def step_seconds_in_turns(folder, configs):
    """Returns the median seconds of a training step of each config, measured in turns.

    Args:
        folder: path; `step-seconds.json` in it keeps them, so that all runs count alike.
        configs: dict of `mdnn.Config` by a name.
    """
    path = folder / "step-seconds.json"
    seconds = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if configs.keys() - seconds.keys():
        from compiled import medians
        from steps import Steps

        steps = {name: Steps(config).take for name, config in configs.items()}
        seconds |= medians(steps, 10.0)
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(seconds, indent=1) + "\n", encoding="utf-8")
    for name, value in seconds.items():
        print(f"{name}: {1e3 * value:.1f} ms a step", file=sys.stderr)
    return seconds


def mean_step_seconds(config, path, seconds=60.0, warm_up=20):
    """Returns the mean seconds of a training step of a config that has several objectives.

    Args:
        config: `mdnn.Config`.
        path: a file that keeps them, so that all runs count alike.
        seconds: how long steps are timed.
        warm_up: number of steps before, in which each objective is compiled.
    """

    def taker():
        from steps import Steps

        return Steps(config).take

    return mean_seconds(taker, path, seconds, warm_up)


def mean_seconds(taker, path, seconds=60.0, warm_up=20):
    """Returns the mean seconds of a step, measured once.

    Args:
        taker: function without arguments that returns a function that takes a step.
        path: a file that keeps them, so that all runs count alike.
        seconds: how long steps are timed.
        warm_up: number of steps before.
    """
    if not path.is_file():
        take = taker()
        for _ in range(warm_up):
            take()
        begun, count = time.perf_counter(), 0
        while time.perf_counter() < begun + seconds:
            take()
            count += 1
        mean = (time.perf_counter() - begun) / count
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"mean": mean}) + "\n", encoding="utf-8")
    mean = json.loads(path.read_text(encoding="utf-8"))["mean"]
    print(f"{1e3 * mean:.1f} ms a step", file=sys.stderr)
    return mean


def clocked_by_steps(path):
    """Returns a function that makes trainings of the config that it is given count by steps.

    Args:
        path: a file that keeps the mean seconds of a step.
    """

    def before(config):
        mean = mean_step_seconds(config, path)
        count_step_seconds(lambda _: mean)

    return before


def trained_once(folder, train, add=None):
    """Returns the result of a training, which runs unless the folder has it.

    Args:
        folder: path of a run folder.
        train: function of a boolean, whether an interrupted training goes on; returns the result.
        add: function without arguments that returns further figures, a dict.

    Raises:
        KeyboardInterrupt: the training was stopped before its end.
    """
    done = folder / "result.json"
    if not done.is_file():
        print(folder.name, file=sys.stderr)
        result = train((folder / "config.toml").is_file())
        if result["stopped"]:
            raise KeyboardInterrupt
        done.write_text(json.dumps(result | (add() if add else {})), encoding="utf-8")
    return json.loads(done.read_text(encoding="utf-8"))


def validation_curve(folder):
    """Returns the validation losses of a run on the way, a list of `(seconds, nats)`."""
    from mdnn.training.metrics_log import read_metrics

    metrics = read_metrics(folder)
    points = zip(metrics["seconds"], metrics["validation_loss"], strict=True)
    return [(seconds, nats) for seconds, nats in points if nats is not None]


class ProcessError(Exception):
    """A process of its own failed; the message is the last line that it wrote."""


def in_own_process(*words, python=sys.executable, environment=None, prepare=None, given=None):
    """Runs a program in a process of its own; returns the JSON of its last line.

    Args:
        *words: the program and its arguments.
        python: path of the interpreter.
        environment: dict of further environment variables.
        prepare: function that the process calls first (POSIX).
        given: str, its standard input; `None` for that of this process.

    Raises:
        ProcessError: it ended with another status than 0.
    """
    done = subprocess.run(
        [python, *map(str, words)],
        capture_output=True,
        text=True,
        input=given,
        env=os.environ | (environment or {}),
        check=False,
        preexec_fn=prepare,
    )
    if done.returncode:
        raise ProcessError((done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1])
    return json.loads(done.stdout.strip().splitlines()[-1])


def write_figures(path, figures):
    """Writes figures as JSON, if there is a path."""
    if path:
        Path(path).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


class KeptRows(list):
    """Rows of figures that a JSON file keeps, so that a stopped benchmark goes on with them.

    Args:
        path: the file; `None`: rows are kept nowhere.
    """

    def __init__(self, path):
        self.path = Path(path) if path else None
        there = self.path is not None and self.path.exists()
        super().__init__(json.loads(self.path.read_text(encoding="utf-8")) if there else [])

    def has(self, case):
        """Returns whether there is a row with the values of a case, a dict."""
        return any(case.items() <= row.items() for row in self)

    def add(self, row):
        """Appends a row and writes the file."""
        self.append(row)
        write_figures(self.path, self)


def print_heading(names):
    """Prints the heading of a table in Markdown: the names of its columns, divided by `|`."""
    print(f"| {names} |\n|{'---|' * len(names.split('|'))}", flush=True)


def wall_seconds():
    """Returns the seconds since this process began, a float.

    Where the system does not say when that was (only Linux does), since this module was imported.
    """
    try:
        with open("/proc/self/stat", encoding="ascii") as file:
            begun = int(file.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        with open("/proc/uptime", encoding="ascii") as file:
            return float(file.read().split()[0]) - begun
    except (OSError, ValueError, IndexError):
        return time.perf_counter() - IMPORTED


def refusing(main):
    """Runs a benchmark's `main`; returns its exit status.

    That is 2 after an error, which one line says, and 130 for one that a person has stopped.
    """
    try:
        return main()
    except KeyboardInterrupt:
        name = Path(sys.argv[0]).name
        print(f"\nbenchmarks/{name}: stopped", file=sys.stderr)
        return 130
    except Exception as error:
        # By name: programs that measure other libraries run where mdnn is not installed.
        names = [kind.__name__ for kind in type(error).__mro__]
        if "MdnnError" not in names and not isinstance(error, (OSError, ProcessError)):
            raise
        print(f"benchmarks/{Path(sys.argv[0]).name}: error: {error}", file=sys.stderr)
        return 2


def timed(main):
    """Runs a benchmark's `main` (see `refusing`), then prints the wall time; returns its status.

    The wall time is that since the command began: imports, tracing and compiling among it.
    """
    status = refusing(main)
    print(f"\nwall time: {wall_seconds():,.0f} s since the command began", flush=True)
    return status
