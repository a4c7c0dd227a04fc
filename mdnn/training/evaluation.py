"""`evaluate`: how well a trained network predicts the data of its task."""

from mdnn.errors import MdnnError
from mdnn.models.run import cached_run
from mdnn.models.solving import check_refeeds
from mdnn.tasks.registry import task_for


def evaluate(run, data=None, refeeds=None, progress=None, **options):
    """Returns the loss of a trained network, and the other metrics of its task.

    Args:
        run: a run folder, or what `mdnn.models.run.open_run` returns.
        data: what to evaluate on: a text; a list of `mdnn.data.lines.Line` for a network of
            items; `(kind, puzzles, solutions)` for one of puzzles; or what the run's task returns
            for a source (`mdnn.tasks.base.Task.open_source`). `None` for the data that validated
            the run.
        refeeds: int, or a list of ints: how many times the network is run on its own output;
            `None` for the config's number.
        progress: function called with the fraction that is done, 0 to 1.
        **options: options of the task. A text: `sliding=False` leaves out the second pass over
            it, in windows that overlap by half. Puzzles: `restarts`, with `refeeds`: how many
            random states each begins in, of which the one that settles best gives the answer;
            `halt`: whether the halting head ends each puzzle.

    Returns:
        dict with `nats` (per character of a text, per unit of items, per slot of puzzles) and
        other metrics: see `metrics` of `mdnn.tasks.text_evaluator.TextEvaluator`,
        `mdnn.tasks.item_evaluator.ItemEvaluator` and
        `mdnn.tasks.puzzle_evaluator.PuzzleEvaluator`. With a list of `refeeds` only `curve`, a
        list of such dicts, each with its `refeeds`.

    Raises:
        MdnnError: no run folder, a text of fewer than two units, data or an option of another
            task.

    Example:

    >>> mdnn.evaluate("runs/mine")["bits_per_character"]
    >>> mdnn.evaluate("runs/mine", "Some text of yours.")
    """
    run = cached_run(run)
    task = task_for(run.config, run.words)
    for name in options:
        if name not in task.evaluation_options:
            known = ", ".join(task.evaluation_options) or "none"
            raise MdnnError(
                f"{name}: a network of {run.config.context.layout} is not evaluated with it; "
                f"options: {known}"
            )
    steps = None if refeeds is None else check_refeeds(refeeds)
    metrics = task.evaluate(run.model, data, steps, progress, **options)
    if steps is None:
        return metrics
    return metrics[0] if isinstance(refeeds, int) else {"curve": metrics}
