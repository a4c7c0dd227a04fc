"""How many puzzles are drawn in a second: run `python benchmarks/puzzles.py`.

Drawn anew, as many as a chunk holds, and handed out in batches of 64, images of drawn ones among
them; and the time until 1,000 held out cases are there. One process, numpy alone.
"""

import time

import numpy as np
from benchmark_runs import print_heading, timed

from mdnn.datasets.puzzles.puzzle_splits import open_puzzles

TASKS = (
    ("sudoku-4x4", {}),
    ("sudoku-6x6", {}),
    ("sudoku-9x9", {"givens": (30, 36)}),
    ("sudoku-9x9", {"givens": (24, 28)}),
    ("maze-9x9", {}),
    ("maze-25x25", {}),
    ("maze-25x25", {"loops": 0.1}),
    ("prefix-sums-32", {}),
    ("prefix-sums-512", {}),
    ("addition-20", {}),
)
BATCH = 64


def main():
    print_heading("task | drawn a second | used so often | batch of 64, ms | 1,000 tests, s")
    for name, options in TASKS:
        splits = open_puzzles(name, seed=1, **options)
        began = time.perf_counter()
        number = len(splits.train.drawn(0)[0])
        drawn = number / (time.perf_counter() - began)
        steps = np.arange(number * splits.task.reuse // BATCH)
        began = time.perf_counter()
        for step in steps:
            splits.train.at(step, BATCH)
        batch = (time.perf_counter() - began) / len(steps)
        began = time.perf_counter()
        splits.validation.different(1000)
        tests = time.perf_counter() - began
        about = "".join(f", {key} {value}" for key, value in options.items())
        print(
            f"| {name}{about} | {drawn:,.0f} | {splits.task.reuse} | {1000 * batch:.2f} | "
            f"{tests:.1f} |"
        )


if __name__ == "__main__":
    timed(main)
