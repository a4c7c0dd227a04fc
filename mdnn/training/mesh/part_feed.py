"""Supplies batches of texts of which each process reads its own shares alone."""

from mdnn.datasets.batches.text_batches import TextBatches
from mdnn.tasks.feed import BatchFeed


class PartFeed(BatchFeed):
    """Returns batches that lie on the devices of a mesh.

    Args:
        batches: `mdnn.datasets.batches.text_batches.TextBatches` with `reads_parts`.
        devices: `mdnn.training.mesh.device_mesh.DeviceMesh`.
    """

    def __init__(self, batches, devices):
        super().__init__(batches)
        self.devices = devices

    @classmethod
    def of(cls, feed, devices):
        """Returns the feed of the same batches; the feed itself where it needs whole batches."""
        batches = feed.batches
        if type(feed) is BatchFeed and isinstance(batches, TextBatches) and batches.reads_parts:
            return cls(batches, devices)
        return feed

    def batch(self, step):
        return self.devices.place_read(
            self.batches.shapes, lambda rows, columns: self.batches.part_at(step, rows, columns)
        )
