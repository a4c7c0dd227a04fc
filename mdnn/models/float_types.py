"""Fixes the dtype policy of networks to float32, independent of Keras' global policy."""

import contextlib

import keras

from mdnn.keras_settings import check_floatx

POLICY = "float32"


@contextlib.contextmanager
def float32_policy():
    """Context manager in which layers are float32 under any `keras.config.set_dtype_policy`.

    Networks have float32 weights, as stored in run folders, and compute in float32; for training
    in half precision see `train.precision`. Keras has one policy per thread: this one changes the
    policy of the current thread and restores it at the end.

    Raises:
        MdnnError: `keras.config.floatx()` is not float32, which would change the dtype of arrays,
            losses and random numbers.
    """
    check_floatx(keras.config.floatx())
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICY)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
