"""Kills real training processes, and looks at what is left. A program, started by a test.

    python killing.py CONFIG FOLDER KILLS SEED

A child trains; it is killed (SIGKILL) at a random moment, or at a byte, a sync or a rename of its
own writing; the next child goes on from what is there. What all of them together made is compared,
bit by bit, with a run that nobody disturbed. Children are forked from a process that has imported
everything and computed nothing: that takes a second each, not ten.

Prints a JSON object: `kills` (a dict of how many of which kind), `lost` (how often the next child
could not go on), `steps` (at which each child went on) and `differences` (names of what is not the
same in both runs).
"""

import contextlib
import json
import os
import random
import resource
import select
import signal
import sys
import time
import traceback
from pathlib import Path

from mdnn.runs import safetensors_io as arrays
from mdnn.training import checkpoint, run_training, trainer
from mdnn.training.steps import step  # noqa: F401

KINDS = ("moment", "start", "byte", "sync", "rename")


def child(config, folder, kind, number):
    """Trains in a forked process; returns its id and a pipe that tells of its first step."""
    reader, writer = os.pipe()
    if (own := os.fork()) == 0:
        status = 1
        try:
            os.close(reader)
            arm(kind, number)
            resume = (folder / "config.toml").is_file()
            tell_of_steps(writer)
            run_training.train(config, folder, resume=resume, show=False)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    return own, reader


def tell_of_steps(pipe):
    """Writes into a pipe the step at which training begins."""
    train = trainer.Training._train

    def told(self):
        os.write(pipe, f"{self.progress.step}\n".encode())
        return train(self)

    trainer.Training._train = told


def arm(kind, number):
    """Makes this process end at the so-manieth sync or rename, or at a byte of a later file."""

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    if kind in ("sync", "rename"):
        name = {"sync": "fsync", "rename": "replace"}[kind]
        real, calls = getattr(os, name), []

        def counted(*args):
            calls.append(args)
            if len(calls) == number:
                # A rename is made or not: both are tried.
                if kind == "rename" and number % 2:
                    real(*args)
                die()
            return real(*args)

        setattr(os, name, counted)
    if kind == "byte":
        write, calls = arrays.write_file, []

        def limited(path, given, about):
            calls.append(path)
            if len(calls) == 1 + number % 5:
                # The kernel ends the process at this byte of any file.
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                size = sum(array.nbytes for array in given.values())
                limit = number * 7919 % size
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            return write(path, given, about)

        arrays.write_file = limited


def attempt(config, folder, kind, draw):
    """Trains until it is killed or done; returns the step it went on from, and how it ended."""
    number = draw.randrange(1, 40) if kind in ("byte", "sync", "rename") else 0
    process, pipe = child(config, folder, kind, number)
    began = None
    if kind == "start":
        select.select([pipe], [], [], draw.uniform(0, 2))
    else:
        line = os.read(pipe, 100)
        began = int(line) if line else None
        if kind == "moment":
            wait_for(process, draw.uniform(0, 0.8))
    if kind in ("moment", "start"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    os.close(pipe)
    return began, status


def wait_for(process, seconds):
    """Waits so long, or until the process has ended (it is not reaped)."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(0.005)


def finish(config, folder):
    """Trains to the end, undisturbed; whether that was possible."""
    process, pipe = child(config, folder, None, 0)
    _, status = os.waitpid(process, 0)
    os.close(pipe)
    return status == 0


def differences(one, other):
    """Names of what two run folders do not have alike."""
    found = []
    files = ["model.safetensors", checkpoint.newest(one).relative_to(one), checkpoint.BEST]
    for file in files:
        a, b = (arrays.read_arrays(folder / file)[0] for folder in (one, other))
        found += sorted(set(a) ^ set(b))
        found += [f"{file}:{name}" for name in a.keys() & b.keys() if not same(a[name], b[name])]
    for file in ("metrics.csv", "config.toml", "run.json"):
        if (one / file).read_bytes() != (other / file).read_bytes():
            found.append(file)
    found += [path.name for path in other.rglob(".*")]
    return found


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def main(config, folder, kills, seed):
    draw, folder = random.Random(seed), Path(folder)
    report = {"kills": dict.fromkeys(KINDS, 0), "lost": 0, "steps": [], "differences": []}
    if not finish(config, folder / "whole"):
        raise SystemExit("the undisturbed run failed")
    number, left = 0, kills
    while left > 0:
        parts = folder / f"parts-{number}"
        while left > 0:
            kind = KINDS[left % len(KINDS)]
            began, status = attempt(config, parts, kind, draw)
            if began is not None:
                report["steps"].append(began)
            if os.WIFEXITED(status):
                # Done before it could be killed, or the one before left what cannot be read.
                report["lost"] += os.WEXITSTATUS(status) != 0
                break
            report["kills"][kind] += 1
            left -= 1
        if finish(config, parts):
            report["differences"] += differences(folder / "whole", parts)
        else:
            report["lost"] += 1
        number += 1
    report["runs"] = number
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
