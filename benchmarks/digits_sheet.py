"""The contact sheet of the digits: what was asked, and what came back."""

import matplotlib.figure
import numpy as np
from judges import spectrogram, trimmed

from mdnn.datasets.items.digits import WORDS
from mdnn.datasets.media.media_files import write_item

ROWS = (
    ("picture", "word"),
    ("sound", "word"),
    ("word", "picture"),
    ("sound", "picture"),
    ("word", "sound"),
    ("picture", "sound"),
)


def contact_sheet(samples, rate, path):
    """Draws one answer for each digit, direction and way to write.

    Args:
        samples: dict from `(how, prompt, answer)` to prompts, digits and answers.
        rate: samples per second of sounds.
        path: the PNG to write.
    """
    rows = [
        (how, *pair) for pair in ROWS for how in ("autoregressive", "parallel", "masked_diffusion")
    ]
    rows = [row for row in rows if row in samples]
    figure = matplotlib.figure.Figure(
        figsize=(13, 0.75 * len(rows) + 0.8), dpi=100, layout="constrained"
    )
    grid = figure.subplots(len(rows), 20, squeeze=False)
    for line, (how, prompt, answer) in zip(grid, rows, strict=True):
        asked, digits, answers = samples[how, prompt, answer]
        for digit in range(10):
            for number in np.flatnonzero(digits == digit)[:1]:
                _draw(line[2 * digit], asked[number], rate, "#333333")
                _draw(line[2 * digit + 1], answers[number], rate, "#1f4e8c", answered=True)
        line[0].set_ylabel(
            f"{prompt} to\n{answer}, {how}", rotation=0, ha="right", va="center", fontsize=8
        )
    for digit in range(10):
        grid[0, 2 * digit].set_title(WORDS[digit], fontsize=9, loc="left")
    figure.savefig(path, format="png")


def sound_sheet(samples, coded, digits, rate, path):
    """Draws spectrograms of written sounds below those of real ones.

    Args:
        samples: as of `contact_sheet`.
        coded: real sounds that went through the network's coding.
        digits: their digits.
        rate: samples per second.
        path: the PNG to write.
    """
    rows = [("real", coded, digits, 0), ("real", coded, digits, 1)]
    for (how, prompt, answer), (_, own, answers) in samples.items():
        if answer == "sound":
            rows.append((f"{prompt} to sound,\n{how}", answers, own, 0))
    figure = matplotlib.figure.Figure(
        figsize=(11, 0.9 * len(rows) + 0.5), dpi=100, layout="constrained"
    )
    grid = figure.subplots(len(rows), 10, squeeze=False)
    for line, (name, sounds, own, take) in zip(grid, rows, strict=True):
        for digit, axes in enumerate(line):
            for number in np.flatnonzero(own == digit)[take : take + 1]:
                _draw(axes, sounds[number], rate, "#333333" if name == "real" else "#1f4e8c")
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    for digit, axes in enumerate(grid[0]):
        axes.set_title(WORDS[digit], fontsize=9, loc="left")
    figure.savefig(path, format="png")


def write_sounds(samples, folder, rate):
    """Writes a sound of each digit, direction and way to write, to be listened to."""
    folder.mkdir(exist_ok=True)
    for (how, prompt, answer), (_, digits, answers) in samples.items():
        if answer == "sound":
            for digit, word in enumerate(WORDS):
                for number in np.flatnonzero(digits == digit)[:1]:
                    write_item(answers[number], folder / f"{word}-{prompt}-{how}.wav", rate)


def _draw(axes, value, rate, colour, answered=False):
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set(color=colour, linewidth=1.5 if answered else 0.4)
    if isinstance(value, str):
        axes.text(0.5, 0.5, value[:8], ha="center", va="center", fontsize=8, color=colour)
        axes.set(xlim=(0, 1), ylim=(0, 1))
    elif value.ndim == 2:
        axes.imshow(value, cmap="gray_r", vmin=0, vmax=255)
    else:
        axes.imshow(
            spectrogram(trimmed(value), rate).T, origin="lower", aspect="auto", cmap="magma"
        )
