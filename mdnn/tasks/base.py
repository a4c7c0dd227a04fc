"""Defines the interface of a task for training, evaluation, generation and export.

A task is one class in one file. `mdnn.tasks.register_task(name, cls)` registers it,
`context.layout = name` in a config selects it, and `mdnn.tasks.task_for(config, words)` creates
its instance. No other code depends on the value of `context.layout`.

A task is created from a config (and the word table of a trained network) and opens its data on
first use. The same class therefore serves training, generation and export.

A subclass must define:

- `rules`: a `mdnn.config.task_rules.TaskRules`, the rules for its configs.
- `batches`: the training batches, a pure function of (seed, step).
- `validation`: the validation data, in the form that its evaluator takes.
- `open_source(source)`: the data of another source, in the same form.

A subclass may override the following; the defaults suit a task that is fully described by its
batches:

- data: `words`, `open`, `head_tokens`, `units_per_token`, `units_per_step`, `write_about`,
  `absolute_source`, `check_data`.
- learning: `loss_model`, `feed`.
- metrics: `evaluator`, `evaluate`, `final_metrics`, `format_metrics`, `format_curve`,
  `measured_writer`.
- generation: `generate`, `sample`, `read_prompt`, `answer_kinds`, `answer_items`, `exported_as`.
"""

import abc
import functools

import numpy as np

from mdnn.datasets.fingerprint import fingerprint
from mdnn.file_systems import as_path
from mdnn.tasks.answering import Answering
from mdnn.tasks.learning import Learning
from mdnn.tasks.measuring import Measuring
from mdnn.tokens.features import MODALITY


class Task(Answering, Learning, Measuring, abc.ABC):
    """Provides the data, loss, metrics and generation of one kind of network.

    `mdnn.tasks.learning.Learning`, `mdnn.tasks.measuring.Measuring` and
    `mdnn.tasks.answering.Answering` define the defaults of training, evaluation and generation.

    Args:
        config: `mdnn.Config`.
        words: word table of a trained network, a sequence of str; `None`: built from the data if
            the config uses words.

    Attributes:
        rules: class attribute, the `mdnn.config.task_rules.TaskRules`.
        unit: class attribute, str, the unit of losses and speeds, such as `"character"` or
            `"position"`.
        divisible: class attribute, bool, whether TensorFlow may split a batch into microbatches.
    """

    rules = None
    unit = "token"
    divisible = True

    def __init__(self, config, words=None):
        self.config = config
        self._words = words
        self._memory, self._stale = None, None

    # === Data ===

    @property
    @abc.abstractmethod
    def batches(self):
        """The training batches, a `mdnn.datasets.batches.step_batches.StepBatches` with
        `objective(step)`.

        Opens the data; subclasses should cache this property.

        Raises:
            MdnnError: an unreadable source, or data that do not fit the context.
        """

    @property
    @abc.abstractmethod
    def validation(self):
        """The validation data, in the form that the evaluator takes. Opens the data."""

    @abc.abstractmethod
    def open_source(self, source):
        """Opens the data of another source for evaluation.

        Args:
            source: str, in the format of `data.source`.

        Returns:
            Data in a form that `check_data` accepts.

        Raises:
            MdnnError: an unreadable source, or data that do not fit the network.
        """

    def check_data(self, data):
        """Converts the `data` argument of `mdnn.evaluate` into the form of `validation`.

        Raises:
            MdnnError: data of another task.
        """
        return data

    @staticmethod
    def absolute_source(source):
        """Returns `data.source` as an absolute path if it exists on disk, otherwise unchanged."""
        if not source.strip():
            return source
        path = as_path(source, "source")
        # The path of a pipe without its links is not a path.
        return str(path.resolve()) if path.is_file() or path.is_dir() else source

    @property
    def words(self):
        """The word table, a tuple of str; empty for a task without words."""
        return tuple(self._words or ())

    def open(self):
        """Opens all training and validation data, so that errors in them are raised early.

        Returns:
            The task itself.
        """
        _ = self.batches, self.validation
        return self

    def head_tokens(self):
        """Returns a sample of target tokens, int32 `[n, 8]`, to initialize the heads' biases."""
        targets = self.batches.at(0)["targets"]
        return targets[targets[..., MODALITY] > 0]

    def measure_for(self, model):
        """Measures what a network's layers need of the training data, before the first step.

        The default measures nothing.

        Args:
            model: a network as returned by `mdnn.build`.
        """

    @property
    def units_per_token(self):
        """Mean number of units per token, float: a word is one token of several characters."""
        return 1.0

    @functools.cached_property
    def units_per_step(self):
        """Mean number of units per training step, float, used to report speeds."""
        return float(np.count_nonzero(self.batches.at(0)["targets"][..., MODALITY]))

    def write_about(self, path):
        """Writes statistics of the data that generation needs into a run folder.

        The default writes nothing: the config is sufficient.

        Args:
            path: `pathlib.Path` of the run folder.
        """

    def fingerprint(self):
        """Returns the `mdnn.datasets.fingerprint.Fingerprint` that identifies the data.

        `None` for a task whose `splits` have no method `contents`.
        """
        contents = getattr(getattr(self, "splits", None), "contents", None)
        return None if contents is None else fingerprint(contents())
