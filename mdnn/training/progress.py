"""What a person sees while a network trains, and the figures at the end."""

import math
import sys
import time

import rich.console
import rich.progress
import rich.text

from mdnn.standard_streams import Unfailing


class _Bar(rich.progress.Progress):
    """A bar with figures on a line of their own: beside it they do not fit 80 columns."""

    def get_renderables(self):
        yield from super().get_renderables()
        for task in self.tasks:
            yield rich.text.Text(task.fields["figures"])


def clock(seconds):
    """Seconds as `m:ss`."""
    seconds = max(0, math.ceil(seconds))
    return f"{seconds // 60}:{seconds % 60:02d}"


class Display:
    """A progress bar on a terminal, a line every so often elsewhere, or nothing.

    Args:
        show: whether anything is shown.
        stream: where to; the default is standard error, so that results stay alone on
            standard output.
        lines: where there is no terminal: how many lines a whole run prints.
        unit: what nats are per, and speed is counted in.
    """

    def __init__(self, show=True, stream=None, lines=20, unit="character"):
        stream = stream or sys.stderr
        # A closed or full standard error ends no training.
        file = None if stream is None else Unfailing(stream)
        words = {"highlight": False, "emoji": False, "soft_wrap": True}
        self.console = rich.console.Console(file=file, **words)
        self.show = show and stream is not None
        self.lines = lines
        self.unit = unit
        self.bar = None
        self.printed = -1

    def __enter__(self):
        if self.show and self.console.is_terminal:
            self.bar = _Bar(
                rich.progress.TextColumn("{task.description}"),
                rich.progress.BarColumn(bar_width=20),
                rich.progress.TaskProgressColumn(),
                rich.progress.TextColumn("{task.fields[place]}"),
                console=self.console,
                transient=False,
            )
            self.bar.start()
            self.task = self.bar.add_task("training", total=1.0, place="", figures="")
        return self

    def __exit__(self, *error):
        if self.bar is not None:
            self.bar.stop()

    def say(self, text):
        """Prints a line above the bar."""
        if self.show:
            self.console.print(text, markup=False)

    def compiling(self, way, parts):
        """Shows that the first step of a way to write is traced and compiled.

        Args:
            way: the way's name.
            parts: int, microbatches of a step.
        """
        if self.bar is not None:
            what = f"compiling ({way}, {parts} microbatches)" if parts > 1 else f"compiling ({way})"
            self.bar.update(self.task, place=what)

    def compiled(self, way, parts, seconds):
        """Says how long the first step of a way to write took."""
        split = f" as {parts} microbatches" if parts > 1 else ""
        self.say(f"{way}: the first step was traced and compiled{split} in {seconds:.1f} s")

    def update(self, part, nats, speed, left, step, validation=None):
        """Shows how far the run is.

        Args:
            part: the part that is done, 0 to 1.
            nats: training loss, nats per character (or whatever the unit is).
            speed: characters a second.
            left: seconds left.
            step: steps done.
            validation: last validation loss in nats per character, or None.
        """
        if not self.show:
            return
        place = f"step {step:,}"
        if validation is not None:
            place += f"  validation {validation:.3f}"
        figures = (
            f"{nats:.3f} nats  {nats / math.log(2):.3f} bits/{self.unit}  "
            f"{speed:,.0f} {self.unit}s/s  {clock(left)} left"
        )
        if self.bar is not None:
            self.bar.update(self.task, completed=min(part, 1.0), place=place, figures=figures)
        elif int(part * self.lines) > self.printed:
            self.printed = int(part * self.lines)
            self.say(f"{part:4.0%}  {figures}  {place}")


class Ticker:
    """A part-done callback that prints one rewritten line on a terminal, else nothing."""

    def __init__(self, what, show=True, stream=None):
        stream = stream or sys.stderr
        self.show = show and stream is not None and stream.isatty()
        self.stream = None if stream is None else Unfailing(stream)
        self.what = what
        self.start = time.perf_counter()

    def __call__(self, part):
        if not self.show:
            return
        spent = time.perf_counter() - self.start
        left = f"  {clock(spent / part - spent)} left" if part > 0.02 else ""
        self.stream.write(f"\r{self.what} {part:4.0%}{left}\x1b[K" if part < 1 else "\r\x1b[K")
        self.stream.flush()
