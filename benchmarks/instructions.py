"""Pictures that change as a written or a spoken instruction says.

Writes a folder of pictures, changed pictures and recordings with a manifest, trains
`configs/instructions.toml` on it, and prints for each way to write how many test pictures are
changed exactly, every pixel equal, as a word or a spoken number says, and beside them all six
directions between words, pictures and sounds. Pictures of "the next digit", and other pictures and
sounds that are drawn, are judged by plain classifiers trained on the real training items. Run it on
a machine that does nothing else, or, once steps were timed for a minute on such a machine, beside
other work with --step-clock; given again, the same command goes on where it was:

    python benchmarks/instructions.py --recordings spoken_digits.npz --sizes-minutes 20
    python benchmarks/instructions.py --minutes 2 --written-only
"""

import sys
from pathlib import Path

import numpy as np
from benchmark_runs import CONFIGS, benchmark_parser, clocked_by_steps, timed, write_figures

import mdnn
from mdnn.runtime import quiet_import

WAYS = ("autoregressive", "parallel", "masked_diffusion")
SIZES = ("text=32", "grey=24", "spectrum=16")


def main():
    """Prints the tables; returns the exit status."""
    parser = benchmark_parser(__doc__, "minutes", "set", "json", "step-clock")
    config = CONFIGS / "instructions.toml"
    parser.add_argument("config", nargs="?", default=config, help="a config file")
    parser.add_argument("--recordings", help="an .npz file of recordings (default: TFDS)")
    parser.add_argument("--written-only", action="store_true", help="no sounds at all")
    parser.add_argument("--out", default="runs/instructions", help="folder of data and runs")
    parser.add_argument("--answers", type=int, default=200, help="for each row, at most")
    parser.add_argument("--sounds", type=int, default=50, help="sounds written per row")
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    parser.add_argument("--temperature", type=float, default=0.5, help="of pictures")
    parser.add_argument("--sound-temperature", type=float, default=1.0)
    parser.add_argument("--num-denoising-steps", type=int, default=16, help="of unmasking")
    parser.add_argument(
        "--sizes-minutes",
        type=float,
        help="train once more for so long, with embedding sizes of 32 (text), 24 (pictures) and 16 "
        "(sounds)",
    )
    parser.add_argument("--sheet", help="a PNG for the contact sheet (default: in --out)")
    options = parser.parse_args()
    # As `mdnn train` does.
    quiet_import(lambda: mdnn.configure_threads())
    figures = _measure(options)
    write_figures(options.json, figures)
    return 0


def _measure(options):
    """Trains, answers and prints; returns the figures."""
    from digits_data import recordings
    from instructions_data import Instructions
    from judges import picture_judge

    data = Instructions(None if options.written_only else recordings(options.recordings))
    train = ~data.picture_test
    judges = {"picture": picture_judge(data.pictures[train], data.picture_digits[train])}
    if data.sounds:
        judges["sound"] = _sound_judge(data)
    changes = list(options.set)
    if options.written_only:
        changes.append('tokens.modalities=["text", "grey"]')
        changes += ["context.grid=[4, 64]", "tokens.spectrum={}", "data.augment={}"]
    figures = {"stream": _one(options, data, judges, "instructions", options.minutes, changes)}
    if options.sizes_minutes:
        sizes = [size for size in SIZES if data.sounds or "spectrum" not in size]
        changes += [f"tokens.embedding_size.{size}" for size in sizes]
        minutes = options.sizes_minutes
        figures["sizes"] = _one(options, data, judges, "instructions-sizes", minutes, changes)
    _print_sizes(figures, options)
    return figures


def _sound_judge(data):
    from digits_data import RATE
    from judges import sound_judge

    numbers = np.flatnonzero(~data.sound_test)
    return sound_judge([data.sounds[n] for n in numbers], data.sound_digits[numbers], RATE)


def _one(options, data, judges, name, minutes, changes):
    """Trains one network and prints its table; returns the figures."""
    from instructions_answers import direction_questions, instruction_questions
    from instructions_sheet import contact_sheet
    from resumed import Answered, trained_run, training_figures

    from mdnn.runs.run_folder import open_run

    run = Path(options.out) / name
    kept = run.with_name(f"{name}-step-seconds.json")
    clock = clocked_by_steps(kept) if options.step_clock else None
    trained_run(options.config, data.write, run, minutes, changes, clock)
    network, answered = open_run(run), Answered(run / "answers")
    asked = instruction_questions(data, options.answers)
    figures = {"training": training_figures(run), "judges": _judged(data, judges)}
    answers = {}
    for question in [*asked, *direction_questions(data, options.answers, options.sounds)]:
        for way in options.ways:
            found, seconds = answered.once(
                f"{way} {question.name}",
                _settings(question, way, options),
                lambda question=question, way=way: _answers(network, question, way, options),
            )
            answers[way, question.name] = found
            own = question.figures(found, judges)
            figures[f"{way} {question.name}"] = {**own, "answers": len(found), "seconds": seconds}
            print(
                f"{way}: {question.name} {own['right']:.1%} of {len(found)} ({seconds:.0f} s)",
                file=sys.stderr,
                flush=True,
            )
    _print(figures, options)
    sheet = Path(options.sheet or run.with_suffix(".png"))
    if name == "instructions":
        contact_sheet(asked, answers, options.ways[0], sheet)
        print(f"\nContact sheet: {sheet}; run: {run}")
    return figures


def _judged(data, judges):
    """Returns the judges' shares of real test items that they read right."""
    test = data.picture_test
    found = {"picture": judges["picture"].share(data.pictures[test], data.picture_digits[test])}
    if "sound" in judges:
        numbers = np.flatnonzero(data.sound_test)
        sounds = [data.sounds[n] for n in numbers]
        found["sound"] = judges["sound"].share(sounds, data.sound_digits[numbers])
    return found


def _temperature(question, options):
    """Returns the temperature of answers of which there are many right ones, else 0."""
    if not question.sampled:
        return 0.0
    return options.sound_temperature if question.kind == "sound" else options.temperature


def _settings(question, way, options):
    """Returns all that answers depend on besides the weights and the test items."""
    steps = options.num_denoising_steps if way == "masked_diffusion" else 0
    return [len(question.prompts), _temperature(question, options), steps]


def _answers(network, question, way, options):
    return mdnn.generate(
        network,
        question.prompts,
        output=question.output,
        decoding=way,
        temperature=_temperature(question, options),
        seed=list(range(len(question.prompts))),
        num_denoising_steps=options.num_denoising_steps,
    )


def _print(figures, options):
    training = figures["training"]
    if training:
        print(
            f"\n{training['parameters']:,} parameters, {training['steps']:,} steps in "
            f"{training['seconds'] / 60:.1f} minutes; test pictures and recordings alone"
        )
    print(f"\n| right, and pixels right | {' | '.join(options.ways)} | judge on real ones |")
    print(f"|---|{'---|' * (len(options.ways) + 1)}")
    for row in dict.fromkeys(key.partition(" ")[2] for key in figures if " " in key):
        cells = [figures[f"{way} {row}"] for way in options.ways]
        shown = " | ".join(
            f"{cell['right']:.1%}" + (f", {cell['pixels']:.2%}" if "pixels" in cell else "")
            for cell in cells
        )
        kind = row.rpartition(" ")[2] if " to " in row else "picture"
        judge = figures["judges"].get(kind) if "pixels" not in cells[0] else None
        print(f"| {row} | {shown} | {'' if judge is None else f'{judge:.1%}'} |")


def _print_sizes(figures, options):
    """Prints the means over instructions and directions of each network, a row per network."""
    if len(figures) < 2:
        return
    print("\nMeans over instructions, written and spoken, and over directions:")
    print(f"\n| embedding sizes | parameters | steps | {' | '.join(options.ways)} |")
    print(f"|---|---|---|{'---|' * len(options.ways)}")
    for name, own in figures.items():
        cells = []
        for way in options.ways:
            shares = [
                np.mean([v["right"] for k, v in own.items() if k.startswith(way) and word in k])
                for word in (", written", ", spoken", " to ")
                if any(word in key for key in own)
            ]
            cells.append(", ".join(f"{share:.1%}" for share in shares))
        sizes = "32, 24, 16" if name == "sizes" else "the stream's"
        training = own["training"]
        print(
            f"| {sizes} | {training['parameters']:,} | {training['steps']:,} | "
            f"{' | '.join(cells)} |"
        )


if __name__ == "__main__":
    sys.exit(timed(main))
