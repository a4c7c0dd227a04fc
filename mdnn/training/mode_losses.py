"""Formats the losses of a run's decoding modes as rows of metrics.csv."""

import numpy as np

METRIC_COLUMNS = ("step", "rate", "train_loss", "validation_loss")


class ModeLosses:
    """Averages losses per decoding mode and formats rows of metrics.csv and times.csv.

    Args:
        shares: dict from the trained decoding modes to their shares of the steps.
        units_per_token: float, mean number of units (such as characters) per token.
        staged: bool, whether metrics.csv has a column for the stage of training.
    """

    def __init__(self, shares, units_per_token, staged=False):
        self.shares, self.units_per_token, self.staged = shares, units_per_token, staged

    def columns(self):
        """Returns the column names of metrics.csv; several modes have a column each."""
        several = self.shares if len(self.shares) > 1 else ()
        stage = ["stage"] * self.staged
        return [*METRIC_COLUMNS, *stage, *(f"validation_{mode}_loss" for mode in several)]

    def row(self, progress, rate, checked):
        """Returns a row of metrics.csv and times.csv, a dict from columns to strings.

        Args:
            progress: `mdnn.training.checkpoint.Progress`.
            rate: float, the learning rate.
            checked: dict from modes to validation losses; empty without an evaluation.
        """
        train = progress.train_loss
        row = {
            "step": str(progress.step),
            "seconds": f"{progress.seconds:.3f}",
            "rate": f"{rate:.3e}",
            "train_loss": f"{self.combined(train):.5f}" if train else "",
        }
        if self.staged:
            row["stage"] = str(progress.stage)
        if checked:
            row["validation_loss"] = f"{self.combined(checked):.5f}"
        return row | {f"validation_{mode}_loss": f"{loss:.5f}" for mode, loss in checked.items()}

    def train_losses(self, progress):
        """Returns each mode's mean loss since the last row of metrics.csv.

        A mode without a step since then keeps its previous value. Steps of narrower networks
        (`train.density`) do not count.

        Args:
            progress: `mdnn.training.checkpoint.Progress`.

        Returns:
            dict from modes to losses in nats per unit.
        """
        means = dict(progress.train_loss)
        for mode in self.shares:
            losses = [loss for name, loss in progress.losses if name == mode]
            if losses:
                means[mode] = float(np.mean(losses)) / self.units_per_token
        return means

    def combined(self, losses):
        """Returns the mean of the modes' losses, weighted by their training shares.

        Without these weights the curve would mostly show which mode the last few steps sampled.

        Args:
            losses: dict from modes to losses.
        """
        total = sum(self.shares[mode] for mode in losses)
        return sum(self.shares[mode] * loss for mode, loss in losses.items()) / total
