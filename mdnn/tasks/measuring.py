"""Defines the evaluation interface of a task, with defaults for a loss per token."""

from mdnn.errors import MdnnError
from mdnn.growth.narrowing import at_density
from mdnn.tasks.batch_evaluator import BatchEvaluator, cached_evaluator

# Columns of the table of metrics by number of steps: key, header, number format.
CURVE_COLUMNS = (
    ("steps", "steps", "{:,}"),
    ("exact", "exact", "{:.2%}"),
    ("right", "right", "{:.2%}"),
    ("loss", "loss", "{:.4f}"),
    ("loss_sliding", "nats, sliding", "{:.4f}"),
    ("change", "last change", "{:.2e}"),
)


class Measuring:
    """Evaluates networks and formats their metrics.

    Used by `mdnn.evaluate`, training, `mdnn evaluate` and `mdnn quantize`.

    Attributes:
        evaluation_options: class attribute, names of the additional keyword arguments of
            `evaluate`.
    """

    evaluation_options = ()

    def evaluator(self, networks):
        """Returns an evaluator that is compiled once.

        Args:
            networks: dict as returned by `networks`.

        Returns:
            An object with two methods: `metrics(data, progress=None)` returns a dict that contains
            `loss` (nats per unit) of the first mode; `quick(data)` returns a dict from modes to
            losses on a small sample.
        """
        return BatchEvaluator(networks, self.config)

    def final_metrics(self, evaluator, limit, progress=None, say=None):
        """Returns the metrics at the end of a training.

        Args:
            evaluator: as returned by `evaluator`.
            limit: int, maximum number of positions of validation data to read; 0: all.
            progress: function called with the completed fraction, 0 to 1.
            say: function called with one line of text if only part of the data is read.
        """
        return evaluator.metrics(self.validation, progress)

    def density_losses(self, run):
        """Returns the loss at each trained density, on a sample of the validation data.

        Args:
            run: `mdnn.runs.run_folder.Run` that was trained with `train.density`. A task may
                write into its folder what `--density auto` needs.

        Returns:
            dict from densities (as words) to losses of the first mode, in nats per unit.
        """
        found = {}
        for density in run.config.train.density:
            evaluator = self.evaluator(self.networks(at_density(run, density).model))
            found[f"{density:g}"] = next(iter(evaluator.quick(self.validation).values()))
        return found

    @staticmethod
    def _say_limit(say, count, whole, what):
        """Reports through `say` how much of the validation data is evaluated."""
        if say is not None:
            say(
                f"evaluating on {count:,} of {whole:,} {what} (train.final_evaluation); "
                "mdnn evaluate reads all"
            )

    def evaluate(self, model, data=None, step_counts=None, progress=None, **options):
        """Returns the metrics of a network; see `mdnn.evaluate`, which checks the arguments.

        Args:
            model: a network as returned by `mdnn.build`.
            data: data in a form that `check_data` accepts; `None`: the validation data.
            step_counts: list of int, numbers of refeed steps, or `None`.
            progress: function called with the completed fraction, 0 to 1.
            **options: keyword arguments of the evaluator's `metrics`.

        Returns:
            Dict of metrics; with `step_counts` a list of dicts, each with its `steps`.
        """
        data = self.validation if data is None else self.check_data(data)
        if step_counts is None:
            return cached_evaluator(self, model).metrics(data, progress, **options)
        return [
            {"steps": steps}
            | cached_evaluator(self, model, steps).metrics(data, progress, **options)
            for steps in step_counts
        ]

    def format_metrics(self, metrics):
        """Formats metrics as text, a list of lines."""
        return [f"{metrics['loss']:.4f} nats per {self.unit}"]

    def format_curve(self, curve):
        """Formats metrics by number of steps as a table, a list of lines.

        Args:
            curve: list of dicts as returned by `evaluate` with `step_counts`.
        """
        columns = [column for column in CURVE_COLUMNS if column[0] in curve[0]]
        rows = [[head for _, head, _ in columns]]
        rows += [[form.format(metrics[key]) for key, _, form in columns] for metrics in curve]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return ["  ".join(map(str.rjust, row, widths)) for row in rows]

    def measured_writer(self, run, data):
        """Returns a function without arguments that generates an answer and returns its length.

        `mdnn quantize` uses it to measure generation speed. The length is in units of the task.

        Args:
            run: `mdnn.runs.run_folder.Run`.
            data: data in the form of `validation`.

        Raises:
            MdnnError: a task that generates nothing.
        """
        raise MdnnError(f"a network of {self.config.context.layout} writes nothing")
