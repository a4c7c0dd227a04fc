"""Plots the loss curve."""

import matplotlib.figure

from mdnn.files import replacing
from mdnn.tasks.contact_sheet import shown_title

GROWTH = "#b0603a"


def loss_curve(metrics, path, title="", unit="character"):
    """Plots training and validation losses against seconds of training.

    Dotted lines show where the network grew. Draws nothing if there is no training loss.

    Args:
        metrics: dict as returned by `mdnn.training.metrics_log.read_metrics`.
        path: the PNG file to write.
        title: str, the title.
        unit: str, unit of the task; losses are in nats per `unit`.
    """
    # Rows in which every step was skipped contain no training loss.
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
            mode = name.removeprefix("validation_").removesuffix("_loss")
            style = {"linewidth": 1, "linestyle": "--", "label": f"validation, {mode}"}
        axes.plot(*zip(*checks, strict=True), **style)
    for stage, begin in _stages(metrics):
        axes.axvline(begin, color=GROWTH, linewidth=1, linestyle=":")
        axes.annotate(
            f"grows: stage {stage + 1}",
            # A time and a share of the height, and 3 points beside it.
            (begin, 0.02),
            xycoords=axes.get_xaxis_transform(),
            xytext=(-3, 0),
            textcoords="offset points",
            rotation=90,
            ha="right",
            va="bottom",
            fontsize=8,
            color=GROWTH,
        )
    low = min(shown)
    axes.set(xlabel="seconds", ylabel=f"nats per {unit}")
    axes.set_title(shown_title(title), parse_math=False)
    axes.set_ylim(max(0.0, low - 0.15), min(max(train), low + 2.5))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    with replacing(path) as file:
        figure.savefig(file, format="png")


def _stages(metrics):
    """Returns pairs of a stage of training, from 1 on, and the seconds at which it begins."""
    stages, seconds = metrics.get("stage", ()), metrics["seconds"]
    pairs = zip(seconds, stages, stages[1:], strict=False)
    return [(int(after), begin) for begin, before, after in pairs if before != after]
