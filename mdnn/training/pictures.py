"""The loss curve as a picture."""

import csv

import matplotlib.figure

from mdnn.files import replacing


def read_metrics(path):
    """The rows of a run's metrics.csv as a dict of lists of floats (None where empty).

    Without a file or rows the dict is empty.
    """
    if not path.is_file():
        return {}
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = rows[0] if rows else ()
    return {name: [float(row[name]) if row[name] else None for row in rows] for name in names}


def loss_curve(metrics, path, title=""):
    """Draws nats per character against seconds.

    Args:
        metrics: what `read_metrics` returns.
        path: the PNG to write.
        title: text above.
    """
    figure = matplotlib.figure.Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    seconds, train = metrics["seconds"], metrics["train_nats"]
    axes.plot(seconds, train, color="#9db8d9", linewidth=1, label="training batches")
    checks = [
        (s, v) for s, v in zip(seconds, metrics["validation_nats"], strict=True) if v is not None
    ]
    if checks:
        axes.plot(*zip(*checks, strict=True), color="#1f4e8c", marker="o", label="validation")
    low = min(v for v in [*train, *(v for _, v in checks)] if v is not None)
    axes.set(xlabel="seconds", ylabel="nats per character", title=title)
    axes.set_ylim(max(0.0, low - 0.15), min(max(train), low + 2.5))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    with replacing(path) as part:
        figure.savefig(part, format="png")
