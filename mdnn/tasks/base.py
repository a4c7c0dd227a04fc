"""The interface of a task: all that training, evaluation, generation and export need of it.

A task is one class in one file. `mdnn.tasks.register_task(name, cls)` makes it known;
`context.layout = name` in a config chooses it, and `mdnn.tasks.task_for(config, words)` makes its
instance. No other code compares `context.layout` with anything.

A task is made from a config (and the table of words of a trained network) alone and opens its
data when they are first needed, so that the instance that trains is of the class that generates
and exports.

What a subclass has to have:

- `rules`: a `mdnn.config.task_rules.TaskRules`, what its configs may say.
- `batches`: the training batches, a pure function of (seed, step).
- `validation`: the data that validate, in whatever form its own evaluator takes.
- `open_source(source)`: the data of another source, in the same form.

What it may replace, each with a default that fits a task whose batches say everything:

- data: `words`, `open`, `head_tokens`, `units_per_token`, `units_per_step`, `write_about`,
  `absolute_source`, `check_data`.
- learning: `loss_model`, `feed`.
- figures: `evaluator`, `evaluate`, `final_metrics`, `format_metrics`, `format_curve`,
  `measured_writer`.
- answering: `generate`, `sample`, `read_prompt`, `answer_kinds`, `answer_items`, `exported_as`.
"""

import abc
import functools

import numpy as np

from mdnn.datasets.batches.objectives import OBJECTIVES, objective_weights
from mdnn.datasets.fingerprint import fingerprint
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.models.loss_model import LossModel
from mdnn.tasks.answering import Answering
from mdnn.tasks.batch_evaluator import BatchEvaluator
from mdnn.tasks.feed import BatchFeed, SampledDepthFeed
from mdnn.tokens.features import MODALITY

# Columns of a table of metrics by steps: key, head, and form of a number.
CURVE_COLUMNS = (
    ("steps", "steps", "{:,}"),
    ("exact", "exact", "{:.2%}"),
    ("right", "right", "{:.2%}"),
    ("loss", "loss", "{:.4f}"),
    ("loss_sliding", "nats, sliding", "{:.4f}"),
    ("change", "last change", "{:.2e}"),
)


class Task(Answering, abc.ABC):
    """What a network is trained on and answers.

    The defaults of answering are those of `mdnn.tasks.answering.Answering`.

    Args:
        config: `mdnn.Config`.
        words: the table of words of a trained network; `None` to make it from the data, where
            the config has one.

    Attributes:
        rules: class attribute, the `mdnn.config.task_rules.TaskRules`.
        unit: class attribute, what losses and speeds are per: `"character"`, `"position"`.
        evaluation_options: class attribute, names of the keyword arguments that `evaluate` takes
            beside the common ones.
        divisible: class attribute, whether TensorFlow may compute a batch in several groups of
            examples, side by side.
    """

    rules = None
    unit = "unit"
    evaluation_options = ()
    divisible = True

    def __init__(self, config, words=None):
        self.config = config
        self._words = words

    # === Data ===

    @property
    @abc.abstractmethod
    def batches(self):
        """The training batches, a `mdnn.datasets.batches.text_batches.StepBatches` with
        `objective(step)`.

        Opens the data; a property to be cached.

        Raises:
            MdnnError: a source that cannot be read, data that do not fit the context.
        """

    @property
    @abc.abstractmethod
    def validation(self):
        """The data that validate, as `evaluator` takes them. Opens the data."""

    @abc.abstractmethod
    def open_source(self, source):
        """Opens all data of another source, to evaluate on.

        Args:
            source: as `data.source` of a config.

        Returns:
            Data as `check_data` takes them.

        Raises:
            MdnnError: a source that cannot be read, data that do not fit the network.
        """

    def check_data(self, data):
        """Returns data to evaluate on, as `mdnn.evaluate` takes them, in the form of `validation`.

        Raises:
            MdnnError: data of another task.
        """
        return data

    @staticmethod
    def absolute_source(source):
        """Returns `data.source` with a path on disk made absolute; other names stay."""
        if not source.strip():
            return source
        path = as_path(source, "source")
        return str(path.resolve()) if path.exists() else source

    @property
    def words(self):
        """The table of words, a tuple; empty for a task without words."""
        return tuple(self._words or ())

    def open(self):
        """Opens everything that training needs, so that errors in the data come first.

        Returns:
            The task itself.
        """
        _ = self.batches, self.validation
        return self

    def head_tokens(self):
        """Returns tokens int32 `[n, 8]`, from whose frequencies the heads' biases are set."""
        targets = self.batches.at(0)["targets"]
        return targets[targets[..., MODALITY] > 0]

    @property
    def units_per_token(self):
        """Mean number of units in a token, float: a word is one token of several characters."""
        return 1.0

    @functools.cached_property
    def units_per_step(self):
        """Mean number of units that a training step reads, float: speeds are told in them."""
        return float(np.count_nonzero(self.batches.at(0)["targets"][..., MODALITY]))

    def write_about(self, path):
        """Writes into a run folder what generation needs to know of the data beside the config.

        Args:
            path: `pathlib.Path` of the run folder.
        """

    def fingerprint(self):
        """Returns what the data are recognized by, a `mdnn.datasets.fingerprint.Fingerprint`.

        `None` for a task whose `splits` do not say what was read (`contents()`).
        """
        contents = getattr(getattr(self, "splits", None), "contents", None)
        return None if contents is None else fingerprint(contents())

    # === Learning ===

    @functools.cached_property
    def mode_shares(self):
        """Dict from the decoding modes that are trained to their shares of the steps.

        In the order of `[train.objectives]`.
        """
        shares = objective_weights(self.config.train.objectives).tolist()
        return {mode: share for mode, share in zip(OBJECTIVES, shares, strict=True) if share}

    def networks(self, model, steps=None):
        """Returns the network for each decoding mode that is trained, all with one set of weights.

        In turn no position sees those after it; the other modes see the whole context.

        Args:
            model: the network as `mdnn.build` makes it.
            steps: number of refeeding steps; `None`: as the network was built.

        Returns:
            Dict from the names of modes to a `keras.Model`.
        """
        made = {}
        for causal in {mode == "autoregressive" for mode in self.mode_shares}:
            same = steps is None and causal == model.causal
            made[causal] = model if same else model.with_options(causal, steps)
        return {mode: made[mode == "autoregressive"] for mode in self.mode_shares}

    def loss_model(self, network, loss):
        """Returns the model that maps a batch to its loss, a `mdnn.models.loss_model.LossModel`."""
        return LossModel(network, loss)

    def feed(self):
        """Returns what hands batches to the steps of a run, a `mdnn.tasks.feed.BatchFeed`.

        A task whose state outlives a step returns a feed that keeps it.
        """
        if self.config.refeed.step_schedule == "sampled":
            return SampledDepthFeed(self.batches, self.config)
        return BatchFeed(self.batches)

    # === Figures ===

    def evaluator(self, networks):
        """Returns the evaluator of networks, compiled once.

        Args:
            networks: dict as `networks` returns it.

        Returns:
            An object with `metrics(data, progress=None)`, a dict that has `loss` (nats per unit)
            of the first mode, and `quick(data)`, a dict from modes to nats per unit on a sample
            that is quick to take.
        """
        return BatchEvaluator(networks, self.config)

    def final_metrics(self, evaluator, limit, progress=None, say=None):
        """Returns the metrics at the end of a training.

        Args:
            evaluator: as `evaluator` returns it.
            limit: integer, positions of the validation data that are read at most; 0: all.
            progress: function called with the fraction that is done, 0 to 1.
            say: function that is told a line where not all are read.
        """
        return evaluator.metrics(self.validation, progress)

    @staticmethod
    def _say_limit(say, count, whole, what):
        """Tells `say` how much of the validation data is evaluated."""
        if say is not None:
            say(
                f"evaluating on {count:,} of {whole:,} {what} (train.final_evaluation); "
                "mdnn evaluate reads all"
            )

    def evaluate(self, model, data=None, step_counts=None, progress=None, **options):
        """Returns the metrics of a network; see `mdnn.evaluate`, which checks the arguments.

        Args:
            model: the network as `mdnn.build` makes it.
            data: as `check_data` takes them; `None`: the validation data.
            step_counts: list of numbers of refeeding steps, or `None`.
            progress: function called with the fraction that is done, 0 to 1.
            **options: those of the evaluator's `metrics`.

        Returns:
            Dict of metrics; with `step_counts` a list of them, each with its `steps`.
        """
        data = self.validation if data is None else self.check_data(data)
        if step_counts is None:
            return self.evaluator(self.networks(model)).metrics(data, progress, **options)
        return [
            {"steps": steps}
            | self.evaluator(self.networks(model, steps)).metrics(data, progress, **options)
            for steps in step_counts
        ]

    def format_metrics(self, metrics):
        """Returns what a person reads of metrics, a list of lines."""
        return [f"{metrics['loss']:.4f} nats per {self.unit}"]

    def format_curve(self, curve):
        """Returns a table of the metrics after several numbers of steps, a list of lines."""
        columns = [column for column in CURVE_COLUMNS if column[0] in curve[0]]
        rows = [[head for _, head, _ in columns]]
        rows += [[form.format(metrics[key]) for key, _, form in columns] for metrics in curve]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return ["  ".join(map(str.rjust, row, widths)) for row in rows]

    def measured_writer(self, run, data):
        """Returns a function without arguments that writes something and returns its units.

        `mdnn quantize` compares how fast runs write.

        Args:
            run: `mdnn.runs.run_folder.Run`.
            data: as `validation` has them.

        Raises:
            MdnnError: a task that generates nothing.
        """
        raise MdnnError(f"a network of {self.config.context.layout} writes nothing")
