"""The table and the picture of a search."""

import csv
import io

import matplotlib.figure
import matplotlib.ticker

from mdnn.files import replacing, write_text

TABLE, PICTURE = "trials.csv", "search.png"
MAX_LABEL = 28


def trial_words(row):
    """Returns the result of a trial in words, one line.

    Args:
        row: dict, see `mdnn.tuning.study.Study.rows`.
    """
    values = ", ".join(f"{key}={value}" for key, value in row["values"].items())
    if row["state"] == "failed":
        return f"{values}: failed: {row.get('reason', 'no reason was given')}"
    return f"{values}: {row['loss']:.4f} nats, {row['state']} after {row['seconds']:.0f} s"


def trial_table(choices, rows):
    """Returns the rows as lines of a table, best first.

    Args:
        choices: dict from the tried keys to their values.
        rows: list of dicts, see `mdnn.tuning.study.Study.rows`.
    """
    head = ["trial", "nats", "seconds", "state", *choices]
    lines = [
        [
            str(row["trial"]),
            "-" if row["loss"] is None else f"{row['loss']:.4f}",
            f"{row['seconds']:.0f}",
            row["state"],
            *(row["values"].get(key, "") for key in choices),
        ]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [head, *lines]
    ]


def write_report(folder, choices, rows):
    """Writes `trials.csv` and `search.png` into the folder of a search.

    Args:
        folder: `pathlib.Path`.
        choices, rows: see `table`.
    """
    text = io.StringIO()
    names = ["trial", "state", "loss", "seconds", "steps", "parameters", "reason"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, *choices])
    for row in rows:
        cells = ["" if row.get(name) is None else row[name] for name in names]
        writer.writerow([*cells, *(row["values"].get(key, "") for key in choices)])
    write_text(folder / TABLE, text.getvalue())
    _draw(folder / PICTURE, choices, rows)


def _draw(path, choices, rows):
    """Draws the trials' validation losses by check, and the last ones by the values of each key."""
    shown = [row for row in rows if row["losses"]]
    if not shown:
        return
    size = (4.2 + 2.6 * len(choices), 4)
    figure = matplotlib.figure.Figure(figsize=size, dpi=120, layout="constrained")
    panels = figure.subplots(
        1, 1 + len(choices), squeeze=False, width_ratios=[1.6] + [1] * len(choices)
    )[0]
    low = min(min(row["losses"]) for row in shown)
    high = max(row["losses"][-1] for row in shown)
    margin = 0.1 * (high - low) or 0.1
    # The best is drawn last, above the others.
    for row in reversed(shown):
        best, whole = row is rows[0], row["state"] == "complete"
        color = "#c2571a" if best else "#1f4e8c" if whole else "#b5b5b5"
        checks = range(1, 1 + len(row["losses"]))
        panels[0].plot(checks, row["losses"], color=color, linewidth=2 if best else 1, marker=".")
        for key, axes in zip(choices, panels[1:], strict=True):
            place = choices[key].index(row["values"][key])
            marker = "o" if whole else "x"
            axes.plot(place, row["losses"][-1], marker, color=color, alpha=0.8)
    panels[0].set(xlabel="validation check", ylabel="nats per unit")
    panels[0].set_title("orange: the best; grey: stopped early", fontsize=9)
    panels[0].set_ylim(low - margin, high + 3 * margin)
    panels[0].xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    for key, axes in zip(choices, panels[1:], strict=True):
        labels = [v if len(v) <= MAX_LABEL else v[: MAX_LABEL - 1] + "…" for v in choices[key]]
        axes.set_xticks(range(len(labels)), labels, rotation=30, ha="right", parse_math=False)
        axes.set_title(key, fontsize=9, parse_math=False)
        axes.set_ylim(low - margin, high + 3 * margin)
        axes.set_xlim(-0.5, len(labels) - 0.5)
    for axes in panels:
        axes.grid(alpha=0.25)
    with replacing(path) as part:
        figure.savefig(part, format="png")
