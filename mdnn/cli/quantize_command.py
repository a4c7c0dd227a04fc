"""`mdnn quantize`: makes a run with quantized weights and prints their cost as a table."""

import json

from mdnn.cli.comparison import comparison_table, metrics_of, speeds
from mdnn.cli.shared_options import chosen
from mdnn.runs.quantize_run import check_quantize, quantize
from mdnn.runs.run_folder import open_run
from mdnn.tasks.registry import task_for
from mdnn.training.progress import Ticker


def write_small(options):
    """Runs `mdnn quantize`.

    The run is evaluated before the new one is made: data that cannot be read leave nothing behind.

    Args:
        options: the command line as parsed by `mdnn.cli.parser`.

    Raises:
        MdnnError: see `mdnn.quantize` and `mdnn.evaluate`.
    """
    chosen_run = chosen(open_run(options.run), options)
    run, out = check_quantize(chosen_run, options.to, options.out)
    task = task_for(run.config, run.words)
    data = task.validation if options.data is None else task.open_source(options.data)
    rows = [metrics_of(run, data, Ticker("evaluating as it is"))]
    small = open_run(quantize(run, options.to, out))
    rows.append(metrics_of(small, data, Ticker(f"evaluating {options.to}")))
    measured = speeds([run, small], data)
    for row, speed in zip(rows, measured, strict=True):
        row["speed"] = speed
    if options.json:
        print(json.dumps({"run": str(out), "rows": rows}))
        return
    print("\n".join(comparison_table(rows, task.unit)))
    print(f"saved in {out}")
