"""Draws items in rows and columns as one picture."""

import textwrap

import matplotlib.figure
import matplotlib.font_manager
import numpy as np

from mdnn.files import replacing
from mdnn.tokens.modalities import modality

# Maximum number of characters drawn of a text, and characters per line.
LETTERS, LINE = 60, 12
# Maximum number of characters in a title.
TITLE = 72


def contact_sheet(rows, heads, path, title=""):
    """Draws items in rows and columns: texts as text, sounds as waveforms.

    Args:
        rows: list of lists of `mdnn.tokens.items.Item`, all of one length; `None` for an empty
            cell.
        heads: list of str, the column headers.
        path: the PNG file to write.
        title: str, the title.
    """
    size = (1.3 * len(heads), 1.3 * len(rows) + 0.6)
    figure = matplotlib.figure.Figure(figsize=size, dpi=120, layout="constrained")
    grid = figure.subplots(len(rows), len(heads), squeeze=False)
    for number, row in enumerate(rows):
        for axes, item, head in zip(grid[number], row, heads, strict=True):
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set_color("#cccccc")
            if number == 0:
                axes.set_title(drawable(head), fontsize=9, parse_math=False)
            if item is not None:
                _draw(axes, item)
    figure.suptitle(shown_title(title), fontsize=10, parse_math=False)
    with replacing(path) as part:
        figure.savefig(part, format="png")


def drawable(text):
    """Replaces characters that cannot be printed or that the font lacks by U+FFFD.

    matplotlib warns of each of them, and warnings' filters are those of the whole process.
    """
    font = matplotlib.font_manager.get_font(matplotlib.font_manager.findfont(None))
    return "".join(c if c.isprintable() and font.get_char_index(ord(c)) else "\ufffd" for c in text)


def shown_title(title):
    """Returns a title as one printable line; shortens a long title in the middle."""
    title = drawable("".join(c if c.isprintable() else " " for c in title))
    if len(title) <= TITLE:
        return title
    start = TITLE // 3
    return f"{title[:start]}…{title[start + 1 - TITLE :]}"


def _draw(axes, item):
    form = modality(item.kind)
    if form.printable:
        letters = drawable(str(item.value)[:LETTERS])
        text = "\n".join(textwrap.wrap(letters, LINE)) + "…" * (len(str(item.value)) > LETTERS)
        style = {"x": 0.5, "y": 0.5, "ha": "center", "va": "center", "fontsize": 9}
        axes.text(s=text, **style, transform=axes.transAxes, parse_math=False, clip_on=True)
    elif np.ndim(item.value) == 1:
        axes.plot(item.value, linewidth=0.6, color="#1f4e8c")
        if item.value.dtype.kind in "iu":
            limits = np.iinfo(item.value.dtype)
            axes.set_ylim(limits.min, limits.max)
    else:
        # Draw the frames of a video side by side.
        frames = len(form.coordinates) == 3
        value = np.concatenate(list(item.value), axis=1) if frames else item.value
        axes.imshow(value, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
