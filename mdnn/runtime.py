"""Imports TensorFlow and Keras without log messages, and restores logging settings."""

import contextlib
import gc
import logging
import os
import sys
import tempfile
import threading

from mdnn.keras_settings import check_environment, import_keras


def quiet_import(prepare=None):
    """Imports Keras and its backend without the backend's messages on standard error.

    C++ code writes these messages before it reads any setting, so that standard error is redirected
    meanwhile. If the import fails the messages are shown.

    Args:
        prepare: function without arguments, called before TensorFlow computes anything, for
            settings that cannot be changed later; `None` for none.

    Raises:
        MdnnError: mdnn does not support the settings of Keras.
    """
    check_environment()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    kept = os.dup(2)
    with tempfile.TemporaryFile() as greetings:
        os.dup2(greetings.fileno(), 2)
        try:
            tf = None
            with without_collections():
                # Keras imports PyTorch, which must precede TensorFlow.
                import_keras()
                # Keras also imports TensorFlow for some modules on other backends.
                with contextlib.suppress(ModuleNotFoundError):
                    import tensorflow as tf
            if tf is not None:
                if prepare is not None:
                    prepare()
                # The first int32 transpose says, once in a process, that oneDNN does not do it.
                tf.transpose(tf.constant([[0]]))
        except BaseException:
            greetings.seek(0)
            os.write(kept, greetings.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@contextlib.contextmanager
def without_collections():
    """Context manager in which Keras is imported for the first time, without collecting garbage.

    Imports make 365,000 objects that stay: looking for garbage among them takes a quarter of the
    time of the imports, and 0.3 s in each later collection. So they are exempted from those. Where
    Keras is imported already, nothing changes.
    """
    if "keras" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextlib.contextmanager
def quiet_logger(name, level):
    """Context manager that drops a logger's records below a level from the current thread.

    The level of the logger and records of other threads are unchanged.

    Args:
        name: str, the name of the logger.
        level: int, a level of the module `logging`.
    """
    logger, thread = logging.getLogger(name), threading.get_ident()

    def is_told(record):
        return record.levelno >= level or record.thread != thread

    logger.addFilter(is_told)
    try:
        yield
    finally:
        logger.removeFilter(is_told)


@contextlib.contextmanager
def kept_logging():
    """Context manager that restores the root and absl loggers after TensorFlow's changes.

    TensorFlow's first message adds a handler to the root logger, if it has none, and sets the level
    of the absl logger.
    """
    loggers = [logging.getLogger(), logging.getLogger("absl")]
    before = [(logger.level, logger.handlers[:]) for logger in loggers]
    try:
        yield
    finally:
        for logger, (level, handlers) in zip(loggers, before, strict=True):
            logger.setLevel(level)
            for handler in logger.handlers[:]:
                if handler not in handlers:
                    logger.removeHandler(handler)
