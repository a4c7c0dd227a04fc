"""The contact sheet of the digits: what was asked, and what came back."""

import matplotlib.figure
import numpy as np
from judges import spectrogram

from mdnn.datasets.items.digits import WORDS

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
            number = int(np.flatnonzero(digits == digit)[0])
            _draw(line[2 * digit], asked[number], rate, "#333333")
            _draw(line[2 * digit + 1], answers[number], rate, "#1f4e8c", answered=True)
        line[0].set_ylabel(
            f"{prompt} to\n{answer}, {how}", rotation=0, ha="right", va="center", fontsize=8
        )
    for digit in range(10):
        grid[0, 2 * digit].set_title(WORDS[digit], fontsize=9, loc="left")
    figure.savefig(path, format="png")


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
        axes.imshow(spectrogram(value, rate).T, origin="lower", aspect="auto", cmap="magma")
