"""Provides `evaluate`, the metrics of a trained network on the data of its task."""

from mdnn.errors import MdnnError
from mdnn.models.thinking.recurrent_inference import check_step_counts
from mdnn.runs.cached_runs import cached_run
from mdnn.tasks.density_rule import AUTO, auto_metrics, read_rule, run_for
from mdnn.tasks.registry import task_for


def evaluate(run, data=None, steps=None, progress=None, density=None, identity=None, **options):
    """Returns the loss of a trained network and the other metrics of its task.

    Args:
        run: a run folder, or the `Run` returned by `mdnn.runs.run_folder.open_run`.
        data: the data to evaluate on: a str for a text network; a list of
            `mdnn.datasets.items.item_splits.Example` for an item network; a list of
            `mdnn.datasets.conversations.conversation_files.Conversation` for one of conversations;
            `(kind, puzzles,
            solutions)` for a puzzle network; or the return value of
            `mdnn.tasks.base.Task.open_source`. `None`: the validation data of the run.
        steps: int or list of int, numbers of refeed steps; `None`: the number in the config.
        progress: function called with the completed fraction, 0 to 1.
        density: float, a trained density (`train.density`), at which the network is evaluated;
            `"auto"` for texts: each window gets the density that its difficulty needs
            (docs/density.md), and the metrics have `mean_density` and `shares`. `None`: the whole
            network.
        identity: a file that `mdnn.adapt` made for this network (docs/identity.md), or `None`.
        **options: options of the task. Texts: `sliding=False` omits the second pass, over windows
            that overlap by half; `by_position=True` adds the losses in ranges of positions.
            Conversations: `calls`, int, maximum number of calls of tools to write and compare
            (100); `grammar`, bool, whether a grammar allows well-formed calls alone. Puzzles:
            `num_starts` (only with `steps`), int, number of random initial states per puzzle, of
            which the state with the smallest last change gives the answer; `adaptive`, bool,
            whether the halting head may stop each puzzle earlier.

    Returns:
        dict with `loss` (nats per character of a text, per token of items, or per position of
        puzzles) and other metrics: see `metrics` of `mdnn.tasks.text_evaluator.TextEvaluator`,
        `mdnn.tasks.item_evaluator.ItemEvaluator` and
        `mdnn.tasks.puzzle_evaluator.PuzzleEvaluator`. With a list of `steps` the dict has only the
        key `curve`, a list of such dicts, each with its `steps`.

    Raises:
        MdnnError: not a run folder, a text of fewer than two tokens, or data or an option of
            another task.

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
                f"{name}: not an option of evaluate for a network of {run.config.context.layout}; "
                f"options: {known}"
            )
    if density == AUTO and identity is None:
        read_rule(run)
        if steps is not None or options:
            raise MdnnError("density: 'auto' cannot be combined with other options of evaluate")
        ids = task.validation if data is None else task.check_data(data)
        return auto_metrics(run, ids, progress)
    run = run_for(run, density, identity=identity)
    task = task_for(run.config, run.words)
    step_counts = None if steps is None else check_step_counts(steps)
    metrics = task.evaluate(run.model, data, step_counts, progress, **options)
    if steps is None:
        return metrics
    return metrics[0] if isinstance(steps, int) else {"curve": metrics}
