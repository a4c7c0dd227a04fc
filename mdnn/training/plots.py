"""The loss curve, and items beside one another, as pictures."""

import textwrap

import matplotlib.figure
import matplotlib.font_manager
import numpy as np

from mdnn.files import replacing

# Of a text so many letters are drawn, in lines of so many.
LETTERS, LINE = 60, 12
# Characters of a title.
TITLE = 72


def loss_curve(metrics, path, title="", unit="character"):
    """Draws nats per character against seconds.

    Args:
        metrics: what `mdnn.training.metrics_log.read_metrics` returns.
        path: the PNG to write.
        title: text above.
        unit: what the nats are per.
    """
    # Rows in which every step was skipped have none.
    train = [value for value in metrics["train_loss"] if value is not None]
    if not train:
        return
    figure = matplotlib.figure.Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    seconds = metrics["seconds"]
    when = [s for s, value in zip(seconds, metrics["train_loss"], strict=True) if value is not None]
    axes.plot(when, train, color="#9db8d9", linewidth=1, label="training batches")
    shown = list(train)
    for name, values in metrics.items():
        checks = [(s, v) for s, v in zip(seconds, values, strict=True) if v is not None]
        if not name.startswith("validation") or not checks:
            continue
        shown += [v for _, v in checks]
        if name == "validation_loss":
            style = {"color": "#1f4e8c", "marker": "o", "label": "validation"}
        else:
            way = name.removeprefix("validation_").removesuffix("_nats")
            style = {"linewidth": 1, "linestyle": "--", "label": f"validation, {way}"}
        axes.plot(*zip(*checks, strict=True), **style)
    low = min(shown)
    axes.set(xlabel="seconds", ylabel=f"nats per {unit}")
    axes.set_title(_shown(title), parse_math=False)
    axes.set_ylim(max(0.0, low - 0.15), min(max(train), low + 2.5))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    with replacing(path) as part:
        figure.savefig(part, format="png")


def contact_sheet(rows, heads, path, title=""):
    """Draws items in rows and columns: words as words, sounds as curves.

    Args:
        rows: list of lists of `mdnn.tokens.items.Item`, all of one length; `None` for nothing.
        heads: list of strings, what stands above the columns.
        path: the PNG to write.
        title: text above.
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
                axes.set_title(_drawable(head), fontsize=9, parse_math=False)
            if item is not None:
                _draw(axes, item)
    figure.suptitle(_shown(title), fontsize=10, parse_math=False)
    with replacing(path) as part:
        figure.savefig(part, format="png")


def _drawable(text):
    """Replaces characters that cannot be printed or that the font lacks.

    matplotlib warns of each of them; warnings' filters are those of the whole process.
    """
    font = matplotlib.font_manager.get_font(matplotlib.font_manager.findfont(None))
    return "".join(c if c.isprintable() and font.get_char_index(ord(c)) else "\ufffd" for c in text)


def _shown(title):
    """A title in one printable line that fits the picture: a long one, a path, keeps its end."""
    title = _drawable("".join(c if c.isprintable() else " " for c in title))
    if len(title) <= TITLE:
        return title
    start = TITLE // 3
    return f"{title[:start]}…{title[start + 1 - TITLE :]}"


def _draw(axes, item):
    if item.kind == "text":
        text = "\n".join(textwrap.wrap(_drawable(item.value[:LETTERS]), LINE)) + "…" * (
            len(item.value) > LETTERS
        )
        place = {"x": 0.5, "y": 0.5, "ha": "center", "va": "center", "fontsize": 9}
        axes.text(s=text, **place, transform=axes.transAxes, parse_math=False, clip_on=True)
    elif item.kind == "audio":
        axes.plot(item.value, linewidth=0.6, color="#1f4e8c")
        axes.set_ylim(-32_768, 32_767)
    else:
        # A film's pictures stand side by side.
        value = np.concatenate(list(item.value), axis=1) if "video" in item.kind else item.value
        axes.imshow(value, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
