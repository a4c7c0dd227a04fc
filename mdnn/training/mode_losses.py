"""The losses of a run's decoding modes over its steps, as rows of metrics.csv."""

import numpy as np

COLUMNS = ("step", "rate", "train_loss", "validation_loss")


class ModeLosses:
    """Takes means of losses, and makes rows of metrics.csv and times.csv of them.

    Args:
        shares: dict from the decoding modes that are trained to their shares of the steps.
        units_per_token: float, mean number of units (characters) in a token.
    """

    def __init__(self, shares, units_per_token):
        self.shares, self.units_per_token = shares, units_per_token

    def columns(self):
        """Returns the names of the columns of metrics.csv; each of several modes has its own."""
        several = self.shares if len(self.shares) > 1 else ()
        return [*COLUMNS, *(f"validation_{mode}_loss" for mode in several)]

    def row(self, progress, rate, checked):
        """Returns a row of metrics.csv and times.csv, a dict from columns to texts.

        Args:
            progress: `mdnn.training.checkpoint.Progress`.
            rate: float, the learning rate.
            checked: dict from modes to their validation losses; empty where none were taken.
        """
        train = progress.train_loss
        row = {
            "step": str(progress.step),
            "seconds": f"{progress.seconds:.3f}",
            "rate": f"{rate:.3e}",
            "train_loss": f"{self.combined(train):.5f}" if train else "",
        }
        if checked:
            row["validation_loss"] = f"{self.combined(checked):.5f}"
        return row | {f"validation_{mode}_loss": f"{loss:.5f}" for mode, loss in checked.items()}

    def train_losses(self, progress):
        """Returns the mean nats per unit of each mode's last steps, a dict.

        Args:
            progress: `mdnn.training.checkpoint.Progress`.
        """
        means = dict(progress.train_loss)
        for mode in dict(progress.losses):
            losses = [loss for name, loss in progress.losses if name == mode]
            means[mode] = float(np.mean(losses)) / self.units_per_token
        return means

    def combined(self, losses):
        """Returns the mean of a dict from modes to losses, weighted by their training shares.

        Otherwise the curve mostly shows which mode the last few steps sampled.
        """
        total = sum(self.shares[mode] for mode in losses)
        return sum(self.shares[mode] * loss for mode, loss in losses.items()) / total
