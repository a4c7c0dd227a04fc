"""The contact sheet of films, and the films as animated pictures."""

import matplotlib.figure
import numpy as np

from mdnn.datasets.items.digits import WORDS
from mdnn.datasets.media.media_files import write_item
from mdnn.tokens import Item

SHOWN = 3
"""Films of each direction that are drawn."""


def film_sheet(films, written, seen, path):
    """Draws a row of frames for each film.

    Args:
        films: uint8 `[n, frames, height, width]`, the real ones.
        written: dict from ways to write to films of words (or `None`) and to frames that follow.
        seen: number of frames that were shown.
        path: the PNG to write.
    """
    rows = []
    for number in range(SHOWN):
        rows.append(("real", films[number], len(films[number])))
        for how, (_, following) in written.items():
            rows.append((how, np.concatenate([films[number, :seen], following[number]]), seen))
    for how, (drawn, _) in written.items():
        if drawn is not None:
            rows += [(f"{WORDS[n]}, {how}", drawn[n], 0) for n in range(SHOWN)]
    size = (1.0 * films.shape[1] + 2, 1.0 * len(rows))
    figure = matplotlib.figure.Figure(figsize=size, dpi=80, layout="constrained")
    grid = figure.subplots(len(rows), films.shape[1], squeeze=False)
    for line, (name, frames, shown) in zip(grid, rows, strict=True):
        for number, (axes, frame) in enumerate(zip(line, frames, strict=True)):
            axes.set(xticks=[], yticks=[])
            for side in axes.spines.values():
                side.set(color="#333333" if number < shown else "#1f4e8c", linewidth=1.0)
            axes.imshow(frame, cmap="gray_r", vmin=0, vmax=255)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    figure.savefig(path, format="png")


def write_films(films, written, seen, folder):
    """Writes films as animated PNGs into a folder."""
    folder.mkdir(exist_ok=True)
    for how, (drawn, following) in written.items():
        for number in range(SHOWN):
            whole = np.concatenate([films[number, :seen], following[number]])
            write_item(Item("grey_video", whole), folder / f"next-{number}-{how}.png")
            if drawn is not None:
                own = Item("grey_video", drawn[number])
                write_item(own, folder / f"{WORDS[number]}-{how}.png")
