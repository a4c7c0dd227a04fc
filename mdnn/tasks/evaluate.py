"""`evaluate`: how well a trained network predicts the data of its task."""

from mdnn.errors import MdnnError
from mdnn.models.thinking.recurrent_inference import check_refeeds
from mdnn.runs.run_folder import cached_run
from mdnn.tasks.registry import task_for


def evaluate(run, data=None, steps=None, progress=None, **options):
    """Returns the loss of a trained network, and the other metrics of its task.

    Args:
        run: a run folder, or what `mdnn.runs.run_folder.open_run` returns.
        data: what to evaluate on: a text; a list of `mdnn.datasets.items.item_splits.Example` for a
            network of items; `(kind, puzzles, solutions)` for one of puzzles; or what the run's
            task returns for a source (`mdnn.tasks.base.Task.open_source`). `None` for the data that
            validated the run.
        steps: int, or a list of ints: how many times the network is run on its own output;
            `None` for the config's number.
        progress: function called with the fraction that is done, 0 to 1.
        **options: options of the task. A text: `sliding=False` leaves out the second pass over
            it, in windows that overlap by half. Puzzles: `num_starts`, with `steps`: how many
            random states each begins in, of which the one that settles best gives the answer;
            `adaptive`: whether the halting head ends each puzzle.

    Returns:
        dict with `nats` (per character of a text, per unit of items, per position of puzzles) and
        other metrics: see `metrics` of `mdnn.tasks.text_evaluator.TextEvaluator`,
        `mdnn.tasks.item_evaluator.ItemEvaluator` and
        `mdnn.tasks.puzzle_evaluator.PuzzleEvaluator`. With a list of `steps` only `curve`, a
        list of such dicts, each with its `steps`.

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
    step_counts = None if steps is None else check_refeeds(steps)
    metrics = task.evaluate(run.model, data, step_counts, progress, **options)
    if steps is None:
        return metrics
    return metrics[0] if isinstance(steps, int) else {"curve": metrics}
