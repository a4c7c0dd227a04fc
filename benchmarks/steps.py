"""How long a training step of each config takes.

Builds each config's network with its loss and optimizer, takes steps on batches of its own text,
in turns, and prints milliseconds per step (medians), characters/s, and the share of the machine's
matrix-product peak (three times the operations that `mdnn inspect` counts, over the time). Each
core computes a part of the batch, as under `mdnn train`, unless `--whole` is said:

    python benchmarks/steps.py
    python benchmarks/steps.py --whole
    KERAS_BACKEND=jax python benchmarks/steps.py configs/text.toml --json steps.json
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from wall import timed

import mdnn
from mdnn.runtime import quiet_import

CONFIGS = ("text", "text-grid", "transformer", "mixer", "paper")


def main():
    """Prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = Path(__file__).parents[1] / "configs"
    parser.add_argument(
        "configs", nargs="*", help="config files", default=[folder / f"{c}.toml" for c in CONFIGS]
    )
    parser.add_argument("--batch", type=int, help="another batch than the configs'")
    parser.add_argument(
        "--whole", action="store_true", help="all cores compute each operation (TensorFlow's way)"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="for each config (default 5)")
    parser.add_argument("--json", help="a file for all figures")
    options = parser.parse_args()
    # Before TensorFlow gets one core for each operation.
    machine = measured_apart()
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        quiet_import(None if options.whole else lambda: mdnn.configure_threads())
    from compiled import medians

    from mdnn import MdnnError

    try:
        steps = {Path(path).name: Steps(path, options.batch) for path in options.configs}
    except MdnnError as error:
        print(f"benchmarks/steps.py: error: {error}", file=sys.stderr)
        return 2
    seconds = medians({name: step.take for name, step in steps.items()}, options.seconds)
    print(
        "| config | batch | parameters | ms per step | characters/s | of peak |\n"
        "|---|---|---|---|---|---|"
    )
    rows = []
    for name, step in steps.items():
        row = step.about | {
            "seconds": seconds[name],
            "characters_per_second": step.characters / seconds[name],
            "of_peak": step.operations / seconds[name] / machine["peak"],
        }
        rows.append({"config": name, **row})
        print(
            f"| {name} | {row['batch']} | {row['parameters']:,} | {1e3 * row['seconds']:.1f} | "
            f"{row['characters_per_second']:,.0f} | {row['of_peak']:.0%} |"
        )
    if options.json:
        text = json.dumps({"machine": machine, "rows": rows}, indent=1)
        Path(options.json).write_text(text, encoding="utf-8")
    return 0


def measured_apart():
    """What `layers.measure_machine` finds in a process of its own, with all cores."""
    script = "import json, layers; print(json.dumps(layers.measure_machine()))"
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": path.rstrip(os.pathsep)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


class Steps:
    """The training steps of a config.

    Args:
        path: a config file.
        batch: int, another batch than the config's; `None` for its own.
    """

    def __init__(self, path, batch):
        from mdnn import build, load_config
        from mdnn.models.loss import loss_for
        from mdnn.runs.inspection import inspect
        from mdnn.tasks import task_for
        from mdnn.training.microbatches import num_microbatches
        from mdnn.training.mixed_precision import resolved
        from mdnn.training.optimizers import make_optimizer
        from mdnn.training.steps.step import make_step

        config = load_config(path, [] if batch is None else [f"train.batch_size={batch}"])
        self.data = task_for(config)
        model = build(config, self.data.words)
        self.rate = config.train.optimizer.learning_rate
        spec, networks, loss = config.train, self.data.networks(model), loss_for(config)
        precision = resolved(spec.precision)
        variables = model.trainable_variables
        optimizer = make_optimizer(spec.optimizer, variables, spec.ema_decay, precision)
        how = {"precision": precision, "microbatches": num_microbatches(config.train.batch_size)}
        self.step = make_step(networks, loss, optimizer, self.data.batches, **how)
        self.number = 0
        self.characters = self.data.units_per_step
        positions = config.train.batch_size * config.context.positions
        # A multiply-add is two operations; the way back takes two passes' worth.
        about = inspect(config, self.data.words, model)
        self.operations = 3 * 2 * positions * about["operations_per_position"]
        self.about = {"batch": config.train.batch_size, "parameters": about["parameters"]}

    def take(self):
        """Takes the next step and waits until it is done."""
        batches = self.data.batches
        way = batches.objective(self.number)
        loss = float(self.step(batches.at(self.number), self.rate, way))
        self.number += 1
        return loss


if __name__ == "__main__":
    sys.exit(timed(main))
