"""Builds training batches of text as pure functions of (seed, step), and evaluation windows."""

import numpy as np

from mdnn.datasets.batches.objectives import (
    mask_tokens,
    masked_positions,
    normalised,
    objective_at,
    objective_weights,
)
from mdnn.datasets.batches.step_batches import StepBatches
from mdnn.datasets.random_bits import BATCH, MASKS, SOURCES, raw_bits
from mdnn.errors import MdnnError
from mdnn.tokens.context_slots import behind_slots
from mdnn.tokens.features import NUM_FEATURES
from mdnn.tokens.modalities import modality
from mdnn.tokens.packing import random_runs

_TEXT = modality("text").index


class TextBatches(StepBatches):
    """Builds batches of random windows of a text, pure functions of the seed and the step.

    `at(step)` does not depend on earlier batches, so training resumes exactly and workers need no
    coordination. Window starts come from Philox's raw stream, which is the same in all versions
    of numpy.

    As a `keras.utils.PyDataset` it can be passed to `model.fit`: an epoch has `steps` batches,
    each `(at(step), at(step)["targets"])`, and the next epoch continues with the following steps.
    Pass `shuffle=False` to `fit` to keep the order. Workers, if any, must be threads.

    Args:
        ids: ints `[n]`, the text's token ids; at least `length + 1`.
        tokenizer: the text's tokenizer (`mdnn.tokens.characters.TextTokenizer`).
        length: int, positions of a window.
        batch_size: int, windows per batch.
        seed: int.
        steps: int, batches per epoch; `None` for about as many tokens as the text has.
        padding: `"none"` for full windows. `"random"`: each window holds a run of random length,
            `length // 2` to `length`, at a random offset; tokens and targets are zeros elsewhere.
            Targets of modality 0 are not counted.
        first_step: int, the step of the first epoch's first batch.
        repeat: bool; `True` repeats the same batches in every epoch (for validation).
        objectives: `mdnn.config.training_tables.Objectives`, the training shares of the decoding
            modes, one of which is drawn per step (see `objective`). `None` trains
            `autoregressive`, and batches have no weights. `parallel` masks the end of a window,
            of random length; `masked_diffusion` masks a random share of such an end.
            `autoregressive` batches are the same as with `None`.
        mixed: sequence of pairs `(units, share)`: further texts of the same tokenizer, and the
            share of the windows that is drawn from each. The shares sum to less than 1.
        slots: int, number of learned slots before each window, positions in addition to
            `length`.
        **kwargs: Arguments of `keras.utils.PyDataset`.

    Raises:
        MdnnError: the text is too short or an argument is out of range.

    Example:

    >>> batches = TextBatches(tokenizer.ids(text), tokenizer, length=64, batch_size=12, seed=0)
    >>> batches.at(1000)["tokens"].shape
    (12, 64, 8)
    """

    def __init__(
        self,
        ids,
        tokenizer,
        length,
        batch_size,
        seed,
        steps=None,
        padding="none",
        first_step=0,
        repeat=False,
        objectives=None,
        mixed=(),
        slots=0,
        **kwargs,
    ):
        ids = np.asarray(ids)
        sizes = {"length": length, "batch_size": batch_size, "steps": steps}
        for name, value in sizes.items():
            if value is not None and value < 1:
                raise MdnnError(f"{name} must be at least 1; received {value}")
        if ids.ndim != 1 or len(ids) < length + 1:
            raise MdnnError(
                f"a window of {length} positions needs a text of at least {length + 1} tokens; "
                f"received shape {ids.shape}"
            )
        if padding not in ("none", "random"):
            raise MdnnError(f'padding must be "none" or "random"; received {padding!r}')
        shortest = 4 if padding == "random" else 2
        if objectives is not None and objective_weights(objectives)[1:].any() and length < shortest:
            raise MdnnError(
                f"a window with mask tokens needs at least {shortest} positions; received {length}"
            )
        steps = steps or max(1, (len(ids) - 1) // (length * batch_size))
        super().__init__(steps, first_step, repeat, **kwargs)
        texts = [ids, *(np.asarray(more) for more, _ in mixed)]
        shares = [share for _, share in mixed]
        if any(len(more) < length + 1 for more in texts[1:]) or not 0 <= sum(shares) < 1:
            raise MdnnError(
                f"mixed: expected texts of at least {length + 1} tokens and shares that sum to "
                f"less than 1; received {[len(more) for more in texts[1:]]} tokens and shares "
                f"{shares}"
            )
        # One after another; no window reaches from one text into the next.
        self.ids = np.concatenate(texts) if mixed else ids
        self._sizes = np.array([len(more) for more in texts])
        self._shares = np.array([1 - sum(shares), *shares])
        self.tokenizer = tokenizer
        self.length = int(length)
        self.batch_size = int(batch_size)
        self.seed = int(seed)
        self.padding = padding
        self.objectives = objectives
        self.slots = int(slots)

    def objective(self, step):
        """Returns a step's objective: autoregressive, parallel or masked_diffusion."""
        if self.objectives is None:
            return "autoregressive"
        return objective_at(self.seed, step, self.objectives)

    def at(self, step):
        """Returns the batch of a step.

        Args:
            step: int from 0.

        Returns:
            A dictionary: `"tokens"`, int32 `[batch, slots + length, 8]`; `"targets"`, of the same
            shape, the tokens one position later, zeros at positions without a target; and, with
            `objectives`, `"weights"`, float32 `[batch, length]`, with mean 1 over the targets.
        """
        number = self.batch_size
        bits = raw_bits(self.seed, step, (number, 3), BATCH)
        position = np.arange(self.length + 1)
        if self.padding == "random":
            run, offset = random_runs(bits[:, 1:], self.length, max(1, self.length // 2))
        else:
            run, offset = np.full(number, self.length), np.zeros(number, dtype=np.int64)
        size, begin = self._texts(step)
        start = begin + (bits[:, 0] % (size - run).astype(np.uint64)).astype(np.int64)
        index = (start - offset)[:, None] + position
        if self.padding == "none":
            rows = self.tokenizer.tokens(self.ids[index])
            tokens, targets = rows[:, :-1], rows[:, 1:]
        else:
            rows = self.tokenizer.tokens(self.ids.take(index, mode="clip"), first_place=-offset)
            coordinate = position[:-1] - offset[:, None]
            filled = ((coordinate >= 0) & (coordinate < run[:, None]))[:, :, None]
            tokens, targets = rows[:, :-1] * filled, rows[:, 1:] * filled
        objective, weight = self.objective(step), np.ones(number)
        if objective != "autoregressive":
            tokens, targets, weight = self._masked(objective, step, tokens, targets, run, offset)
        batch = {
            "tokens": np.ascontiguousarray(behind_slots(tokens, self.slots)),
            "targets": np.ascontiguousarray(behind_slots(targets, self.slots, targets=True)),
        }
        if self.objectives is not None:
            batch["weights"] = normalised(weight[:, None], targets)
        return batch

    @property
    def reads_parts(self):
        """bool, whether `part_at` reads less than whole batches: no masks, padding, slots."""
        return self.padding == "none" and self.objectives is None and not self.slots

    @property
    def shapes(self):
        """Shapes of a batch's arrays, a dict, without `weights`."""
        shape = (self.batch_size, self.slots + self.length, NUM_FEATURES)
        return {"tokens": shape, "targets": shape}

    def part_at(self, step, examples, positions):
        """Returns a part of the batch of a step; reads no other characters of the text.

        Args:
            step: int from 0.
            examples, positions: Slices, as an array `[batch, length]` takes them.

        Returns:
            A dictionary: `at(step)["tokens"][examples, positions]` and the same of `"targets"`.
        """
        first, last, _ = positions.indices(self.length)
        bits = raw_bits(self.seed, step, (self.batch_size, 3), BATCH)
        size, begin = self._texts(step)
        choices = np.asarray(size - self.length).astype(np.uint64)
        start = begin + (bits[:, 0] % choices).astype(np.int64)
        index = start[examples, None] + np.arange(first, last + 1)
        # The first token's coordinates are those of its position.
        rows = self.tokenizer.tokens(self.ids[index], first_place=first)
        return {
            "tokens": np.ascontiguousarray(rows[:, :-1]),
            "targets": np.ascontiguousarray(rows[:, 1:]),
        }

    def _texts(self, step):
        """Draws the text of each window; returns their sizes and where they begin in `ids`."""
        if len(self._sizes) == 1:
            return self._sizes[0], 0
        drawn = raw_bits(self.seed, step, self.batch_size, SOURCES) / 2.0**64
        text = np.searchsorted(np.cumsum(self._shares)[:-1], drawn, side="right")
        return self._sizes[text], (np.cumsum(self._sizes) - self._sizes)[text]

    def _masked(self, objective, step, tokens, targets, run, offset):
        """Masks windows; returns tokens, targets before mask tokens, and loss weights."""
        words = 2 + (self.length if objective == "masked_diffusion" else 0)
        bits = raw_bits(self.seed, step, (len(run), words), MASKS)
        # The first token of a run is never masked.
        first = offset + 1 + (bits[:, 0] % (run - 1).astype(np.uint64)).astype(np.int64)
        mask, weight = masked_positions(
            objective, first, offset + run, self.length, bits[:, 1], bits[:, 2:]
        )
        tokens = np.where(mask[..., None], mask_tokens(tokens, _TEXT), tokens)
        before = np.zeros_like(mask)
        before[:, :-1] = mask[:, 1:]
        return tokens, targets * before[..., None], weight
