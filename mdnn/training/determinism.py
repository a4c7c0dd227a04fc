"""Operations of TensorFlow that give the same result each time."""

import contextlib

import keras


@contextlib.contextmanager
def deterministic_ops(enabled):
    """Lets TensorFlow run deterministic operations alone, and gives its setting back.

    The setting is one for the whole process: what other threads compute meanwhile is
    deterministic, too.

    Args:
        enabled: boolean; where it is false, or Keras runs on another backend, nothing is done.
    """
    if not enabled or keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    # TensorFlow has no public function that reads the setting or takes it back.
    from tensorflow.python.framework import config

    before = config.is_op_determinism_enabled()
    tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        if not before:
            config.disable_op_determinism()
