"""Counts the cost of training and decoding on each device of a mesh, without compiling."""

import dataclasses
import math

from mdnn.config.tandem_tables import Tandem
from mdnn.layers.multidim_dense import MultidimDense
from mdnn.layers.slabs import count_slabs
from mdnn.models.builder import build
from mdnn.runs.inspection import operations_and_values, placeholder_words
from mdnn.training.mixed_precision import resolved

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}

WITH_GRADIENTS = 1.65
"""Memory of what layers write and of gradients of it, relative to the former: measured on the
compiled programs of tests/training/test_mesh_plan.py."""

PASSES = 3
"""Passes of a step in multiply-adds of the forward pass: backwards two products for each."""


class CountedCost:
    """Counts the cost of a network, or of networks in tandem, on meshes of devices.

    Args:
        config: `mdnn.Config`; its own mesh is not used.

    Attributes:
        members: int, networks that are trained side by side.
        parameters: int, weights of all of them; the counts below are of one.
        operations, values: ints, multiply-adds of a context and values that its layers write.
        classes: int, scores of a position.
    """

    def __init__(self, config):
        self.config, self.members = config, max(1, config.tandem.members)
        one = dataclasses.replace(config, tandem=Tandem())
        self.network = build(one, placeholder_words(one))
        self.parameters = self.members * self.network.count_params()
        self.operations, self.values = operations_and_values(self.network)
        self.classes = self.network.output.shape[-1]
        self.item = BYTES[resolved(config.train.precision)]

    def step(self, mesh):
        """Returns the cost of a training step on one device.

        - `operations`: floating-point operations, two per multiply-add: forwards, twice as many
          backwards, and forwards once more with `backbone.remat`.
        - `bytes`: weights with the optimizer's state before and after the step, gradients, and what
          the layers write: all of it, or with `backbone.remat` the inputs of all layers and all of
          the largest one; of scores those of a slab.
        - `exchanged`: for each product along the divided axis two all-to-alls of its tensor
          forwards and two backwards (two more with `backbone.remat`), and sums of the gradients
          over the shares of the batch and of the axis.

        A device has its share of members in tandem. Their exact exchange sums the probabilities of
        all positions over the devices. With `tandem.stale` each device also holds a copy of all
        members' weights, which it gathers every `stale` steps, and runs all members forwards.

        Args:
            mesh: `mdnn.config.mesh_table.Mesh`.

        Returns:
            Dict of ints.
        """
        config, members = self.config, self.members / mesh.members
        examples = config.train.batch_size / mesh.batch
        share = examples / mesh.axis_shares
        remat = config.backbone.remat
        passes = PASSES + remat
        states = 2 if config.train.optimizer.name in ("adamw", "adam", "muon") else 1
        states += config.train.ema_decay > 0
        held = self.parameters / mesh.members
        weights = 4 * held * (2 * (1 + states) + 1)
        stored = self.item * self._stored_values(remat) * share
        stored += 4 * WITH_GRADIENTS * self.classes * self._scored_positions(mesh)
        exchanged = self.item * self._divided_values() * share * (4 + 2 * remat)
        exchanged = exchanged if mesh.axis is not None else 0
        sums = (mesh.batch > 1) + (mesh.axis is not None)
        gradients = 4 * held * sums
        operations, opinions = passes * members * self.operations * share, 0
        if config.tandem.exchange and config.tandem.stale:
            weights += 4 * self.parameters
            weights += 4 * self.members * self.classes * self._scored_positions(mesh)
            operations += self.members * self.operations * share
            opinions = 4 * self.parameters / config.tandem.stale
        elif config.tandem.exchange:
            opinions = 4 * self.classes * config.context.positions * share
        opinions = opinions if mesh.members > 1 else 0
        return {
            "bytes": round(weights + members * stored + self._batch_bytes() * share),
            "operations": round(2 * operations),
            "exchanged": round(members * exchanged + gradients + opinions),
        }

    def writing(self, mesh):
        """Returns the cost of writing one character on one device, averaged over a context.

        The caches of a context are what its layers mix: they are divided as the positions are. A
        character's sums along an axis cost what they cost in a forward pass; those along the
        divided axis are added over its devices.

        Args:
            mesh: `mdnn.config.mesh_table.Mesh`.

        Returns:
            Dict of ints; `bytes` holds the weights and the caches of one context, of all members in
            tandem.
        """
        positions = self.config.context.positions
        caches = self.item * sum(math.prod(shape) for shape in self._mixed_shapes())
        exchanged = self.item * self._divided_values() / positions
        return {
            "bytes": round(4 * self.parameters + self.members * caches / mesh.axis_shares),
            "operations": round(2 * self.members * self.operations / positions),
            "exchanged": round(exchanged) if mesh.axis is not None else 0,
        }

    def _stored_values(self, remat):
        """Returns the values of a context that a step stores for gradients, without scores."""
        if not remat:
            return WITH_GRADIENTS * (self.values - self.config.context.positions * self.classes)
        network, positions = self.network, self.config.context.positions
        shape = (None, *network.grid, network.width)
        largest = max(block.values(shape) for block in network.blocks)
        inputs = positions * network.width * (len(network.blocks) + 2)
        return inputs + WITH_GRADIENTS * largest

    def _scored_positions(self, mesh):
        """Returns the largest number of positions that a device scores at once."""
        positions, slab = self.config.context.positions, self.config.backbone.slab
        examples = self.config.train.batch_size // mesh.batch
        if mesh.axis is not None:
            # Slabs of all positions of a device.
            positions, examples = examples * positions // mesh.axis_shares, 1
        return examples * math.ceil(positions / count_slabs(positions, slab))

    def _batch_bytes(self):
        """Returns the bytes of one example: tokens and targets, 8 integers each."""
        return 2 * 8 * 4 * self.config.context.positions

    def _mixed_shapes(self):
        """Yields the shape of one context for every use of a mixer."""
        for block in self.network.blocks:
            if hasattr(block, "mixing_uses"):
                width = block.mixing_width(self.network.width)
                for _ in block.mixing_uses():
                    yield (*self.network.grid, width)

    def _divided_values(self):
        """Returns the values of all tensors of a context that are mixed along its first axis."""
        total = 0
        for block in self.network.blocks:
            if not hasattr(block, "mixing_uses"):
                continue
            size = math.prod(self.network.grid) * block.mixing_width(self.network.width)
            for layer, _ in block.mixing_uses():
                if isinstance(layer, MultidimDense):
                    steps = {step for term in layer.plan.terms for step in term}
                    total += size * sum(step.axis == 1 for step in steps)
        return total
