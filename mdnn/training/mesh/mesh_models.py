"""Evaluates models on all devices of a mesh."""

import jax
import numpy as np


class MeshModel:
    """Computes a model's outputs on all devices; all processes call it with the same batches.

    Args:
        model: `keras.Model` of dicts of arrays `[batch, positions, ...]`.
        devices: `mdnn.training.mesh.device_mesh.DeviceMesh`.
    """

    def __init__(self, model, devices):
        self.model, self.devices = model, devices
        # Arrays of the variables and their copies on the devices.
        self.copies = {}

        def compute(trainable, fixed, batch):
            with devices.sharding():
                return model.stateless_call(trainable, fixed, batch, training=False)[0]

        self.compute = jax.jit(compute, out_shardings=devices.whole)

    def predict_on_batch(self, batch):
        """Returns the outputs for a batch, an array."""
        count = len(next(iter(batch.values())))
        # Examples of zeros fill the shares.
        more = -count % self.devices.table.batch
        if more:
            batch = {
                name: np.concatenate([value, np.zeros_like(value[:1]).repeat(more, axis=0)])
                for name, value in batch.items()
            }
        trainable = self._copies(self.model.trainable_variables)
        fixed = self._copies(self.model.non_trainable_variables)
        outputs = self.compute(trainable, fixed, self.devices.place_batch(batch))
        return np.asarray(outputs)[:count]

    def _copies(self, variables):
        shardings = self.devices.shardings(variables)
        return [self._copy(*pair) for pair in zip(variables, shardings, strict=True)]

    def _copy(self, variable, sharding):
        before, copy = self.copies.get(id(variable), (None, None))
        if before is not variable.value:
            copy = self.devices.place(variable.value, sharding)
            self.copies[id(variable)] = variable.value, copy
        return copy
