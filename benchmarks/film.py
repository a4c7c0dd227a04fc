"""Films of bouncing digits: what comes next, a film of a word, the word of a film.

Writes a folder of films with a manifest, trains `configs/film.toml` on it and a ConvLSTM of as many
weights for as long, and prints for each way to write: the digit that a judge reads in the written
frames, the squared error of the six frames that follow two beside that of the last frame shown
again and of the ConvLSTM, and how many films are named right. Run it on a machine that does nothing
else; given again, the same command goes on where it was. With --step-clock other work does not
change the runs: steps are timed for a minute each, and each step counts as their mean:

    python benchmarks/film.py
    python benchmarks/film.py --minutes 5 --films 50
"""

import sys
from pathlib import Path

import numpy as np
from benchmark_runs import (
    CONFIGS,
    benchmark_parser,
    clocked_by_steps,
    mean_seconds,
    timed,
    write_figures,
)

import mdnn
from mdnn.runtime import quiet_import

WAYS = ("autoregressive", "parallel", "masked_diffusion")


def main():
    """Prints the table; returns the exit status."""
    parser = benchmark_parser(__doc__, "minutes", "set", "json", "step-clock")
    config = CONFIGS / "film.toml"
    parser.add_argument("config", nargs="?", default=config, help="a config file")
    parser.add_argument("--out", default="runs/film", help="folder of data, runs and pictures")
    parser.add_argument("--films", type=int, default=100, help="answers per direction, at most")
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    parser.add_argument("--temperature", type=float, default=0.5, help="of films from words")
    parser.add_argument("--num-denoising-steps", type=int, default=16, help="of unmasking")
    parser.add_argument("--no-convlstm", action="store_true", help="without the ConvLSTM")
    options = parser.parse_args()
    # As `mdnn train` does.
    quiet_import(lambda: mdnn.configure_threads())
    figures = _measure(options)
    write_figures(options.json, figures)
    return 0


def _measure(options):
    """Trains, answers and prints; returns the figures."""
    from film_data import SEEN, Films, film_judge
    from film_sheet import film_sheet, write_films
    from resumed import Answered, trained_run, training_figures

    from mdnn.datasets.items.digits import WORDS
    from mdnn.runs.run_folder import open_run

    data, folder = Films(), Path(options.out)
    run = folder / "film"
    clock = clocked_by_steps(folder / "step-seconds.json") if options.step_clock else None
    trained_run(options.config, data.write, run, options.minutes, options.set, clock)
    training, network = training_figures(run), open_run(run)
    films, digits = (values[: options.films] for values in data.test)
    judge, answered = film_judge(*data.train), Answered(run / "answers")
    following = films[:, SEEN:]
    figures = {
        "training": training,
        "judge": _share(judge, following, digits),
        "last frame": _error(np.repeat(films[:, SEEN - 1 : SEEN], len(following[0]), 1), following),
    }
    asked_words = [WORDS[n % 10] for n in range(len(films))]
    of_words = np.arange(len(films)) % 10
    written = {}
    for how in options.ways:

        def answers(name, prompts, output, temperature, how=how):
            about = [len(prompts), temperature, options.num_denoising_steps]
            found, seconds = answered.once(
                f"{how} {name}",
                about,
                lambda: mdnn.generate(
                    network,
                    [[prompt] for prompt in prompts],
                    output=output,
                    decoding=how,
                    temperature=temperature,
                    seed=list(range(len(prompts))),
                    num_denoising_steps=options.num_denoising_steps,
                ),
            )
            print(f"{how}: {name} ({seconds:.0f} s)", file=sys.stderr, flush=True)
            return found

        words = answers("film to word", _items(films), "text", 0.0)
        drawn = answers("word to film", asked_words, _size(films), options.temperature)
        next_frames = answers("next frames", _items(films[:, :SEEN]), _size(following), 0.0)
        figures[how] = {
            "film to word": float(
                np.mean([a == WORDS[d] for a, d in zip(words, digits, strict=True)])
            ),
            "word to film": _share(judge, drawn, of_words),
            "next frames": _share(judge, next_frames, digits),
            "error": _error(np.stack(next_frames), following),
        }
        written[how] = (drawn, next_frames)
    if not options.no_convlstm:
        minutes = training["seconds"] / 60
        count = training["parameters"]
        kept = folder / "convlstm-step-seconds.json" if options.step_clock else None
        frames, figures["convlstm"] = _convlstm(
            data.train[0], films, count, minutes, answered, kept
        )
        figures["convlstm"]["next frames"] = _share(judge, frames, digits)
        figures["convlstm"]["error"] = _error(np.stack(frames), following)
        written["convlstm"] = (None, frames)
    _print(figures, options)
    film_sheet(films, written, SEEN, folder / "film.png")
    write_films(films, written, SEEN, folder / "films")
    print(f"\nContact sheet: {folder / 'film.png'}; films: {folder / 'films'}; run: {run}")
    return figures


def _items(films):
    """Returns films as items; an array of grey frames alone could be a picture."""
    from mdnn.tokens import Item

    return [Item("grey_video", frames) for frames in films]


def _size(films):
    """Returns the output specification of films `[n, frames, height, width]`."""
    return f"grey_video {'x'.join(map(str, films.shape[1:]))}"


def _share(judge, films, digits):
    """Returns the share of films in which the judge reads their digit."""
    return float(np.mean([judge(frames) == d for frames, d in zip(films, digits, strict=True)]))


def _error(frames, right):
    """Returns the mean squared error of pixels from 0 to 1."""
    return float(np.mean((frames / 255 - right / 255) ** 2))


def _convlstm(train, films, count, minutes, answered, kept):
    """Returns the frames that a ConvLSTM writes, and its figures."""
    from film_convlstm import continued, of_weights, step_taker, trained

    model, about = of_weights(count), {"minutes": round(minutes, 2), "films": len(films)}
    about["parameters"] = model.count_params()
    steps = []

    def compute():
        # Another one is timed, so that none begins with weights of these steps.
        each = mean_seconds(lambda: step_taker(of_weights(count), train), kept) if kept else 0.0
        steps.append(trained(model, train, minutes, each))
        return [*continued(model, films), np.array(steps)]

    frames, seconds = answered.once("convlstm", about, compute)
    return frames[:-1], about | {"steps": int(frames[-1][0]), "seconds": seconds}


def _print(figures, options):
    training = figures["training"]
    print(
        f"\n{training['parameters']:,} parameters, {training['steps']:,} steps in "
        f"{training['seconds'] / 60:.1f} minutes"
    )
    if "convlstm" in figures:
        own = figures["convlstm"]
        print(f"ConvLSTM: {own['parameters']:,} parameters, {own['steps']:,} steps in as long")
    names = [*options.ways, *(["convlstm"] if "convlstm" in figures else [])]
    print(f"\n| | {' | '.join(names)} | real, or the last frame again |")
    print(f"|---|{'---|' * (len(names) + 1)}")
    for row, last in (
        ("film to word", ""),
        ("word to film", f"{figures['judge']:.1%}"),
        ("next frames", f"{figures['judge']:.1%}"),
        ("error", f"{figures['last frame']:.4f}"),
    ):
        form = ".4f" if row == "error" else ".1%"
        cells = (figures[name].get(row) for name in names)
        shown = " | ".join("" if cell is None else format(cell, form) for cell in cells)
        print(f"| {row} | {shown} | {last} |")


if __name__ == "__main__":
    sys.exit(timed(main))
