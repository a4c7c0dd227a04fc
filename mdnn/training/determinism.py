"""Makes TensorFlow operations deterministic."""

import contextlib

import keras


@contextlib.contextmanager
def deterministic_ops(enabled):
    """Restricts TensorFlow to deterministic operations inside the context.

    The setting applies to the whole process, including other threads. On exit the previous setting
    is restored.

    Args:
        enabled: bool; has no effect if false, or if Keras uses another backend.
    """
    if not enabled or keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    # TensorFlow has no public function to read or disable the setting.
    from tensorflow.python.framework import config

    before = config.is_op_determinism_enabled()
    tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        if not before:
            config.disable_op_determinism()
