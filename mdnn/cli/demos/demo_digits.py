"""Words and pictures in one network: train, answer in all three modes. `make demo-digits`."""

import importlib.util
import logging
import sys

from mdnn.cli.demos.demo_text import TRAINED, command, failed, missing, new_run, run_and_report

CONFIG = "digits-small"
SHEET = "answers.png"
# For pictures: a little more conservative than the network's own probabilities.
TEMPERATURE = 0.5
MODES = {"autoregressive": "in turn", "parallel": "at once", "masked_diffusion": "unmasking"}
SHOWN = 4
"""Pictures beside one another, so that 80 columns hold them."""
SHADES, PLAIN_SHADES = " ░▒▓█", " .+#@"
# Each pixel is two characters wide and one high; between two pictures there are two more.
GAP = "  "


def main(config=CONFIG, folder="runs"):
    """Runs the demo in a new folder below `folder`; returns the exit status."""
    if status := missing(config):
        return status
    if importlib.util.find_spec("sklearn") is None:
        return failed(
            "the pictures are scikit-learn's, which is missing: make demo-digits installs it, "
            "and so does pip install 'mdnn[digits]'"
        )
    run = new_run("demo-digits", folder)
    print(
        "One network without attention learns words and pictures, from nothing, on this computer:\n"
        "the ten digits, 1,797 of them written by hand, 8x8 pixels. It answers either with the\n"
        "other. Ctrl-C ends the training early and goes on with what was learned."
    )
    if (status := command("train", str(config), "--out", str(run))) not in TRAINED:
        return status
    print(f"\nThe loss curve is a picture: {run / 'loss.png'}", flush=True)
    if status := run_and_report(_show, run):
        return status
    print(
        f"""
What to try next (with .venv/bin on your PATH, or .venv/bin/mdnn instead of mdnn):
  mdnn generate {run} --prompt seven --output "grey 8x8" --temperature 0.5 --out seven.png
  mdnn generate {run} --item seven.png --output text --decoding parallel
  mdnn generate {run} --prompt two --output "grey 8x8" --decoding masked_diffusion --out two.png
  mdnn evaluate {run}
  mdnn train {config} --out {run} --resume --set train.minutes=6
  mdnn inspect {config}"""
    )
    return 0


def _show(run):
    """Prints the accuracy of words and a few answers; draws the contact sheet."""
    from mdnn import open_dataset
    from mdnn.datasets.items.digits import WORDS
    from mdnn.runs.run_folder import open_run
    from mdnn.tasks import task_for
    from mdnn.tasks.contact_sheet import contact_sheet
    from mdnn.tokens.items import Item

    # Each kind of question is compiled once; TensorFlow would warn that there are several.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    network = open_run(run)
    data, modes = network.config.data, task_for(network.config).mode_shares
    lines = open_dataset(data.source, data.validation, network.config.seed).validation
    # The ten words, one validation picture of each, and then all others.
    drawn = [(line.parts[0][0].value, item.value) for line in lines for item in line.parts[1]]
    firsts = [next(picture for own, picture in drawn if own == word) for word in WORDS]

    print(f"\nPicture to word, on {len(drawn)} pictures that it was not trained on:", flush=True)
    named, painted = {}, {}
    for mode in modes:
        words = _answers(network, [picture for _, picture in drawn], "text", mode)
        right = sum(word == answer for (word, _), answer in zip(drawn, words, strict=True))
        named[mode] = _answers(network, firsts, "text", mode)
        print(f"  {MODES[mode]:10} {right / len(drawn):6.1%} right", flush=True)
    for mode in modes:
        painted[mode] = _answers(network, WORDS, "grey 8x8", mode)

    print("\nThe network is shown a picture; its words:\n")
    for start in (0, len(WORDS) - SHOWN):
        part = slice(start, start + SHOWN)
        print(_side_by_side(firsts[part]))
        for mode, answers in named.items():
            print(
                _labels(f"{replace_unprintable(answer)}, {MODES[mode]}" for answer in answers[part])
            )
        print()
    print("The network is given a word; its pictures, and one written by hand:\n")
    heads = [*(MODES[mode] for mode in modes), "by hand"]
    for number in (2, 3, 7):
        print(_labels(f"{WORDS[number]}, {head}" for head in heads))
        print(_side_by_side([*(own[number] for own in painted.values()), firsts[number]]) + "\n")

    sheet, rows = run / SHEET, []
    for number, word in enumerate(WORDS):
        rows.append([Item("text", word), *(Item("grey", own[number]) for own in painted.values())])
        rows[-1].append(Item("grey", firsts[number]))
        # An empty answer is drawn as nothing.
        words = (own[number] for own in named.values())
        rows[-1] += [Item("text", answer) if answer else None for answer in words]
    contact_sheet(rows, ["prompt", *map(MODES.get, modes)] * 2, sheet, "Words and pictures")
    print(f"All ten digits as one picture: {sheet}")


def _answers(network, prompts, output, decoding):
    """Returns the answers to prompts of one item each: the likeliest word, or a picture."""
    from mdnn import generate

    return generate(
        network,
        [[prompt] for prompt in prompts],
        output=output,
        decoding=decoding,
        temperature=0.0 if output == "text" else TEMPERATURE,
        seed=list(range(len(prompts))),
        batch_size=256,
    )


def blocks(picture, shades=SHADES):
    """Returns a grey picture as lines of text, two characters per pixel.

    Args:
        picture: uint8 `[h, w]`.
        shades: characters from dark to bright.
    """
    levels = picture.astype(int) * len(shades) // 256
    return ["".join(shades[level] * 2 for level in row) for row in levels]


def _side_by_side(pictures):
    try:
        SHADES.encode(sys.stdout.encoding or "ascii")
        shades = SHADES
    except UnicodeEncodeError:
        shades = PLAIN_SHADES
    rows = zip(*(blocks(picture, shades) for picture in pictures), strict=True)
    return "\n".join(GAP.join(row).rstrip() for row in rows)


def _labels(words):
    return GAP.join(f"{word:16.16}" for word in words).rstrip()


def replace_unprintable(text):
    """Returns a generated text with unprintable characters replaced by U+FFFD."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text) or "(nothing)"


if __name__ == "__main__":
    sys.exit(main())
