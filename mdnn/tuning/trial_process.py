"""Trains one trial of a search in a process of its own: `mdnn train`."""

import contextlib
import json
import os
import signal
import subprocess
import sys

from mdnn.errors import MdnnError
from mdnn.files import write_text
from mdnn.training.metrics_log import read_metrics

POLL_SECONDS = 0.3


class TrialProcess:
    """Starts or continues the training of a trial.

    A trial is an ordinary run: `mdnn inspect`, `mdnn generate` and `mdnn train --resume` take its
    folder. Each trial runs in its own process, with its own threads, and frees its memory when
    it ends.

    Args:
        path: `pathlib.Path` of the run folder; the config `<path>.toml` and the log `<path>.log`
            lie beside it.
        config: `mdnn.Config` of the trial, or `None` to continue a trial that was stopped.
    """

    def __init__(self, path, config):
        self.path = path
        self.log = path.with_name(path.name + ".log")
        source = path.with_name(path.name + ".toml")
        resume = config is None and path.exists()
        if config is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(source, config.to_toml())
        words = [sys.executable, "-m", "mdnn", "train", str(source), "--out", str(path), "--json"]
        # A group of its own: Ctrl-C reaches the search alone, which then stops the trial cleanly.
        group = (
            {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
            if os.name == "nt"
            else {"start_new_session": True}
        )
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                words + ["--resume"] * resume,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                **group,
            )

    def checks(self):
        """Yields the validation losses so far whenever there is a new one, until the end.

        Also yields, without a new one, every `POLL_SECONDS`, so that the caller can look at the
        time.

        Yields:
            List of floats in nats per unit.
        """
        while self.process.poll() is None:
            yield self.losses()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(POLL_SECONDS)
        yield self.losses()

    def losses(self):
        """Returns the validation losses so far, a list of floats in nats per unit."""
        # A row may be half written: the next read gets it whole.
        with contextlib.suppress(MdnnError, OSError):
            return [v for v in read_metrics(self.path).get("validation_loss", []) if v is not None]
        return []

    def stop(self):
        """Stops the training, which saves a checkpoint first, and waits for its end."""
        number = signal.CTRL_BREAK_EVENT if os.name == "nt" else signal.SIGTERM
        with contextlib.suppress(OSError):
            self.process.send_signal(number)
        self.process.communicate()

    def result(self):
        """Waits for the end of the training.

        Returns:
            dict that `mdnn train --json` printed; `None` if the training was refused or failed.
        """
        answer, _ = self.process.communicate()
        if self.process.returncode:
            return None
        return json.loads(answer)

    def refusal(self):
        """Returns the last line of the log, a str: why a training was refused or failed."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        lines = [line.strip() for line in lines if line.strip()]
        return lines[-1].removeprefix("mdnn: error: ") if lines else "no reason was given"


def trained_seconds(path):
    """Returns the seconds of training of a run folder, a float."""
    with contextlib.suppress(MdnnError, OSError):
        return (read_metrics(path).get("seconds") or [0.0])[-1]
    return 0.0
