"""Implements the training step on several devices, on JAX."""

import collections
import time

import jax
import numpy as np

from mdnn.tokens.features import NUM_FEATURES
from mdnn.training.steps.step_jax import JaxStep


class MeshStep(JaxStep):
    """Takes one optimizer step per call on all devices of a mesh.

    All processes call it with the batches of the same steps. Gradients and losses are those of the
    whole batch. Shares of members in tandem stay on their devices until `sync`, which gathers them.
    With every step the processes also agree on the time of the first of them and on
    whether one received a signal; what they agreed on is known one step later.

    Args:
        loss_models, optimizer, precision, batches, strategy: see `JaxStep`.
        devices: `mdnn.training.mesh.device_mesh.DeviceMesh`.
    """

    def __init__(self, loss_models, optimizer, precision, batches, strategy, devices):
        self.devices = devices
        self.begun = time.perf_counter()
        self.leads = jax.process_index() == 0
        self.signal = 0
        # Seconds and signal that the processes agreed on: being exchanged, and known.
        self.agreed, self.known = collections.deque(), (0.0, 0)
        if devices.table.members > 1:
            for loss_model in loss_models.values():
                loss_model.whole_members = devices.whole_members
        self.gather = jax.jit(lambda arrays: arrays, out_shardings=devices.whole)
        super().__init__(loss_models, optimizer, precision, batches, strategy)

    def jitted(self, step):
        def shared(trainable, fixed, state, batch, rate, control):
            with self.devices.sharding():
                value, fault, *values = step(trainable, fixed, state, batch, rate)
            return value, fault, *map(list, values), control.max(axis=0)

        whole = self.devices.whole
        return jax.jit(shared, out_shardings=(whole, whole, *self.shardings(), whole))

    def owners(self):
        """Returns the variables whose values a step changes, three lists; see `JaxStep.values`."""
        first = self.first
        return first.trainable_variables, first.non_trainable_variables, self.optimizer.variables

    def shardings(self):
        """Returns where these variables lie, three lists."""
        trainable, fixed, state = self.owners()
        shapes = {tuple(v.shape) for v in trainable if getattr(v, "stacked_axes", 0)}
        devices = self.devices
        return [
            devices.shardings(trainable),
            devices.shardings(fixed),
            devices.shardings(state, shapes),
        ]

    def __call__(self, batch, rate, name=None):
        if not self.values:
            self.values = self.read_values()
        batch = self.shared_batch(batch, name)
        rate, control = np.float32(rate), self.control()
        value, self.fault, *self.values, agreed = self.compiled[name](
            *self.values, batch, rate, control
        )
        self.agreed.append(agreed)
        while len(self.agreed) > 1:
            seconds, number = np.asarray(self.agreed.popleft()).tolist()
            self.known = seconds, int(number)
        return value

    def shared_batch(self, batch, name=None):
        """Returns a batch, as the feed supplies it, on the devices."""
        loss_model = self.loss_models[name]
        if isinstance(batch["tokens"], jax.Array):
            return batch
        batch = loss_model.with_target_indices(batch, padded=True, sizes=self.sizes[id(loss_model)])
        return self.devices.place_batch(batch)

    def read_values(self):
        """Returns the values of all variables on the devices; see `JaxStep.values`."""
        place = self.devices.place
        return [
            [place(v.value, where) for v, where in zip(variables, shardings, strict=True)]
            for variables, shardings in zip(self.owners(), self.shardings(), strict=True)
        ]

    def lower(self, config):
        """Returns the step's program for shapes alone, a `jax.stages.Lowered`; nothing is computed.

        Args:
            config: `mdnn.Config` of a task whose batches are `tokens` and `targets`.
        """
        devices, spec = self.devices, jax.ShapeDtypeStruct
        values = [
            [spec(v.shape, v.dtype, sharding=one) for v, one in zip(*pair, strict=True)]
            for pair in zip(self.owners(), self.shardings(), strict=True)
        ]
        shape = (config.train.batch_size, config.context.positions)
        batch = {
            name: spec((*shape, NUM_FEATURES), "int32", sharding=devices.positions)
            for name in ("tokens", "targets")
        }
        if config.train.objectives.whole:
            batch["weights"] = spec(shape, "float32", sharding=devices.positions)
        if config.tandem.exchange:
            batch["exchange"] = spec(shape[:1], "float32", sharding=devices.examples)
        rate = spec((), "float32", sharding=devices.whole)
        control = spec((config.mesh.devices, 2), "float32", sharding=devices.each)
        (compiled, *_) = self.compiled.values()
        return compiled.lower(*values, batch, rate, control)

    def control(self):
        """Returns this process's contribution to the decision of all processes."""
        seconds = time.perf_counter() - self.begun if self.leads else 0.0
        return self.devices.own_values([seconds, self.signal])

    def sync(self):
        # Variables stay arrays of one device: samples and files need no other process.
        if not self.values:
            return
        values = self.gather(self.values) if self.devices.table.members > 1 else self.values
        self.values = [[np.asarray(value) for value in each] for each in values]
        super().sync()

    def copy_values(self, sources, targets):
        if not self.values:
            super().copy_values(sources, targets)
            return
        places = {
            id(variable): (k, number)
            for k, variables in enumerate(self.owners())
            for number, variable in enumerate(variables)
        }
        placed = [places[id(source)] for source in sources]
        arrays = self.gather([self.values[k][number] for k, number in placed])
        for target, array in zip(targets, arrays, strict=True):
            k, number = places[id(target)]
            self.values[k][number] = array

    def now(self):
        """Returns the seconds since the step was made, as the first process counts them."""
        return self.known[0]

    def stop_number(self, number):
        """Returns the number of a signal that one of the processes received, or `None`.

        Args:
            number: int, the signal that this process received, or `None`.
        """
        self.signal = max(self.signal, number or 0)
        return self.known[1] or None
