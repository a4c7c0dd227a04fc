"""Shows training progress in a Jupyter notebook: a bar, metrics and the loss curve."""

import html
import math
import sys
import time

from mdnn.training.progress import Display, clock

# Seconds between redraws, pixels of the curve, and the colors of the loss curves in the docs.
PAUSE, WIDTH, HEIGHT = 1.0, 560, 180
TRAIN, VALIDATION = "#9db8d9", "#1f4e8c"


def in_notebook():
    """Returns whether this process is the kernel of a Jupyter notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


def make_display(show=True, unit="character"):
    """Returns a `NotebookDisplay` in a Jupyter notebook, otherwise a `Display`."""
    return NotebookDisplay(show, unit=unit) if in_notebook() else Display(show, unit=unit)


class NotebookDisplay(Display):
    """Draws the progress into the cell's output and redraws it about once a second.

    Args:
        show: bool, whether to show anything.
        unit: see `Display`.
        publish: function `(bundle, update)` that displays a dict from MIME types to strings and
            replaces the previous bundle if `update` is true; `None`: IPython's display.
    """

    def __init__(self, show=True, unit="character", publish=None):
        super().__init__(show, sys.stdout, unit=unit)
        self.publish = publish or _Cell()
        self.points, self.checks = [], []
        self.shown, self.last = None, None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        # The last drawing may be older than the last metrics.
        if self.last is not None:
            self._draw()

    def say(self, text):
        """Prints a line into the cell's output."""
        if self.show:
            print(text, flush=True)

    def compiling(self, mode, microbatches):
        """Does nothing: a notebook shows no message while a step compiles."""

    def update(self, fraction, loss, speed, left, step, validation=None):
        """Shows the progress of the run; see `Display.update`."""
        if not self.show:
            return
        self.points.append((fraction, loss))
        if validation is not None and (not self.checks or self.checks[-1][1] != validation):
            self.checks.append((fraction, validation))
        figures = (
            f"{self.stage}step {step:,}   loss {loss:.3f} nats, "
            f"{loss / math.log(2):.3f} bits per {self.unit}"
            f"   {speed:,.0f} {self.unit}s/s   {clock(left)} left"
        )
        if validation is not None:
            figures += f"   validation {validation:.3f}"
        self.last = fraction, figures
        if self.shown is None or time.perf_counter() - self.shown >= PAUSE:
            self._draw()

    def _draw(self):
        fraction, figures = self.last
        value = f"{min(fraction, 1.0):.4f}"
        bar = f'<progress value="{value}" max="1" style="width:{WIDTH}px"></progress>'
        words = f'<div style="font-family:monospace">{html.escape(figures)}</div>'
        bundle = {
            "text/html": f"<div>{bar}{words}{self._curve()}</div>",
            "text/plain": f"{fraction:4.0%}  {figures}",
        }
        self.publish(bundle, update=self.shown is not None)
        self.shown = time.perf_counter()

    def _curve(self):
        """Returns the loss curve as SVG; losses far above the minimum are clipped.

        Returns an empty string for fewer than two points.
        """
        values = [value for _, value in self.points + self.checks if math.isfinite(value)]
        if len(self.points) < 2 or not values:
            return ""
        low = min(values)
        high = max(min(max(values), low + 2.5), low + 1e-6)

        def coordinates(point):
            fraction, value = point
            value = value if math.isfinite(value) else high
            y = (high - min(max(value, low), high)) / (high - low)
            return f"{fraction * WIDTH:.1f},{8 + y * (HEIGHT - 16):.1f}"

        line = " ".join(map(coordinates, self.points))
        dots = "".join(
            '<circle cx="{}" cy="{}" r="3" fill="{}"/>'.format(
                *coordinates(p).split(","), VALIDATION
            )
            for p in self.checks
        )
        return (
            f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="loss">'
            f'<polyline points="{line}" fill="none" stroke="{TRAIN}" stroke-width="1.5"/>{dots}'
            f'<text x="4" y="12" font-size="11">{high:.2f}</text>'
            f'<text x="4" y="{HEIGHT - 4}" font-size="11">{low:.2f} nats</text></svg>'
        )


class _Cell:
    """Publishes bundles to the output of the current notebook cell."""

    def __init__(self):
        self.handle = None

    def __call__(self, bundle, update):
        # Deferred import: IPython is optional.
        from IPython.display import display

        if self.handle is None or not update:
            self.handle = display(bundle, raw=True, display_id=True)
        else:
            self.handle.update(bundle, raw=True)
