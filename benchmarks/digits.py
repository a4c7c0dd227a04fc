"""Digits in three modalities: one network, every direction, every way to write.

Writes a folder of words, pictures and recordings with a manifest, trains `configs/digits.toml`
on it, and prints for each way to write what comes back in all six directions. Words are right or
wrong; pictures and sounds that the network writes are judged by plain classifiers that were
trained on the real training items, whose own accuracy on real test items stands beside, and on
real sounds that went through the network's coding. Then the same network once more for a speaker
that it never heard. Run it on a machine that does nothing else:

    python benchmarks/digits.py --recordings spoken_digits.npz --speaker theo
    python benchmarks/digits.py --run RUN      the table of a run that is there

With --step-clock other work on the machine does not change a run: steps are timed for a minute,
in which the machine should do nothing else, and each step of the trainings counts as their mean.

A run that was interrupted goes on when the same command is given again: training from its last
checkpoint, the table from the first direction that has no answers yet.
"""

import sys
from pathlib import Path

import numpy as np
from benchmark_runs import (
    CONFIGS,
    benchmark_parser,
    clocked_by_steps,
    timed,
    write_figures,
)

import mdnn
from mdnn.runtime import quiet_import

KINDS = ("word", "picture", "sound")
WAYS = ("autoregressive", "parallel", "masked_diffusion")
PAIRS = tuple((a, b) for a in KINDS for b in KINDS if a != b)
PARTS = {"word": "text", "picture": "image", "sound": "audio"}
WANTS = {"word": "text", "picture": "grey 8x8", "sound": "audio"}


def main():
    """Prints the tables; returns the exit status."""
    parser = benchmark_parser(__doc__, "minutes", "set", "json", "step-clock")
    config = CONFIGS / "digits.toml"
    parser.add_argument("config", nargs="?", default=config, help="a config file")
    parser.add_argument("--recordings", help="an .npz file of recordings (default: TFDS)")
    parser.add_argument("--out", default="runs/digits", help="folder of data, runs and pictures")
    parser.add_argument("--run", help="a run that is there: train nothing")
    parser.add_argument("--answers", type=int, default=200, help="for each direction, at most")
    parser.add_argument("--sounds", type=int, default=100, help="sounds written per direction")
    parser.add_argument(
        "--kinds", nargs="+", default=KINDS, choices=KINDS, help="what the network takes and gives"
    )
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    parser.add_argument("--picture-temperature", type=float, default=0.5)
    parser.add_argument("--sound-temperature", type=float, default=1.0)
    parser.add_argument(
        "--guidance-scale",
        type=float,
        default=1.0,
        help="of sounds, away from those of all ten digits (1: none)",
    )
    parser.add_argument("--num-denoising-steps", type=int, default=16, help="of unmasking")
    parser.add_argument("--speaker", help="train once more without this speaker's recordings")
    parser.add_argument("--speaker-minutes", type=float, help="of that training")
    parser.add_argument("--sheet", help="a PNG for the contact sheet (default: in --out)")
    parser.add_argument("--sound-sheet", help="a PNG for the spectrograms (default: in --out)")
    options = parser.parse_args()
    # In one order, each once: run folders are named by them.
    options.kinds = [kind for kind in KINDS if kind in options.kinds]
    if len(options.kinds) < 2:
        parser.error(f"--kinds: expected two or three of {', '.join(KINDS)}")
    # As `mdnn train` does.
    quiet_import(lambda: mdnn.configure_threads())
    from digits_data import recordings

    sounds = recordings(options.recordings)
    found = {"known": _one(options, sounds, None)}
    if options.speaker:
        found[options.speaker] = _one(options, sounds, options.speaker)
    write_figures(options.json, found)
    return 0


def _one(options, sounds, speaker):
    """Trains on one split and prints its table; returns the figures."""
    from digits_data import RATE, Digits
    from digits_sheet import contact_sheet, sound_sheet, write_sounds
    from judges import picture_judge, sound_judge
    from resumed import Answered, trained_run, training_figures

    from mdnn.runs.run_folder import open_run

    data = Digits(sounds, speaker=speaker)
    name = "digits" if speaker is None else f"digits-without-{speaker}"
    if len(options.kinds) < len(KINDS):
        name = "-".join([name, *options.kinds])
    folder = Path(options.out)
    run = Path(options.run) if options.run and speaker is None else None
    if run is None:
        run = folder / name
        minutes = options.minutes if speaker is None else options.speaker_minutes
        clock = clocked_by_steps(folder / "step-seconds.json") if options.step_clock else None
        kinds = [PARTS[kind] for kind in options.kinds]
        trained_run(
            options.config,
            lambda path: data.write(path, kinds),
            run,
            minutes,
            options.set,
            clock,
        )
    answered, figures = Answered(run / "answers"), {}
    if training := training_figures(run):
        figures["training"] = training
    pictures, sounds_of = ~data.picture_test, ~data.sound_test
    judges = {
        "picture": picture_judge(data.pictures[pictures], data.picture_digits[pictures]),
        "sound": sound_judge(
            [data.sounds[n] for n in np.flatnonzero(sounds_of)],
            data.sound_digits[sounds_of],
            RATE,
        ),
    }
    tests = _tests(data)
    network = open_run(run)
    coded = _coded(network, tests["sound"][0])
    figures["judges"] = {kind: judges[kind].share(*tests[kind]) for kind in judges}
    figures["coded"] = {"sound": judges["sound"].share(coded, tests["sound"][1])}
    samples = {}
    for how in options.ways:
        for prompt, answer in PAIRS:
            if not {prompt, answer} <= set(options.kinds):
                continue
            if speaker is not None and prompt != "sound":
                continue
            asked, digits = _asked(tests, prompt, answer, options)
            about = _settings(how, answer, len(asked), options)
            others = _one_of_each(data, prompt) if _guided(answer, options) else None
            answers, seconds = answered.once(
                f"{how} {prompt} {answer}",
                about,
                lambda asked=asked, answer=answer, how=how, others=others: _answers(
                    network, asked, answer, how, options, others
                ),
            )
            right = _right(answers, digits, answer, judges)
            figures[f"{how} {prompt} {answer}"] = {
                "right": float(np.mean(right)),
                "answers": len(right),
                "seconds": round(seconds, 1),
            }
            samples[how, prompt, answer] = (asked, digits, answers)
            print(
                f"{how}: {prompt} to {answer} {np.mean(right):.1%} of {len(right)} "
                f"({seconds:.0f} s)",
                file=sys.stderr,
                flush=True,
            )
    _print(figures, options, speaker)
    if speaker is None and len(options.kinds) == len(KINDS):
        sheet = Path(options.sheet or folder / "digits.png")
        contact_sheet(samples, RATE, sheet)
        spectrograms = Path(options.sound_sheet or folder / "sounds.png")
        sound_sheet(samples, coded, tests["sound"][1], RATE, spectrograms)
        write_sounds(samples, folder / "sounds", RATE)
        print(f"\nContact sheets: {sheet}, {spectrograms}; sounds: {folder / 'sounds'}; run: {run}")
    return figures


def _coded(network, sounds):
    """Real sounds that went through the network's coding, and back."""
    from mdnn.tokens.items import Item, accepted_item
    from mdnn.tokens.modalities import kinds_of

    tokenizer, kinds = network.item_tokenizer, kinds_of(network.config.tokens.modalities)
    items = (accepted_item(Item("audio", samples), kinds) for samples in sounds)
    return [tokenizer.item(tokenizer.tokens(item)).value for item in items]


def _settings(how, answer, count, options):
    """All that answers depend on besides the weights and the test items."""
    temperature = {"picture": options.picture_temperature, "sound": options.sound_temperature}
    steps = options.num_denoising_steps if how == "masked_diffusion" else 0
    guidance = [options.guidance_scale] if _guided(answer, options) else []
    return [count, temperature.get(answer, 0.0), steps, *guidance]


def _guided(answer, options):
    return answer == "sound" and options.guidance_scale != 1


def _tests(data):
    """Test items of each kind with their digits."""
    from mdnn.datasets.items.digits import WORDS

    sounds = np.flatnonzero(data.sound_test)
    return {
        "word": (list(WORDS), np.arange(10)),
        "picture": (list(data.pictures[data.picture_test]), data.picture_digits[data.picture_test]),
        "sound": ([data.sounds[n] for n in sounds], data.sound_digits[sounds]),
    }


def _asked(tests, prompt, answer, options):
    """Prompts of one direction and their digits: words again and again, others all at most once."""
    values, digits = tests[prompt]
    most = options.sounds if answer == "sound" else options.answers
    if prompt == "word":
        chosen = np.arange(most) % 10
    elif answer == "word":
        chosen = np.arange(len(values))
    else:
        chosen = np.linspace(0, len(values) - 1, min(most, len(values))).astype(int)
    return [values[n] for n in chosen], np.asarray(digits)[chosen]


def _one_of_each(data, prompt):
    """One training item of each digit, as negative prompts."""
    from mdnn.datasets.items.digits import WORDS

    if prompt == "word":
        return list(WORDS)
    digits = np.where(data.picture_test, -1, data.picture_digits)
    return [data.pictures[np.flatnonzero(digits == digit)[0]] for digit in range(10)]


def _answers(network, asked, answer, how, options, others):
    import mdnn

    guidance = {"guidance_scale": options.guidance_scale, "negative_prompt": others}
    careful = answer == "word"
    temperatures = {"picture": options.picture_temperature, "sound": options.sound_temperature}
    return mdnn.generate(
        network,
        [[value] for value in asked],
        output=WANTS[answer],
        decoding=how,
        preset="factual" if careful else None,
        temperature=temperatures.get(answer),
        seed=list(range(len(asked))),
        num_denoising_steps=options.num_denoising_steps,
        **(guidance if others else {}),
    )


def _right(answers, digits, answer, judges):
    """Which answers are the digit that was asked for."""
    from mdnn.datasets.items.digits import WORDS

    if answer == "word":
        return np.array([text == WORDS[d] for text, d in zip(answers, digits, strict=True)])
    return judges[answer](answers) == digits


def _print(figures, options, speaker):
    who = "known speakers" if speaker is None else f"{speaker}, never heard"
    if "training" in figures:
        training = figures["training"]
        print(
            f"\n{who}: {training['parameters']:,} parameters, {training['steps']:,} steps in "
            f"{training['seconds'] / 60:.1f} minutes"
        )
    print(f"\n| {who} | {' | '.join(options.ways)} | judge on real ones | and coded |")
    print(f"|---|{'---|' * (len(options.ways) + 2)}")
    for prompt, answer in PAIRS:
        cells = [figures.get(f"{how} {prompt} {answer}") for how in options.ways]
        if not any(cells):
            continue
        judge = figures["judges"].get(answer)
        row = " | ".join("" if cell is None else f"{cell['right']:.1%}" for cell in cells)
        coded = figures["coded"].get(answer)
        ends = " | ".join("" if share is None else f"{share:.1%}" for share in (judge, coded))
        print(f"| {prompt} to {answer} | {row} | {ends} |")


if __name__ == "__main__":
    sys.exit(timed(main))
