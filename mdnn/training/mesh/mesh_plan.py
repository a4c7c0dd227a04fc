"""Defines `mdnn.plan`: estimates the cost of training on a mesh of devices, without running it."""

import dataclasses
from pathlib import Path

from mdnn.config.load import load_config
from mdnn.config.mesh_table import BATCH, MEMBERS, Mesh, check_mesh, parse_mesh
from mdnn.errors import MdnnError
from mdnn.training.mesh.compiled_cost import compiled_cost
from mdnn.training.mesh.counted_cost import CountedCost

MEMORY = 80.0
"""Memory of a device, in units of 10^9 bytes."""

COMPILE_SECONDS = 300.0


def plan(config, mesh=None, memory=MEMORY, compile_step=True, seconds=COMPILE_SECONDS):
    """Returns the cost of a training step and of decoding on each device of a mesh; runs nothing.

    The figures are counted from the network's layers (`mdnn.training.mesh.counted_cost`). The
    training step is also compiled, if JAX is installed, for as many parts of this machine's
    processor as the mesh has devices: a program of shapes alone, whose own figures stand beside the
    counted ones.

    Args:
        config: `mdnn.Config`, the path of a config file or the name of a shipped one.
        mesh: str such as `"batch=8,row=128"`; `None` for the config's own.
        memory: float, memory of a device, in units of 10^9 bytes.
        compile_step: bool, whether to compile the step.
        seconds: float, largest time for compiling.

    Returns:
        Dict with

        - `mesh` (dict of shares), `devices`, `grid`, `positions`, `batch_size`, `parameters`;
        - `step` and `writing`: dicts of `bytes`, `operations` and `exchanged`, of one device, for a
          training step and for one written character;
        - `compiled`: the same of the compiled step, with `kinds`; or `reason`: why there is none;
        - `fits`: bool, whether a device has the memory for the step (the larger of both figures);
        - `smallest`: shares of the smallest mesh whose devices have it, as counted; `None` if none
          has.

    Raises:
        MdnnError: a config or a mesh that cannot be used.

    Example:

    >>> mdnn.plan("long", "batch=1,plane=8")["fits"]
    True
    """
    if isinstance(config, (str, Path)):
        config = load_config(config)
    if mesh is not None:
        config = dataclasses.replace(config, mesh=parse_mesh(mesh))
        check_mesh(config)
    if not memory > 0:
        raise MdnnError(f"memory: expected gigabytes (10^9 bytes) above 0, received {memory}")
    counted = CountedCost(config)
    step = counted.step(config.mesh)
    compiled = {"reason": "not asked for"}
    if compile_step:
        compiled = compiled_cost(config, seconds)
    largest = max(step["bytes"], compiled.get("bytes", 0))
    smallest = smallest_mesh(config, counted, 1e9 * memory)
    return {
        "mesh": dict(config.mesh.shares),
        "devices": config.mesh.devices,
        "grid": list(config.context.grid),
        "positions": config.context.positions,
        "batch_size": config.train.batch_size,
        "parameters": counted.parameters,
        "memory": memory,
        "step": step,
        "writing": counted.writing(config.mesh),
        "compiled": compiled,
        "fits": largest <= 1e9 * memory,
        "smallest": None if smallest is None else dict(smallest.shares),
    }


def smallest_mesh(config, counted, memory):
    """Returns the mesh of the fewest devices that have the memory for a step, as counted.

    Args:
        config: `mdnn.Config`.
        counted: its `CountedCost`.
        memory: float, bytes of a device.

    Returns:
        `Mesh`, of equal numbers of devices the one with most shares of the batch, which exchange
        least; `None` if no mesh fits.
    """
    axis, size = config.context.axis_names[0], config.context.grid[0]
    if config.tandem.members:
        axis, size = MEMBERS, config.tandem.members
    meshes = [
        Mesh(((BATCH, b), (axis, r)))
        for b in _divisors(config.train.batch_size)
        for r in _divisors(size)
    ]
    fitting = [mesh for mesh in meshes if counted.step(mesh)["bytes"] <= memory]
    return min(fitting, key=lambda mesh: (mesh.devices, -mesh.batch), default=None)


def _divisors(number):
    return [n for n in range(1, number + 1) if number % n == 0]
