"""A narrow assistant without attention, from scratch: calls of services and of the calculator.

Trains configs/assistant.toml (and others beside it) on dialogues with service calls and on
arithmetic in words, and prints of each: the loss of the assistant's turns, and of the calls that
it writes greedily how many are well-formed and how many have the right method and all arguments, on
held-out dialogues of services that were seen and of others, and on templates of arithmetic that
were not; with and without a grammar, and what the grammar costs. Run it on a machine that does
nothing else:

    python benchmarks/assistant.py --train sgd-train.jsonl --dev sgd-dev.jsonl
    python benchmarks/assistant.py --minutes 4 --calls 40   # arithmetic alone
    python benchmarks/assistant.py --imported runs/smollm2 --train ... --dev ...

With --step-clock other work does not change a training, and a stopped one in --out goes on.
"""

import sys
import tempfile
import time
from pathlib import Path

from assistant_data import arithmetic, conversations, read_dialogues, schemas, write
from benchmark_runs import (
    CONFIGS,
    benchmark_parser,
    clocked_by_steps,
    timed,
    trained_once,
    write_figures,
)

import mdnn
from mdnn.runtime import quiet_import

SPEED_TOKENS = 2000


def main():
    """Prints the table; returns the exit status."""
    parser = benchmark_parser(__doc__, "minutes", "set", "json", "step-clock")
    parser.add_argument(
        "configs", nargs="*", help="(default: assistant.toml, or none with --imported)"
    )
    parser.add_argument("--train", help="a file of dialogues (default: arithmetic alone)")
    parser.add_argument("--dev", help="a file of held-out dialogues")
    parser.add_argument("--calls", type=int, default=100, help="compared per row (default 100)")
    parser.add_argument("--arithmetic", type=int, default=20000, help="conversations (20,000)")
    parser.add_argument("--imported", help="a run folder of mdnn import, for a row of its own")
    parser.add_argument("--out", help="a folder for the runs (default: none stays)")
    options = parser.parse_args()
    # As `mdnn train` does.
    quiet_import(lambda: mdnn.configure_threads())
    configs = options.configs or ([] if options.imported else [CONFIGS / "assistant.toml"])

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.out or scratch)
        rows = [row for config in configs for row in measured(config, folder, options)]
        if options.imported:
            rows += imported(Path(options.imported), folder, options)
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
    """Trains a config and yields a dict of figures for each held-out file, and of its speed."""
    from mdnn.runs.run_folder import open_run

    name = Path(config).stem
    source, held_out = write_data(folder / f"{name}-data", options)
    settings = [f"data.source={source}", *options.set]
    if options.minutes:
        settings.append(f"train.minutes={options.minutes}")
    config = mdnn.load_config(config, settings)
    if options.step_clock:
        clocked_by_steps(folder / f"{name}-step-seconds.json")(config)
    result = trained_once(
        folder / name, lambda resume: mdnn.train(config, folder / name, resume=resume)
    )
    print(
        f"{name}: {result['parameters']:,} parameters, {result['steps']:,} steps in "
        f"{result['seconds'] / 60:.1f} minutes, {result['loss']:.4f} nats per character",
        flush=True,
    )
    run = open_run(folder / name)
    yield from compared(name, run, held_out, options)
    yield {"config": name, "kind": "speed"} | speeds(run)


def imported(path, folder, options):
    """Yields figures of an imported network, which is told the tools; calls without a grammar.

    A decoder with a grammar is compiled for each set of tools, which takes minutes for a network
    of 134 million weights, and so does the loss of contexts of 2,048 subwords.
    """
    from assistant_imported import with_tools

    from mdnn.datasets.conversations.conversation_files import read_conversations
    from mdnn.tasks import task_for
    from mdnn.tasks.conversations.chat_evaluator import call_prompts

    _, held_out = write_data(folder / f"{path.name}-data", options)
    run = with_tools(path)
    task = task_for(run.config, run.words)
    evaluator = task.evaluator(task.networks(run.model))
    print(f"{path.name}, the tools in its prompt:", flush=True)
    for kind, file in held_out.items():
        prompts = call_prompts(read_conversations(file), options.calls)
        begun = time.perf_counter()
        metrics = evaluator.calls(prompts)
        say(kind, "free", metrics, begun)
        yield {"config": path.name, "kind": kind} | {f"free_{k}": v for k, v in metrics.items()}


def compared(name, run, held_out, options):
    """Yields a dict of figures for each held-out file.

    Args:
        name: str, of the row.
        run: an opened run of conversations.
        held_out: dict from names to paths, as `write_data` returns it.
        options: the command's.
    """
    from mdnn.tasks import task_for

    task = task_for(run.config, run.words)
    for kind, path in held_out.items():
        data, row = task.open_source(str(path)), {"config": name, "kind": kind}
        for grammar in (False, True):
            begun = time.perf_counter()
            metrics = mdnn.evaluate(run, data, calls=options.calls, grammar=grammar)
            word = "grammar" if grammar else "free"
            row |= {f"{word}_{key}": value for key, value in metrics.items()}
            say(kind, word, metrics, begun)
        yield row


def say(kind, word, metrics, begun):
    """Prints the figures of a held-out file."""
    loss = f"{metrics['loss']:.4f} nats; " if "loss" in metrics else ""
    print(
        f"  {kind}, {word}: {loss}of {metrics.get('calls', 0)} calls "
        f"{metrics.get('calls_written', 0):.1%} written, of these "
        f"{metrics.get('calls_well_formed', 0):.1%} well-formed; "
        f"{metrics.get('calls_right', 0):.1%} right ({time.perf_counter() - begun:.0f} s)",
        flush=True,
    )


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
