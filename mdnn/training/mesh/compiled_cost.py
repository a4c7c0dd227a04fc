"""Compiles a training step for a mesh of devices that need not exist, and reads off its cost.

    python -m mdnn.training.mesh.compiled_cost < config.toml

prints one JSON object. Nothing is computed: arrays are shapes alone, and the devices are as many
parts of this machine's processor as the mesh has.
"""

import contextlib
import json
import os
import subprocess
import sys

from mdnn.errors import MdnnError

MAX_DEVICES = 1024
"""Largest number of devices for which a step is compiled."""


def compiled_cost(config, seconds):
    """Returns the cost of a training step as compiled in a process of its own.

    Args:
        config: `mdnn.Config` with a mesh.
        seconds: float, largest time of the process.

    Returns:
        Dict with `bytes` (memory of one device), `operations` (floating-point operations of one
        device), `exchanged` (bytes that one device exchanges) and `kinds` (of which kinds), or
        with `reason`: why the step was not compiled.
    """
    if config.mesh.devices > MAX_DEVICES:
        return {"reason": f"more than {MAX_DEVICES:,} devices"}
    environment = os.environ | {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(config.mesh.devices),
        # The machine code need not be fast. The disabled pass would let the compiler merge the
        # recomputation for gradients with the first computation.
        "XLA_FLAGS": "--xla_backend_optimization_level=0 "
        "--xla_disable_hlo_passes=cse_barrier_expander",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "mdnn.training.mesh.compiled_cost"],
            input=config.to_toml(),
            env=environment,
            capture_output=True,
            encoding="utf-8",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"reason": f"not compiled within {seconds:.0f} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return {"reason": str(MdnnError(f"not compiled: {lines[-1][:200]}"))}
    return json.loads(done.stdout.splitlines()[-1])


def step_cost(config):
    """Compiles the training step of a config in this process; see `compiled_cost`."""
    from mdnn.models.builder import build
    from mdnn.models.loss import loss_for
    from mdnn.runs.inspection import placeholder_words
    from mdnn.tasks.registry import task_for
    from mdnn.training.mesh.device_mesh import DeviceMesh
    from mdnn.training.mesh.mesh_step import MeshStep
    from mdnn.training.mixed_precision import resolved
    from mdnn.training.optimizers import make_optimizer

    devices = DeviceMesh(config.mesh)
    model = devices.divided(build(config, placeholder_words(config)))
    task, spec = task_for(config), config.train
    optimizer = make_optimizer(spec.optimizer, model.trainable_variables, spec.ema_decay)
    (network, *_) = task.networks(model).values()
    loss_model = task.loss_model(network, loss_for(config))
    if loss_model.uses_target_indices:
        return {"reason": "networks of several modalities are counted alone"}
    step = MeshStep({None: loss_model}, optimizer, resolved(spec.precision), None, None, devices)
    compiled = step.lower(config).compile()
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
    kinds = exchanged(compiled)
    return {
        "bytes": memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        + memory.temp_size_in_bytes,
        "operations": int(cost["flops"]),
        "exchanged": sum(kinds.values()),
        "kinds": kinds,
    }


def exchanged(compiled):
    """Returns the bytes that one device of a compiled program exchanges, by kind."""
    from mdnn.training.mesh.collectives import exchanged_bytes

    return exchanged_bytes(compiled.as_text())


def main():
    """Reads a config from standard input and prints the cost of its step."""
    import tomllib

    from mdnn.config.load import Config

    config = Config.from_dict(tomllib.loads(sys.stdin.read()))
    with contextlib.redirect_stdout(sys.stderr):
        cost = step_cost(config)
    print(json.dumps(cost))


if __name__ == "__main__":
    main()
