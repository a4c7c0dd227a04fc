"""Devices that divide a batch, and an axis of the grid or members, among themselves."""

import contextlib

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from mdnn.config.mesh_table import BATCH, MEMBERS
from mdnn.errors import MdnnError
from mdnn.layers.axis_product import DividedAxis, dividing
from mdnn.training.mixed_precision import all_layers

EXAMPLES = ("tokens", "targets", "weights")
"""Names of the arrays of a batch whose second axis is that of the positions."""


class DeviceMesh:
    """Places arrays on the devices of a mesh.

    Weights are on every device; with shares of members in tandem each device has those of its
    members, with the optimizer's state of them. Batches are divided by example and, with shares of
    an axis, by position: the slowest axis of a grid is the outermost of its positions, so that a
    share of it is a run of neighbors.

    Args:
        table: `mdnn.config.mesh_table.Mesh`.
        devices: list of JAX devices; `None` for all.

    Attributes:
        table: as above.
        whole: `jax.sharding.NamedSharding` of arrays that every device has as a whole.
        examples, positions: of arrays `[batch, ...]` and `[batch, positions, ...]`.
        stacked: of arrays `[members, ...]`.

    Raises:
        MdnnError: another number of devices than the mesh has shares.
    """

    def __init__(self, table, devices=None):
        devices = jax.devices() if devices is None else devices
        if len(devices) != table.devices:
            raise MdnnError(
                f"mesh: {table} takes {table.devices} devices, this run has {len(devices)} "
                f"({devices[0].platform}, processes: {jax.process_count()}): expected other shares "
                "or another number of processes"
            )
        self.table = table
        axis = MEMBERS if table.members > 1 else table.axis or "positions"
        shape = (table.batch, table.axis_shares * table.members)
        self._axis = axis
        # The positions of a context lie on neighboring devices.
        self.mesh = jax.sharding.Mesh(np.array(devices).reshape(shape), (BATCH, axis))
        self.whole = self._sharding()
        self.examples = self._sharding(BATCH)
        self.positions = self.examples if table.members > 1 else self._sharding(BATCH, axis)
        self.stacked = self._sharding(MEMBERS) if table.members > 1 else self.whole
        self.each = self._sharding((BATCH, axis))

    def _sharding(self, *axes):
        return NamedSharding(self.mesh, PartitionSpec(*axes))

    def divided(self, model):
        """Returns a network whose layers compute all positions of a device at once.

        Slabs of a whole context would lie on one device each. The loss has slabs of each device's
        positions.
        """
        if self.table.axis is not None:
            for layer in all_layers(model):
                if hasattr(layer, "slab"):
                    layer.slab = 0
        return model

    def shardings(self, variables, shapes=()):
        """Returns where each of several variables lies, a list.

        Args:
            variables: Keras variables; those of members in tandem have `stacked_axes`.
            shapes: shapes of such variables, of which an optimizer's state has copies.
        """
        return [
            self.stacked
            if getattr(variable, "stacked_axes", 0) or tuple(variable.shape) in shapes
            else self.whole
            for variable in variables
        ]

    def place(self, array, sharding):
        """Returns an array on the devices; all processes have the same one.

        Args:
            array: an array, the whole one.
            sharding: `jax.sharding.NamedSharding`.
        """
        array = np.asarray(array)
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    def replicate(self, array):
        """Returns an array that every device has as a whole; all processes have the same one."""
        return self.place(array, self.whole)

    def whole_members(self, x):
        """Returns a tensor `[examples, ...]`, while tracing, of which devices share no members."""
        batch = BATCH if x.shape[0] % self.table.batch == 0 else None
        spec = self._sharding(batch, *[None] * (x.ndim - 1))
        return jax.lax.with_sharding_constraint(x, spec)

    def own_values(self, values):
        """Returns an array `[devices, n]` with these `n` float32 numbers for each own device.

        The entries of other processes' devices are theirs.
        """
        values = np.asarray(values, "float32")[None]
        shape = (self.table.devices, values.shape[1])
        return jax.make_array_from_callback(shape, self.each, lambda index: values)

    def place_batch(self, batch):
        """Returns a batch of arrays with each device's share of them.

        Args:
            batch: dict of arrays, and of dicts of arrays, the same on all processes.
        """
        return {name: self._place(name, value) for name, value in batch.items()}

    def place_read(self, shapes, read):
        """Returns a batch of which each process reads its own shares alone.

        Args:
            shapes: dict from names in `EXAMPLES` to shapes.
            read: function `(examples, positions)` of two slices that returns a dict of arrays.
        """
        read = _cached(read)
        return {
            name: jax.make_array_from_callback(
                shape, self.positions, lambda index, name=name: read(index[0], index[1])[name]
            )
            for name, shape in shapes.items()
        }

    def _place(self, name, value):
        if isinstance(value, dict):
            return {key: self.replicate(inner) for key, inner in value.items()}
        if name not in EXAMPLES:
            return self.replicate(value)
        value = np.asarray(value)
        return jax.make_array_from_callback(value.shape, self.positions, lambda index: value[index])

    @contextlib.contextmanager
    def sharding(self):
        """Context manager for tracing: products along axes keep the shares of arrays."""
        if self.table.axis is None:
            yield
            return
        table = self.table
        with dividing(DividedAxis(1, table.axis_shares, table.batch, self._constrain)):
            yield

    def _constrain(self, x, axis):
        batch = BATCH if x.shape[0] % self.table.batch == 0 else None
        spec = [batch, *[None] * (x.ndim - 1)]
        spec[axis] = self._axis
        return jax.lax.with_sharding_constraint(x, self._sharding(*spec))


def _cached(read):
    """Returns `read` with a cache of its results by its two slices."""
    results = {}

    def cached(examples, positions):
        key = (examples.start, examples.stop, positions.start, positions.stop)
        if key not in results:
            results[key] = read(examples, positions)
        return results[key]

    return cached
