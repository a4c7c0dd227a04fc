"""The float type of networks, whatever type Keras' own layers are made with."""

import contextlib

import keras

from mdnn.keras_settings import check_floatx

POLICY = "float32"


@contextlib.contextmanager
def float32_policy():
    """Makes layers of float32, whatever `keras.config.set_dtype_policy` was told.

    Networks keep float32 weights, which run folders hold, and compute in float32; a training in
    half precision is `train.precision`. Keras has a policy for each thread: that of this one is
    another while the context lasts, and the caller's again afterwards.

    Raises:
        MdnnError: `keras.config.floatx()` is another type: arrays, losses and random numbers
            would be of that type.
    """
    check_floatx(keras.config.floatx())
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICY)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
