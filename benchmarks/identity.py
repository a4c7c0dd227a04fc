"""A network adapted to another text: as it is, by an identity, by LoRA, by training all weights.

Adapts a run (or trains configs/text-grid.toml first) to each text with the same minutes for every
way. Prints the loss on the validation part of the new text and of the old one, the numbers that are
learned, the bytes of the file and the seconds.

    python benchmarks/identity.py --source shakespeare.txt --texts pepys.txt python-docs
    python benchmarks/identity.py --run runs/mine --texts letters.txt --minutes 0.5
"""

import json
import sys
from pathlib import Path

from benchmark_runs import benchmark_parser, print_heading, timed

import mdnn
from mdnn.runtime import quiet_import


def main():
    """Prints the tables; returns the exit status."""
    parser = benchmark_parser(__doc__, "source", minutes=1.0, runs="runs/identity")
    parser.add_argument("--run", help="the network (default: trained on --source)")
    parser.add_argument("--train-minutes", type=float, default=2.5, help="of its training (2.5)")
    parser.add_argument("--texts", nargs="+", required=True, help="what it is adapted to")
    parser.add_argument("--lora", type=int, nargs="*", default=[2], help="ranks (2)")
    parser.add_argument(
        "--slots", type=int, nargs="*", default=[], help="identities with so many learned slots"
    )
    parser.add_argument("--rates", type=float, nargs="*", help="learning rates of identities")
    parser.add_argument("--characters", type=int, default=200_000, help="evaluated, at most")
    options = parser.parse_args()
    quiet_import(lambda: mdnn.configure_threads())
    for text in options.texts:
        compare(text, options)
    return 0


def compare(text, options):
    """Prints the table of one text."""
    from mdnn.runs.run_folder import open_run

    folder = Path(options.runs)
    folder.mkdir(parents=True, exist_ok=True)
    base = Path(options.run) if options.run else folder / "base"
    if not (base / "model.safetensors").is_file():
        config = mdnn.load_config(
            "text-grid",
            [f"train.minutes={options.train_minutes}", "train.sample=0", source_of(options.source)],
        )
        mdnn.train(config, base)
    run = open_run(base)
    old, new = (validation(run.config, one, options) for one in (run.config.data.source, text))
    name, weights = Path(text).stem, run.model.count_params()

    def row(way, numbers, size, seconds, **used):
        losses = [mdnn.evaluate(base, one, sliding=False, **used)["loss"] for one in (new, old)]
        return [way, numbers, size, seconds, *losses]

    rows = [row("as it is", 0, 0, 0.0)]
    rates = options.rates or [None]
    for kind, rank, rate, slots in [
        *(("identity", None, rate, 0) for rate in rates),
        *(("identity", None, rate, slots) for slots in options.slots for rate in rates),
        *(("LoRA", rank, None, 0) for rank in options.lora),
    ]:
        words = "" if rank is None else f" {rank}"
        words += f", {slots} slots" if slots else ""
        words += "" if rate is None else f", rate {rate:g}"
        label = words.replace(",", "").replace(" rate ", " ").replace(" ", "-")
        file = folder / f"{name}-{kind}{label}.safetensors"
        facts = file.with_suffix(".json")
        if not facts.is_file():
            file.unlink(missing_ok=True)
            found = mdnn.adapt(
                base,
                text,
                file,
                minutes=options.minutes,
                lora=rank,
                slots=slots,
                learning_rate=rate,
            )
            facts.write_text(json.dumps(found), encoding="utf-8")
        found = json.loads(facts.read_text(encoding="utf-8"))
        size = file.stat().st_size
        rows.append(row(kind + words, found["numbers"], size, found["seconds"], identity=file))
    full = folder / f"{name}-full"
    if not (full / "model.safetensors").is_file():
        rate = run.config.train.optimizer.learning_rate / 3
        changes = [f"train.minutes={options.minutes}", source_of(text), "train.sample=0"]
        changes.append(f"train.optimizer.learning_rate={rate}")
        config = mdnn.load_config(base / "config.toml", changes)
        mdnn.train(config, full, init_from=base)
    losses = [mdnn.evaluate(full, one, sliding=False)["loss"] for one in (new, old)]
    size = (full / "model.safetensors").stat().st_size
    rows.append(["all weights", weights, size, 60 * options.minutes, *losses])
    show(rows, name, weights, options)


def source_of(text):
    return f"data.source={json.dumps(text)}"


def validation(config, source, options):
    """Returns the validation part of a text, at most `--characters` of it."""
    splits = mdnn.open_text(source, config.data.validation, encoding=config.data.encoding)
    return splits.tokenizer.text(splits.validation[: options.characters])


def show(rows, name, weights, options):
    """Prints the rows; the gain is relative to that of training all weights."""
    print(f"\n{name}, {options.minutes:g} minutes for each way\n")
    print_heading(
        "way | numbers | of the weights | bytes | seconds | nats, new text | gain | old text"
    )
    before, best = rows[0][4], rows[-1][4]
    for way, numbers, size, seconds, new, old in rows:
        gain = (before - new) / (before - best)
        print(
            f"| {way} | {numbers:,} | {numbers / weights:.2%} | {size:,} | {seconds:.0f} | "
            f"{new:.4f} | {gain:.0%} | {old:.4f} |"
        )


if __name__ == "__main__":
    sys.exit(timed(main))
