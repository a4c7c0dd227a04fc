"""A narrow assistant without attention, from scratch: calls of services and of the calculator.

Trains configs/assistant.toml (and others beside it) on dialogues with service calls and on
arithmetic in words, and prints of each: the loss of the assistant's turns, and of the calls that
it writes greedily how many are well-formed and how many have the right method and all arguments, on
held-out dialogues of services that were seen and of others, and on templates of arithmetic that
were not; with and without a grammar, and what the grammar costs. Run it on a machine that does
nothing else:

    python benchmarks/assistant.py --train sgd-train.jsonl --dev sgd-dev.jsonl
    python benchmarks/assistant.py --minutes 4 --calls 40   # arithmetic alone
"""

import sys
import tempfile
import time
from pathlib import Path

from assistant_data import arithmetic, conversations, read_dialogues, schemas, write
from benchmark_runs import CONFIGS, benchmark_parser, timed, write_figures

from mdnn.runtime import quiet_import

SPEED_TOKENS = 2000


def main():
    """Prints the table; returns the exit status."""
    parser = benchmark_parser(__doc__, "minutes", "set", "json")
    parser.add_argument("configs", nargs="*", default=[CONFIGS / "assistant.toml"])
    parser.add_argument("--train", help="a file of dialogues (default: arithmetic alone)")
    parser.add_argument("--dev", help="a file of held-out dialogues")
    parser.add_argument("--calls", type=int, default=100, help="compared per row (default 100)")
    parser.add_argument("--arithmetic", type=int, default=6000, help="conversations (6,000)")
    parser.add_argument("--out", help="a folder for the runs (default: none stays)")
    options = parser.parse_args()
    quiet_import()

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.out or scratch)
        rows = [row for config in options.configs for row in measured(config, folder, options)]
    write_figures(options.json, rows)
    return 0


def write_data(folder, options):
    """Writes the files of a benchmark; returns the training's and a dict of the held-out ones."""
    folder.mkdir(parents=True, exist_ok=True)
    train, held_out = arithmetic(1, options.arithmetic), {}
    held_out["arithmetic, other templates"] = arithmetic(2, 200, held_out=True)
    if options.train:
        dialogues = read_dialogues(options.train)
        tools = schemas(dialogues)
        train += conversations(dialogues, tools)
        if options.dev:
            dev = read_dialogues(options.dev)
            every = schemas(dev) | tools
            seen = [all(s in tools for s in dialogue["services"]) for dialogue in dev]
            for name, which in (("seen services", True), ("other services", False)):
                some = [d for d, known in zip(dev, seen, strict=True) if known == which]
                if some:
                    held_out[name] = conversations(some, every)
    # The validation part is the end: mixed.
    import random

    random.Random(3).shuffle(train)
    write(folder / "train.jsonl", train)
    paths = {}
    for number, (name, values) in enumerate(held_out.items()):
        paths[name] = folder / f"held-out-{number}.jsonl"
        write(paths[name], values)
    return folder / "train.jsonl", paths


def measured(config, folder, options):
    """Trains a config and yields a dict of figures for each held-out file."""
    import mdnn
    from mdnn.runs.run_folder import open_run
    from mdnn.tasks import task_for

    name = Path(config).stem
    source, held_out = write_data(folder / f"{name}-data", options)
    settings = [f"data.source={source}", *options.set]
    if options.minutes:
        settings.append(f"train.minutes={options.minutes}")
    result = mdnn.train(mdnn.load_config(config, settings), folder / name)
    print(
        f"{name}: {result['parameters']:,} parameters, {result['steps']:,} steps in "
        f"{result['seconds'] / 60:.1f} minutes, {result['loss']:.4f} nats per character",
        flush=True,
    )
    run = open_run(folder / name)
    task = task_for(run.config, run.words)
    for kind, path in held_out.items():
        data, row = task.open_source(str(path)), {"config": name, "kind": kind}
        for grammar in (False, True):
            begun = time.perf_counter()
            metrics = mdnn.evaluate(run, data, calls=options.calls, grammar=grammar)
            word = "grammar" if grammar else "free"
            row |= {f"{word}_{key}": value for key, value in metrics.items()}
            print(
                f"  {kind}, {word}: {metrics['loss']:.4f} nats; of {metrics.get('calls', 0)} calls "
                f"{metrics.get('calls_well_formed', 0):.1%} well-formed, "
                f"{metrics.get('calls_right', 0):.1%} right "
                f"({time.perf_counter() - begun:.0f} s)",
                flush=True,
            )
        yield row
    yield {"config": name, "kind": "speed"} | speeds(run)


def speeds(run):
    """Returns tokens per second with and without a grammar, each the best of three."""
    from mdnn.constraints.automaton import compile_expression
    from mdnn.constraints.expressions import sequence
    from mdnn.constraints.json_schemas import schema_expression
    from mdnn.generation.completions.completion import CompletionRequest
    from mdnn.generation.completions.text_completions import TextCompletions

    completions = TextCompletions(run)
    schema = {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}}
    expression = sequence(schema_expression(schema), "\x1e")
    tables = completions.grammar(compile_expression(expression))
    figures = {}
    for batch in (1, 16):
        for name, grammar in (("free", None), ("grammar", tables)):
            best = 0.0
            for _ in range(4):
                requests = [
                    CompletionRequest(
                        "user: a\x1eassistant: ", SPEED_TOKENS, seed=k, grammar=grammar
                    )
                    for k in range(batch)
                ]
                begun, count = time.perf_counter(), 0
                for pieces in completions.complete(requests):
                    count += sum(piece.tokens for piece in pieces)
                best = max(best, count / (time.perf_counter() - begun))
            figures[f"{name}_{batch}"] = best
        cost = 1 - figures[f"grammar_{batch}"] / figures[f"free_{batch}"]
        print(
            f"  batch {batch}: {figures[f'free_{batch}']:,.0f} characters/s, with a grammar "
            f"{figures[f'grammar_{batch}']:,.0f} ({cost:+.1%} cost)",
            flush=True,
        )
    return figures


if __name__ == "__main__":
    sys.exit(timed(main))
