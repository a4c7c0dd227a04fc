"""Shows training progress on a terminal."""

import math
import sys
import time

import rich.console
import rich.progress
import rich.text

from mdnn.standard_streams import Unfailing


class _Bar(rich.progress.Progress):
    """Progress bar with the metrics on a separate line, so that both fit in 80 columns."""

    def get_renderables(self):
        yield from super().get_renderables()
        for task in self.tasks:
            yield rich.text.Text(task.fields["figures"])


def clock(seconds):
    """Formats seconds as `m:ss`, rounded up."""
    seconds = max(0, math.ceil(seconds))
    return f"{seconds // 60}:{seconds % 60:02d}"


class Display:
    """Shows a progress bar on a terminal, or prints progress lines to other streams.

    Args:
        show: bool, whether to show anything.
        stream: output stream; `None`: standard error, which keeps progress out of results on
            standard output.
        lines: int, number of lines that a whole run prints when the stream is not a terminal.
        unit: str, unit of the task; losses are in nats per unit, speeds in units per second.
    """

    def __init__(self, show=True, stream=None, lines=20, unit="character"):
        stream = stream or sys.stderr
        # A closed or full standard error must not end the training.
        file = None if stream is None else Unfailing(stream)
        words = {"highlight": False, "emoji": False, "soft_wrap": True}
        self.console = rich.console.Console(file=file, **words)
        self.show = show and stream is not None
        self.lines = lines
        self.unit = unit
        self.bar = None
        self.printed = -1
        # Words before the step, such as "stage 2 of 4  ".
        self.stage = ""

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
        """Shows on the bar that the first step of a decoding mode is being traced and compiled.

        Args:
            way: str, the decoding mode.
            parts: int, number of microbatches per step.
        """
        if self.bar is not None:
            what = f"compiling ({way}, {parts} microbatches)" if parts > 1 else f"compiling ({way})"
            self.bar.update(self.task, place=what)

    def compiled(self, way, parts, seconds):
        """Prints the duration of the first step of a decoding mode.

        Args:
            way, parts: see `compiling`.
            seconds: float.
        """
        split = f" as {parts} microbatches" if parts > 1 else ""
        self.say(f"{way}: the first step was traced and compiled{split} in {seconds:.1f} s")

    def update(self, part, nats, speed, left, step, validation=None):
        """Shows the progress of the run.

        Args:
            part: float, completed fraction, 0 to 1.
            nats: float, training loss in nats per unit.
            speed: float, units per second.
            left: float, remaining seconds.
            step: int, number of completed steps.
            validation: float, last validation loss in nats per unit, or `None`.
        """
        if not self.show:
            return
        place = f"{self.stage}step {step:,}"
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
    """Progress callback that rewrites one line on a terminal; silent on other streams.

    Args:
        what: str, label of the line.
        show: bool, whether to show anything.
        stream: output stream; `None`: standard error.

    Call arguments:
        part: float, completed fraction, 0 to 1.
    """

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
