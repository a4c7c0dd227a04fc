"""How long a training step takes on several devices of one machine.

Takes steps of one config on one device, then with shares of the batch and of the slowest axis, and
prints milliseconds per step (medians), characters/s, and the speed relative to one device. A CPU is
taken as 8 devices, which share its cores: the figures then say what dividing costs, not what it
brings.

    python benchmarks/devices.py
    python benchmarks/devices.py configs/long.toml --seconds 5 --json devices.json
"""

import os
import statistics
import sys
import time

from benchmark_runs import CONFIGS, benchmark_parser, timed, write_figures

os.environ["KERAS_BACKEND"] = "jax"
# Only the CPU has so many devices because of this; before JAX is imported.
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")


def main():
    """Prints the table; returns the exit status."""
    parser = benchmark_parser(__doc__, "set", "json", seconds=5.0)
    grid = CONFIGS / "text-grid.toml"
    parser.add_argument("config", nargs="?", default=grid, help="a config of texts (text-grid)")
    options = parser.parse_args()
    import jax

    from mdnn import MdnnError, load_config

    count = jax.device_count()
    axis = load_config(options.config, options.set).context.axis_names[0]
    meshes = {(1, 1), (count, 1), (1, count), (max(1, count // 2), min(2, count))}
    rows, skipped = [], []
    for batch, shares in sorted(meshes, key=lambda mesh: (mesh[0] * mesh[1], mesh)):
        words = [f"mesh.batch={batch}", f"mesh.{axis}={shares}"]
        try:
            config = load_config(options.config, [*options.set, *words])
        except MdnnError as error:
            skipped.append(str(error))
            continue
        seconds = step_seconds(config, options.seconds)
        rows.append({"batch": batch, axis: shares, "seconds": seconds})
    characters = config.train.batch_size * config.context.positions
    device = jax.devices()[0]
    print(f"{count} devices: {device.platform}, {device.device_kind}\n")
    print(f"| batch | {axis} | ms per step | characters/s | speed |\n|---|---|---|---|---|")
    for row in rows:
        speed = rows[0]["seconds"] / row["seconds"]
        print(
            f"| {row['batch']} | {row[axis]} | {1e3 * row['seconds']:.1f} | "
            f"{characters / row['seconds']:,.0f} | {speed:.2f} |"
        )
    for reason in skipped:
        print(f"left out: {reason}")
    write_figures(options.json, {"rows": rows})
    return 0


def step_seconds(config, seconds):
    """Returns the median time of a training step on the first devices, a float.

    Args:
        config: `mdnn.Config` with a mesh.
        seconds: float, time to measure for, at least three steps.
    """
    import jax

    from mdnn import build
    from mdnn.models.loss import loss_for
    from mdnn.tasks import task_for
    from mdnn.training.mesh.device_mesh import DeviceMesh
    from mdnn.training.mixed_precision import resolved
    from mdnn.training.optimizers import make_optimizer
    from mdnn.training.steps.step import make_step

    task = task_for(config)
    devices = DeviceMesh(config.mesh, jax.devices()[: config.mesh.devices])
    model = devices.divided(build(config, task.words))
    spec, precision = config.train, resolved(config.train.precision)
    optimizer = make_optimizer(spec.optimizer, model.trainable_variables, spec.ema_decay, precision)
    networks, batches = task.networks(model), task.batches
    step = make_step(
        networks, loss_for(config), optimizer, batches, precision=precision, devices=devices
    )

    def take(number):
        begun = time.perf_counter()
        name = batches.objective(number)
        float(step(batches.at(number), spec.optimizer.learning_rate, name))
        return time.perf_counter() - begun

    take(0)
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        times.append(take(1 + len(times)))
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(timed(main))
