"""`mdnn quantize`: a run with small weights, and what they cost, in one table."""

import json

from mdnn.runs.quantize_run import check_quantize, quantize
from mdnn.runs.run_folder import open_run
from mdnn.training.comparison import figures, speeds, table
from mdnn.training.evaluation import open_text_or_lines
from mdnn.training.progress import Ticker


def write_small(options):
    """Runs `mdnn quantize`.

    The run is evaluated before the new one is made: data that cannot be read leave nothing behind.

    Args:
        options: what `mdnn.cli.parser` makes of the command line.

    Raises:
        MdnnError: see `mdnn.quantize` and `mdnn.evaluate`.
    """
    run, out = check_quantize(options.run, options.to, options.out)
    items = run.config.context.layout == "items"
    data = _data(run.config, options.data, items)
    rows = [figures(run, progress=Ticker("evaluating as it is"), **data)]
    small = open_run(quantize(run, options.to, out))
    rows.append(figures(small, progress=Ticker(f"evaluating {options.to}"), **data))
    measured = speeds([run, small], data.get("lines"))
    for row, speed in zip(rows, measured, strict=True):
        row["speed"] = speed
    if options.json:
        print(json.dumps({"run": str(out), "rows": rows}))
        return
    kinds = {"items": "unit", "puzzle": "position"}
    print("\n".join(table(rows, kinds.get(run.config.context.layout, "character"))))
    print(f"saved in {out}")


def _data(config, source, items):
    """What both runs are evaluated on, as arguments of `evaluate`."""
    if source is not None:
        return open_text_or_lines(config, source)
    if not items:
        return {}
    # imported late: a text needs no items
    from mdnn.training.item_evaluator import validation_lines

    return {"lines": validation_lines(config)}
