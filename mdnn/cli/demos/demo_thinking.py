"""A network that thinks: trains on sudokus of 4x4, then solves some, step by step.

`make demo-thinking`.
"""

import sys

from mdnn.cli.demos.demo_text import TRAINED, command, missing, new_run, run_and_report

CONFIG = "sudoku-4x4"
PICTURE = "steps.png"
# Steps that are drawn, and those after which exact answers are counted.
SHOWN, COUNTED = (1, 2, 3, 4, 6, 8), [1, 2, 4, 8, 16, 48, 96]
PUZZLES = 3


def main(config=CONFIG, folder="runs"):
    """Runs the demo in a new folder below `folder`; returns the exit status."""
    if status := missing(config):
        return status
    run = new_run("demo-thinking", folder)
    print(
        "One network without attention learns to solve sudokus of 4x4, from nothing, on this\n"
        "computer. It is run on its own output again and again, and the answer settles. Ctrl-C\n"
        "ends the training early and goes on with what was learned."
    )
    if (status := command("train", str(config), "--out", str(run))) not in TRAINED:
        return status
    if status := run_and_report(_show, run):
        return status
    print(
        f"""
What to try next (with .venv/bin on your PATH, or .venv/bin/mdnn instead of mdnn):
  mdnn generate {run} --prompt ......4..3.41..2
  mdnn generate {run} --prompt ......4..3.41..2 --steps 1
  mdnn evaluate {run} --steps 1,2,4,8,16,64
  mdnn evaluate {run} --adaptive
  mdnn train {config} --out {run} --resume --set train.minutes=4
  mdnn train configs/maze.toml --out runs/maze"""
    )
    return 0


def _show(run):
    """Prints puzzles while they are solved, and exact answers against steps; draws one."""
    from mdnn import evaluate, generate
    from mdnn.datasets.puzzles.board_picture import picture
    from mdnn.datasets.puzzles.board_text import drawn, side_by_side
    from mdnn.runs.run_folder import open_run
    from mdnn.tasks import task_for

    network = open_run(run)
    puzzle_task = task_for(network.config)
    task, puzzles, solutions = data = puzzle_task.open_source(network.config.data.source)
    for number in range(min(PUZZLES, len(puzzles))):
        puzzle, solution = puzzles[number], solutions[number]
        steps = {}
        generate(network, task.text(puzzle), steps=SHOWN[-1], stream=steps.__setitem__)
        boards = [("puzzle", puzzle), *((f"step {n}", task.symbols(steps[n])) for n in SHOWN)]
        # The puzzle itself is not marked: nothing in it is wrong.
        marked = [(None, None), *[(puzzle, solution)] * len(SHOWN)]
        lines = [
            (title, drawn(task, symbols, *known))
            for (title, symbols), known in zip(boards, marked, strict=True)
        ]
        print(f"\n{side_by_side(lines)}")
        if number == 0:
            picture(task, boards, run / PICTURE, puzzle, solution)
    print("\n! marks what is wrong still. The first of them as a picture:", run / PICTURE)
    print(f"\n{len(puzzles):,} puzzles that it was not trained on, after more and more steps:\n")
    curve = evaluate(network, data, steps=COUNTED)["curve"]
    print("\n".join(puzzle_task.format_curve(curve)))


if __name__ == "__main__":
    sys.exit(main())
