"""How long a training step of each config takes.

Builds each config's network with its loss and optimizer, takes steps on batches of its own text,
in turns, and prints milliseconds per step (medians), characters/s, and the share of the machine's
matrix-product peak (three times the operations that `mdnn inspect` counts, over the time). Each
core computes a part of the batch, as under `mdnn train`, unless `--whole` is said:

    python benchmarks/steps.py
    python benchmarks/steps.py --whole
    KERAS_BACKEND=jax python benchmarks/steps.py configs/text.toml --json steps.json
"""

import os
import sys
from pathlib import Path

from benchmark_runs import (
    CONFIGS,
    benchmark_parser,
    in_own_process,
    print_heading,
    timed,
    write_figures,
)

import mdnn
from mdnn.runtime import quiet_import

NAMES = ("text", "text-grid", "transformer", "mixer", "paper")


def main():
    """Prints the table; returns the exit status."""
    parser = benchmark_parser(__doc__, "json", seconds=5.0)
    parser.add_argument(
        "configs", nargs="*", help="config files", default=[CONFIGS / f"{c}.toml" for c in NAMES]
    )
    parser.add_argument("--batch", type=int, help="another batch than the configs'")
    parser.add_argument(
        "--whole", action="store_true", help="all cores compute each operation (TensorFlow's way)"
    )
    options = parser.parse_args()
    # Before TensorFlow gets one core for each operation.
    machine = measured_apart()
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        quiet_import(None if options.whole else lambda: mdnn.configure_threads())
    from compiled import medians

    batch = [] if options.batch is None else [f"train.batch_size={options.batch}"]
    steps = {Path(path).name: Steps(mdnn.load_config(path, batch)) for path in options.configs}
    seconds = medians({name: step.take for name, step in steps.items()}, options.seconds)
    print_heading("config | batch | parameters | ms per step | characters/s | of peak")
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
    write_figures(options.json, {"machine": machine, "rows": rows})
    return 0


def measured_apart():
    """What `layers.measure_machine` finds in a process of its own, with all cores."""
    script = "import json, layers; print(json.dumps(layers.measure_machine()))"
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return in_own_process("-c", script, environment={"PYTHONPATH": path.rstrip(os.pathsep)})


class Steps:
    """The training steps of a config: its loss and its batches as `mdnn train` has them.

    Args:
        config: `mdnn.Config`.
    """

    def __init__(self, config):
        from mdnn import build
        from mdnn.models.loss import loss_for
        from mdnn.runs.inspection import network_facts
        from mdnn.tasks import task_for
        from mdnn.training.microbatches import task_microbatches
        from mdnn.training.mixed_precision import resolved
        from mdnn.training.optimizers import make_optimizer
        from mdnn.training.steps.step import make_step

        self.data = task_for(config)
        model = build(config, self.data.words)
        self.rate = config.train.optimizer.learning_rate
        spec, networks, loss = config.train, self.data.networks(model), loss_for(config)
        precision = resolved(spec.precision)
        variables = model.trainable_variables
        optimizer = make_optimizer(spec.optimizer, variables, spec.ema_decay, precision)
        self.step = make_step(
            networks,
            loss,
            optimizer,
            self.data.batches,
            precision=precision,
            loss_model=self.data.loss_model,
            xla=spec.xla,
            microbatches=task_microbatches(self.data),
        )
        self.feed = self.data.feed()
        self.feed.follow(self.step)
        # The exchange of members grows during a training: time it at its full weight.
        self.feed.spent = 1.0
        self.number = 0
        self.characters = self.data.units_per_step
        positions = config.train.batch_size * config.context.positions
        # A multiply-add is two operations; the way back takes two passes' worth.
        about = network_facts(config, self.data.words, model)
        self.operations = 3 * 2 * positions * about["operations_per_position"]
        self.about = {"batch": config.train.batch_size, "parameters": about["parameters"]}

    def take(self):
        """Takes the next step and waits until it is done."""
        way = self.feed.objective(self.number)
        loss = float(self.step(self.feed.batch(self.number), self.rate, way))
        self.feed.update()
        self.number += 1
        return loss


if __name__ == "__main__":
    sys.exit(timed(main))
