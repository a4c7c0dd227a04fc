"""A database: questions find the passage of a text that they come from.

Trains configs/database.toml on a text and asks it questions about passages of the validation text,
all questions of a context in one pass: among as many stored passages as in training, and among
more. Prints the share of questions whose passage is the first, or among the first ten, beside BM25
(SQLite's FTS5, on the same passages and questions) and chance, with and without letters of the
question replaced:

    python benchmarks/database.py --text shakespeare.txt --minutes 5 --json database.json
"""

import re
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from benchmark_runs import CONFIGS, benchmark_parser, print_heading, timed, write_figures

CONFIG = CONFIGS / "database.toml"
NOISE = (0.0, 0.2)


def main():
    """Prints the table; returns the exit status."""
    parser = benchmark_parser(__doc__, "text", "json", minutes=5.0)
    parser.add_argument(
        "--stored", type=int, nargs="+", default=[32, 240], help="passages (32 240)"
    )
    parser.add_argument("--contexts", type=int, default=16, help="to evaluate (16)")
    parser.add_argument("--run", help="a run folder to train into, or that is trained already")
    parser.add_argument("--set", nargs="*", default=[], help="further settings of the config")
    options = parser.parse_args()
    from mdnn.runtime import quiet_import

    quiet_import()
    with tempfile.TemporaryDirectory() as folder:
        network, trained = trained_network(options, Path(options.run or folder) / "run")
    rows = [
        figures(network, options, stored, noise) for stored in options.stored for noise in NOISE
    ]
    print(f"trained {trained:,} steps\n")
    print_heading("stored | replaced | first | in ten | BM25 first | in ten | chance | questions/s")
    for row in rows:
        print(
            f"| {row['stored']} | {row['noise']:.0%} | {row['first']:.1%} | {row['in_ten']:.1%} | "
            f"{row['bm25_first']:.1%} | {row['bm25_in_ten']:.1%} | {1 / row['stored']:.1%} | "
            f"{row['questions'] / row['seconds']:,.0f} |"
        )
    write_figures(options.json, rows)
    return 0


def trained_network(options, path):
    """Trains into a folder, or opens what is there; returns the network and its steps."""
    import mdnn
    from mdnn.runs.run_folder import open_run

    steps = 0
    if not (path / "config.toml").exists():
        settings = [f"data.source={options.text}", f"train.minutes={options.minutes}"]
        config = mdnn.load_config(CONFIG, [*settings, *options.set])
        steps = mdnn.train(config, path)["steps"]
    return open_run(path).model, steps


def figures(network, options, stored, noise):
    """Asks a network among so many passages; returns a dict of figures."""
    import mdnn
    from mdnn.tasks import task_for

    row = network.config.context.grid[1]
    settings = [f"data.source={options.text}", f"recall.noise={noise}"]
    settings += [f"recall.stored={stored}", f"backbone.layer.2.mixer.0.stored={stored}"]
    settings += [f"context.grid=[{stored + 16},{row}]", f"recall.contexts={options.contexts}"]
    config = mdnn.load_config(CONFIG, [*options.set, *settings])
    # No weight depends on the number of rows.
    wider = mdnn.build(config)
    wider.set_weights(network.get_weights())
    data = task_for(config).validation
    mdnn.evaluate(wider)
    started = time.perf_counter()
    metrics = mdnn.evaluate(wider)
    seconds = time.perf_counter() - started
    first, in_ten, questions = 0, 0, 0
    for step in range(data.steps):
        ids, _ = data.examples.draw(data.seed, step, data.batch_size)
        for context in ids:
            lines = ["".join(map(chr, line)) for line in context[:-1].reshape(-1, row)]
            ranks = bm25_ranks(lines[:stored], lines[stored:])
            first += sum(rank < 1 for rank in ranks)
            in_ten += sum(rank < 10 for rank in ranks)
            questions += len(ranks)
    if questions != metrics["answers"]:
        raise RuntimeError("not the same questions")
    return {
        "stored": stored,
        "noise": noise,
        "first": metrics["right"],
        "in_ten": metrics["right_in_10"],
        "bm25_first": first / questions,
        "bm25_in_ten": in_ten / questions,
        "questions": questions,
        "seconds": seconds,
    }


def bm25_ranks(stored, questions):
    """Returns the rank of each question's passage by FTS5's BM25, from 0."""
    table = sqlite3.connect(":memory:")
    table.execute("create virtual table passages using fts5(symbol unindexed, body)")
    table.executemany(
        "insert into passages values (?, ?)", [(line[0], line[1:]) for line in stored]
    )
    ranks = []
    for question in questions:
        words = re.findall(r"\w+", question[:-1])
        query = " OR ".join(f'"{word}"' for word in words)
        found = (
            [
                symbol
                for (symbol,) in table.execute(
                    "select symbol from passages where passages match ? order by rank", (query,)
                )
            ]
            if words
            else []
        )
        symbol = question[-1]
        ranks.append(found.index(symbol) if symbol in found else len(stored))
    return ranks


if __name__ == "__main__":
    sys.exit(timed(main))
