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
        unit: str, unit of the task; losses are in nats per `unit`, speeds in units per second.
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
                rich.progress.TextColumn("{task.fields[stage]}"),
                console=self.console,
                transient=False,
            )
            self.bar.start()
            self.task = self.bar.add_task("training", total=1.0, stage="", figures="")
        return self

    def __exit__(self, *error):
        if self.bar is not None:
            self.bar.stop()

    def say(self, text):
        """Prints a line above the bar."""
        if self.show:
            self.console.print(text, markup=False)

    def compiling(self, mode, microbatches):
        """Shows on the bar that the first step of a decoding mode is being traced and compiled.

        Args:
            mode: str, the decoding mode.
            microbatches: int, number of microbatches per step.
        """
        if self.bar is not None:
            what = (
                f"compiling ({mode}, {microbatches} microbatches)"
                if microbatches > 1
                else f"compiling ({mode})"
            )
            self.bar.update(self.task, stage=what)

    def compiled(self, mode, microbatches, seconds):
        """Prints the duration of the first step of a decoding mode.

        Args:
            mode, microbatches: see `compiling`.
            seconds: float.
        """
        split = f" as {microbatches} microbatches" if microbatches > 1 else ""
        self.say(f"{mode}: the first step was traced and compiled{split} in {seconds:.1f} s")

    def update(self, fraction, loss, speed, left, step, validation=None):
        """Shows the progress of the run.

        Args:
            fraction: float, completed fraction, 0 to 1.
            loss: float, training loss in nats per `unit`.
            speed: float, units per second.
            left: float, remaining seconds.
            step: int, number of completed steps.
            validation: float, last validation loss in nats per `unit`, or `None`.
        """
        if not self.show:
            return
        stage = f"{self.stage}step {step:,}"
        if validation is not None:
            stage += f"  validation {validation:.3f}"
        figures = (
            f"{loss:.3f} nats  {loss / math.log(2):.3f} bits/{self.unit}  "
            f"{speed:,.0f} {self.unit}s/s  {clock(left)} left"
        )
        if self.bar is not None:
            self.bar.update(self.task, completed=min(fraction, 1.0), stage=stage, figures=figures)
        elif int(fraction * self.lines) > self.printed:
            self.printed = int(fraction * self.lines)
            self.say(f"{fraction:4.0%}  {figures}  {stage}")


class Ticker:
    """Progress callback that rewrites one line on a terminal; silent on other streams.

    Args:
        what: str, label of the line.
        show: bool, whether to show anything.
        stream: output stream; `None`: standard error.

    Call arguments:
        fraction: float, completed fraction, 0 to 1.
    """

    def __init__(self, what, show=True, stream=None):
        stream = stream or sys.stderr
        self.show = show and stream is not None and stream.isatty()
        self.stream = None if stream is None else Unfailing(stream)
        self.what = what
        self.start = time.perf_counter()

    def __call__(self, fraction):
        if not self.show:
            return
        spent = time.perf_counter() - self.start
        left = f"  {clock(spent / fraction - spent)} left" if fraction > 0.02 else ""
        self.stream.write(
            f"\r{self.what} {fraction:4.0%}{left}\x1b[K" if fraction < 1 else "\r\x1b[K"
        )
        self.stream.flush()
