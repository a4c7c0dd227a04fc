"""Writes and shows a training's results: checkpoints, metrics, weights, loss curve, samples."""

from mdnn.runs.run_files import write_run
from mdnn.training import checkpoint
from mdnn.training.metrics_log import Metrics, read_metrics, sync
from mdnn.training.plots import loss_curve
from mdnn.training.progress import Ticker
from mdnn.training.signals import signal_name

PICTURE = "loss.png"


class RunOutput:
    """Base of a training: writes its run folder and shows its progress.

    Subclasses set the attributes.

    Attributes:
        run: `mdnn.runs.run_folder.Run` with its network set.
        config: the run's whole `mdnn.Config`, with all stages.
        model, task, optimizer, step, feed, evaluator: the objects that the run trains with.
        progress: `mdnn.training.checkpoint.Progress`.
        mode_losses: `mdnn.training.mode_losses.ModeLosses`.
        display: `mdnn.training.progress.Display`.
    """

    def sections(self):
        """Returns the sections of a checkpoint, a dict of dicts of variables.

        See `mdnn.training.checkpoint.sections_of`.
        """
        return checkpoint.sections_of(self.model, self.optimizer) | self.feed.state()

    def _open_metrics(self):
        """Opens the files of metrics at the current step."""
        return Metrics(self.run.path, self.mode_losses.columns(), self.progress.step)

    def _save_best(self, loss):
        """Saves the current weights as those with the lowest validation loss."""
        checkpoint.save_best(self.run.path, self.model, self.progress.step, loss)

    def _draw(self, metrics, title):
        """Draws the loss curve.

        Errors other than `OSError` are only reported: the run is already saved.
        """
        try:
            loss_curve(metrics, self.run.path / PICTURE, title, self.task.unit)
        except OSError:
            raise
        except Exception as error:
            self.display.say(f"{self.run.path / PICTURE} is not drawn: {error}")

    def save(self):
        """Writes a checkpoint."""
        self.step.sync()
        sync(self.run.path)
        keep = self.run.config.train.checkpoints.keep
        checkpoint.write_checkpoint(self.run.path, self.sections(), self.progress, keep)

    def _sample(self, title):
        """Generates a sample into `samples/` if `train.sample` is set."""
        if self.run.config.train.sample:
            self.step.sync()
            self.task.sample(self.run, self.progress.step, title, self.display.say)

    def _write_run(self):
        """Writes config and weights, and draws the loss curve."""
        stage = self.progress.stage
        write_run(self.run.path, self.config, self.run.words, self.model, stage)
        # Empty if the training stopped before the first row of metrics.csv.
        if metrics := read_metrics(self.run.path):
            title = f"{self.model.count_params():,} parameters, {self.run.config.data.source}"
            self._draw(metrics, title)

    def _show(self, spent, per_step):
        """Shows the progress of the run.

        Args:
            spent: float, spent fraction of the budget.
            per_step: float, mean seconds per step.
        """
        spec = self.run.config.train
        if spec.steps is not None:
            left = (spec.steps - self.progress.step) * per_step
        else:
            left = 60 * spec.minutes - self.progress.seconds
        losses, checked = self.mode_losses.train_losses(self.progress), self.progress.validation
        if not losses:
            return
        speed = self.task.units_per_step / per_step
        validation = self.mode_losses.combined(checked) if checked else None
        loss = self.mode_losses.combined(losses)
        self.display.update(spent, loss, speed, left, self.progress.step, validation)

    def _results(self, number):
        """Evaluates the network and returns the final metrics, a dict; see `train`.

        Args:
            number: int, the signal that stopped the training, or `None`.
        """
        seconds = self.progress.seconds
        total = self.progress.step * self.task.units_per_step
        skips = self.run.config.train.not_finite == "skip"
        skipped = {"skipped": self.progress.skipped} if skips else {}
        ticker = Ticker("evaluating", self.display.show)
        limit = self.run.config.train.final_evaluation
        metrics = self.task.final_metrics(self.evaluator, limit, ticker, self.display.say)
        if self.run.config.train.density:
            metrics["densities"] = self.task.density_losses(self.run)
        return metrics | {
            "parameters": self.model.count_params(),
            "steps": self.progress.step,
            "seconds": round(seconds, 1),
            f"{self.task.unit}s_per_second": round(total / seconds) if seconds else 0,
            "stopped": number is not None,
            "signal": signal_name(number),
            "run": str(self.run.path),
            **skipped,
        }
