"""Trains on a mesh of devices: every process computes, the first one writes."""

import dataclasses

from mdnn.tasks.text_evaluator import TextEvaluator
from mdnn.training import checkpoint
from mdnn.training.mesh.mesh_models import MeshModel
from mdnn.training.mesh.part_feed import PartFeed
from mdnn.training.trainer import Training


class MeshTraining(Training):
    """Trains the network of one run on the devices of a mesh; all processes make one.

    The processes take the same steps and evaluate the same batches, each its share of them. The
    first one writes checkpoints, metrics, samples and weights.

    Args:
        run, task, display, config: see `Training`.
        devices: `mdnn.training.mesh.device_mesh.DeviceMesh`.
        group: `mdnn.training.mesh.process_group.ProcessGroup`.
    """

    def __init__(self, run, task, display, config, devices, group):
        self.devices, self.group = devices, group
        super().__init__(run, task, display, config)

    def _set_up(self, run, task):
        super()._set_up(run, task)
        if isinstance(self.evaluator, TextEvaluator):
            models = {id(model): model for model in self.evaluator.models.values()}
            shared = {number: MeshModel(model, self.devices) for number, model in models.items()}
            self.evaluator.models = {
                mode: shared[id(model)] for mode, model in self.evaluator.models.items()
            }
        if not self.step.first.uses_target_indices:
            self.feed = PartFeed.of(self.feed, self.devices)

    def share(self):
        """Gives all processes the progress and the values of all variables of the first one."""
        progress = self.group.from_first(lambda: dataclasses.asdict(self.progress))
        self.progress = checkpoint.Progress(**progress)
        self.group.share_values(
            [v for section in self.sections().values() for v in section.values()]
        )
        if not self.group.leads:
            self.plan.restored(self.progress.step)
            self.feed.restored()

    def _now(self):
        return self.step.now()

    def _stop_number(self, number):
        return self.step.stop_number(number)

    def save(self):
        self.step.sync()
        if self.group.leads:
            super().save()

    def _sample(self, title):
        if self.group.leads:
            super()._sample(title)

    def _write_run(self):
        if self.group.leads:
            super()._write_run()

    def _open_metrics(self):
        return super()._open_metrics() if self.group.leads else _NoMetrics()

    def _save_best(self, loss):
        if self.group.leads:
            super()._save_best(loss)


class _NoMetrics:
    """Takes rows of metrics and writes nothing."""

    def write(self, row):
        """Does nothing."""
