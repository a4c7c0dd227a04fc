"""Training batches as a pure function of (seed, step), and windows for evaluation."""

import keras
import numpy as np

from mdnn.datasets.batches.objectives import (
    mask_tokens,
    masked_positions,
    normalised,
    objective_at,
    objective_weights,
)
from mdnn.datasets.random_bits import BATCH, BLANKS, raw_bits
from mdnn.errors import MdnnError
from mdnn.tokens.features import modality
from mdnn.tokens.packing import random_runs

_TEXT = modality("text").index


class StepBatches(keras.utils.PyDataset):
    """Batches that are a pure function of the step: `at(step)`, which a subclass has.

    An epoch is `steps` batches, each `(inputs, targets)`, or `(inputs, targets, weights)` where
    `at` gives weights; the next epoch goes on with the next steps. Pass `shuffle=False` to `fit`
    to keep the order. Workers, if any, must be threads.

    Args:
        steps: Integer, batches of an epoch.
        first_step: Integer, the step of the first epoch's first batch.
        repeat: Boolean; `True` gives every epoch the same batches (for validation).
        **kwargs: Passed on to `keras.utils.PyDataset`.
    """

    def __init__(self, steps, first_step=0, repeat=False, **kwargs):
        super().__init__(**kwargs)
        self.steps = int(steps)
        self.first_step = int(first_step)
        self.repeat = bool(repeat)
        # which batches of the running epoch were asked for; None before the first epoch
        self._asked = None

    def at(self, step):
        """Returns the batch of a step, a dictionary: `tokens`, `targets`, perhaps `weights`."""
        raise NotImplementedError

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        if self._asked is not None:
            self._asked.add(index)
        batch = self.at(self.first_step + index)
        weights = batch.pop("weights", None)
        if weights is None:
            return batch, batch["targets"]
        return batch, batch["targets"], weights

    def on_epoch_begin(self):
        """Moves on to the next steps once an epoch is through; Keras calls it.

        Keras also begins and ends epochs to learn shapes, without asking for every batch:
        those do not count.
        """
        if self._asked is not None and len(self._asked) == self.steps and not self.repeat:
            self.first_step += self.steps
        self._asked = set()


class TextBatches(StepBatches):
    """Random windows of a text, each batch a pure function of the seed and the step.

    `at(step)` needs no earlier batch, so training resumes exactly and several workers need no
    coordination. Starts come from Philox's raw stream, which numpy keeps the same between
    versions.

    As a `keras.utils.PyDataset` it can be given to `model.fit`: an epoch is `steps` batches,
    each `(at(step), at(step)["targets"])`, and the next epoch goes on with the next steps.
    Pass `shuffle=False` to `fit` to keep the order. Workers, if any, must be threads.

    Args:
        units: Integers `[n]`, the text's units; at least `length + 1`.
        tokenizer: The tokenizer that made them (`mdnn.tokens.characters.TextTokenizer`).
        length: Integer, positions of a window.
        batch: Integer, windows in a batch.
        seed: Integer.
        steps: Integer, batches of an epoch; `None` for as many as read about as many units
            as the text has.
        padding: `"none"`: windows are full. `"random"`: each holds a run of random length,
            `length // 2` to `length`, at a random place; tokens and targets are zeros
            elsewhere, and a target of modality 0 is not to be counted.
        first_step: Integer, the step of the first epoch's first batch.
        repeat: Boolean; `True` gives every epoch the same batches (for validation).
        objectives: `mdnn.config.training_tables.Objectives`, how often each way to write is
            trained: one of them a step (see `objective`). `None`: in turn, and batches without
            weights. For `once` the end of a window, of random length, is blank, for `unmask` a
            random share of such an end; what is in turn stays the same batch as with `None`.
        **kwargs: Passed on to `keras.utils.PyDataset`.

    Raises:
        MdnnError: If the text is too short or an argument is out of its range.

    Example:

    >>> batches = TextBatches(tokenizer.units(text), tokenizer, length=64, batch=12, seed=0)
    >>> batches.at(1000)["tokens"].shape
    (12, 64, 8)
    """

    def __init__(
        self,
        units,
        tokenizer,
        length,
        batch,
        seed,
        steps=None,
        padding="none",
        first_step=0,
        repeat=False,
        objectives=None,
        **kwargs,
    ):
        units = np.asarray(units)
        sizes = {"length": length, "batch": batch, "steps": steps}
        for name, value in sizes.items():
            if value is not None and value < 1:
                raise MdnnError(f"{name} must be at least 1; received {value}")
        if units.ndim != 1 or len(units) < length + 1:
            raise MdnnError(
                f"a window of {length} positions needs a text of at least {length + 1} units; "
                f"received shape {units.shape}"
            )
        if padding not in ("none", "random"):
            raise MdnnError(f'padding must be "none" or "random"; received {padding!r}')
        shortest = 4 if padding == "random" else 2
        if objectives is not None and objective_weights(objectives)[1:].any() and length < shortest:
            raise MdnnError(
                f"a window with blanks needs at least {shortest} positions; received {length}"
            )
        steps = steps or max(1, (len(units) - 1) // (length * batch))
        super().__init__(steps, first_step, repeat, **kwargs)
        self.units = units
        self.tokenizer = tokenizer
        self.length = int(length)
        self.batch = int(batch)
        self.seed = int(seed)
        self.padding = padding
        self.objectives = objectives

    def objective(self, step):
        """Returns `"autoregressive"`, `"parallel"` or `"masked_diffusion"`: what a step trains."""
        if self.objectives is None:
            return "autoregressive"
        return objective_at(self.seed, step, self.objectives)

    def at(self, step):
        """Returns the batch of a step.

        Args:
            step: Integer from 0.

        Returns:
            A dictionary: `"tokens"`, int32 `[batch, length, 8]`; `"targets"`, the same,
            the units one further on, zeros where nothing is to be answered; and, with
            `objectives`, `"weights"`, float32 `[batch, length]`, whose mean over the
            targets is 1.
        """
        number = self.batch
        bits = raw_bits(self.seed, step, (number, 3), BATCH)
        position = np.arange(self.length + 1)
        if self.padding == "random":
            run, offset = random_runs(bits[:, 1:], self.length, max(1, self.length // 2))
        else:
            run, offset = np.full(number, self.length), np.zeros(number, dtype=np.int64)
        start = (bits[:, 0] % (len(self.units) - run).astype(np.uint64)).astype(np.int64)
        index = (start - offset)[:, None] + position
        if self.padding == "none":
            rows = self.tokenizer.tokens(self.units[index])
            tokens, targets = rows[:, :-1], rows[:, 1:]
        else:
            rows = self.tokenizer.tokens(self.units.take(index, mode="clip"), first_place=-offset)
            place = position[:-1] - offset[:, None]
            filled = ((place >= 0) & (place < run[:, None]))[:, :, None]
            tokens, targets = rows[:, :-1] * filled, rows[:, 1:] * filled
        objective, weight = self.objective(step), np.ones(number)
        if objective != "autoregressive":
            tokens, targets, weight = self._blank(objective, step, tokens, targets, run, offset)
        batch = {
            "tokens": np.ascontiguousarray(tokens),
            "targets": np.ascontiguousarray(targets),
        }
        if self.objectives is not None:
            batch["weights"] = normalised(weight[:, None], targets)
        return batch

    def _blank(self, objective, step, tokens, targets, run, offset):
        """Returns windows with blanks, the targets before blanks, and what they weigh."""
        words = 2 + (self.length if objective == "masked_diffusion" else 0)
        bits = raw_bits(self.seed, step, (len(run), words), BLANKS)
        # at least the first unit of a run is given
        first = offset + 1 + (bits[:, 0] % (run - 1).astype(np.uint64)).astype(np.int64)
        blank, weight = masked_positions(
            objective, first, offset + run, self.length, bits[:, 1], bits[:, 2:]
        )
        tokens = np.where(blank[..., None], mask_tokens(tokens, _TEXT), tokens)
        before = np.zeros_like(blank)
        before[:, :-1] = blank[:, 1:]
        return tokens, targets * before[..., None], weight


def windows(units, tokenizer, length, stride=None, batch=64):
    """Yields consecutive windows that count every unit but the first exactly once.

    With `stride == length`, the default, windows follow one another and every position
    counts: the convention behind nanoGPT's figures. With a smaller stride windows overlap and
    each counts its last `stride` positions only (the first window: all), so that every counted
    unit but the first ones has at least `length - stride` units before it.

    Args:
        units: Integers `[n]`, the text's units, at least two.
        tokenizer: The tokenizer that made them.
        length: Integer, positions of a window.
        stride: Integer from 1 to `length`, units from one window to the next.
        batch: Integer, windows in a batch. The last batch is filled with windows of zeros.

    Yields:
        Dictionaries: `"tokens"` and `"targets"` int32 `[batch, length, 8]`, `"counted"`
        boolean `[batch, length]`. The last window's end may be padding, which is not counted.

    Raises:
        MdnnError: If the text is too short or an argument is out of its range.
    """
    units = np.asarray(units)
    stride = length if stride is None else stride
    if length < 1 or batch < 1:
        raise MdnnError(f"length and batch must be at least 1; received {length} and {batch}")
    if not 1 <= stride <= length:
        raise MdnnError(
            f"stride must be from 1 to the window's {length} positions; received {stride}"
        )
    if units.ndim != 1 or len(units) < 2:
        raise MdnnError(f"evaluation needs a text of at least 2 units; received {units.shape}")
    return _windows(units, tokenizer, length, stride, batch)


def _windows(units, tokenizer, length, stride, batch):
    """Yields what `windows` promises; apart, so that its errors come before the first batch."""
    position = np.arange(length)
    beyond = max(0, len(units) - 1 - length)
    number = 1 + -(-beyond // stride)
    for first in range(0, number, batch):
        window = np.arange(first, first + batch)[:, None]
        index = window * stride + position
        # A position is filled where its unit has a successor.
        filled = (window < number) & (index < len(units) - 1)
        tokens = tokenizer.tokens(np.where(filled, units.take(index, mode="clip"), -1))
        targets = tokenizer.tokens(np.where(filled, units.take(index + 1, mode="clip"), -1), 0, 1)
        counted = filled & ((position >= length - stride) | (window == 0))
        yield {"tokens": tokens, "targets": targets, "counted": counted}
