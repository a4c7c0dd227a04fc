"""Importing TensorFlow without its greetings."""

import contextlib
import logging
import os
import tempfile
import threading

from mdnn.keras_settings import check_environment, import_keras


def quiet_import(prepare=None):
    """Imports Keras and its backend without the backend's greetings on standard error.

    They are written by C++ before any setting is read. If the import fails they are shown.

    Args:
        prepare: function of no arguments, called before TensorFlow computes anything: for
            settings that cannot be changed later.

    Raises:
        MdnnError: settings of Keras that mdnn cannot run with.
    """
    check_environment()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    kept = os.dup(2)
    with tempfile.TemporaryFile() as greetings:
        os.dup2(greetings.fileno(), 2)
        try:
            # PyTorch has to be imported before TensorFlow: Keras does that.
            import_keras()
            # Keras imports TensorFlow for some of its parts on other backends, too.
            with contextlib.suppress(ModuleNotFoundError):
                import tensorflow as tf

                if prepare is not None:
                    prepare()
                tf.constant(0)
        except BaseException:
            greetings.seek(0)
            os.write(kept, greetings.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@contextlib.contextmanager
def quiet_logger(name, level):
    """Leaves out a logger's records below a level that this thread makes.

    The logger's own level is the caller's, and what other threads tell is told.

    Args:
        name: string, the logger's.
        level: int, as of the module `logging`.
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
    """Takes back what TensorFlow's logging does to the loggers of the whole process.

    Its first message gives the root logger a handler, where there is none, and absl's a level.
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
