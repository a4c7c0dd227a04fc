"""A small ConvLSTM in Keras that continues films: what the network is measured beside."""

import time

import keras
import numpy as np
from film_data import FRAMES, SEEN, SIDE

LIMITS = (4, 256)
"""The least and the most filters of a layer."""
BATCH = 16
"""Films per step."""
RATE = 2e-3
"""The learning rate that training begins with."""


def convlstm(filters):
    """Returns a ConvLSTM (Shi et al. 2015, arXiv 1506.04214) of two layers, 3 x 3 kernels.

    Its input are all moments of a film, those to be written empty; a second channel says which are
    shown. Its output are all moments, from 0 to 1.

    Args:
        filters: Integer, channels of both layers.
    """
    inputs = keras.Input((FRAMES, SIDE, SIDE, 2))
    x = inputs
    for _ in range(2):
        x = keras.layers.ConvLSTM2D(filters, 3, padding="same", return_sequences=True)(x)
    x = keras.layers.TimeDistributed(keras.layers.Conv2D(1, 1, activation="sigmoid"))(x)
    return keras.Model(inputs, x[..., 0])


def of_weights(count):
    """Returns the `convlstm` whose number of weights is nearest to `count`."""

    def weights(filters):
        return (
            4 * filters * (9 * (2 + filters) + 1) + 4 * filters * (18 * filters + 1) + filters + 1
        )

    return convlstm(min(range(*LIMITS), key=lambda filters: abs(weights(filters) - count)))


def shown(films):
    """Returns inputs float32 `[n, 8, 16, 16, 2]` for films uint8 `[n, 8, 16, 16]`."""
    inputs = np.zeros((*films.shape, 2), "float32")
    inputs[:, :SEEN, ..., 0] = films[:, :SEEN] / 255
    inputs[:, :SEEN, ..., 1] = 1
    return inputs


class _TimeLimit(keras.callbacks.Callback):
    """Lowers the learning rate on a cosine over the time that there is, and then stops."""

    def __init__(self, seconds, rate, step_seconds):
        super().__init__()
        self.seconds, self.rate, self.steps = seconds, rate, 0
        self.step_seconds = step_seconds

    def on_train_begin(self, logs=None):
        self.begun = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        gone = self.steps * self.step_seconds or time.perf_counter() - self.begun
        share = min(1.0, gone / self.seconds)
        self.model.optimizer.learning_rate = self.rate * (0.55 + 0.45 * np.cos(np.pi * share))
        self.model.stop_training = share >= 1.0


def trained(model, films, minutes, step_seconds=0.0):
    """Trains a ConvLSTM on the squared error of the frames that are not shown.

    Args:
        model: as `convlstm` returns it.
        films: uint8 `[n, 8, 16, 16]`.
        minutes: of training, compiling it included.
        step_seconds: what each step counts, a float; 0.0: the time that it takes.

    Returns:
        Integer, the steps that it took.
    """
    limit = _TimeLimit(60 * minutes, RATE, step_seconds)
    _prepare(model)
    right = films.astype("float32") / 255
    steps = {"batch_size": BATCH, "epochs": 100_000, "verbose": 0}
    model.fit(shown(films), right, callbacks=[limit], **steps)
    return limit.steps


def step_taker(model, films):
    """Returns a function that takes a training step."""
    _prepare(model)
    inputs, right = shown(films[:BATCH]), films[:BATCH].astype("float32") / 255
    return lambda: model.train_on_batch(inputs, right)


def _prepare(model):
    """Compiles a model for `fit`."""
    weights = np.zeros((1, FRAMES, 1, 1), "float32")
    weights[:, SEEN:] = FRAMES / (FRAMES - SEEN)

    def error(right, predicted):
        return keras.ops.mean(keras.ops.square(right - predicted) * weights)

    model.compile(keras.optimizers.Adam(RATE, global_clipnorm=1.0), error)
    keras.utils.set_random_seed(1)


def continued(model, films):
    """Returns the frames that follow the first two, uint8 `[n, 6, 16, 16]`."""
    found = model.predict(shown(films), batch_size=64, verbose=0)[:, SEEN:]
    return np.rint(255 * found).astype("uint8")
