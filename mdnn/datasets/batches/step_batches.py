"""Defines the base of batches that are pure functions of the step."""

import keras


class StepBatches(keras.utils.PyDataset):
    """Base of batches that are pure functions of the step; subclasses define `at(step)`.

    An epoch has `steps` batches, each `(inputs, targets)`, or `(inputs, targets, weights)` if `at`
    returns weights; the next epoch continues with the following steps. Pass `shuffle=False` to
    `fit` to keep the order. Workers, if any, must be threads.

    Args:
        steps: int, batches per epoch.
        first_step: int, the step of the first epoch's first batch.
        repeat: bool; `True` repeats the same batches in every epoch (for validation).
        **kwargs: Arguments of `keras.utils.PyDataset`.
    """

    def __init__(self, steps, first_step=0, repeat=False, **kwargs):
        super().__init__(**kwargs)
        self.steps = int(steps)
        self.first_step = int(first_step)
        self.repeat = bool(repeat)
        # Indices of this epoch's batches that were requested; None before the first epoch.
        self._requested = None

    def at(self, step):
        """Returns the batch of a step, a dict of `tokens`, `targets` and optional `weights`."""
        raise NotImplementedError

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        if self._requested is not None:
            self._requested.add(index)
        batch = self.at(self.first_step + index)
        weights = batch.pop("weights", None)
        if weights is None:
            return batch, batch["targets"]
        return batch, batch["targets"], weights

    def on_epoch_begin(self):
        """Advances to the next steps after a complete epoch (called by Keras).

        Keras also starts epochs to infer shapes, without requesting every batch; these are not
        counted.
        """
        complete = self._requested is not None and len(self._requested) == self.steps
        if complete and not self.repeat:
            self.first_step += self.steps
        self._requested = set()
