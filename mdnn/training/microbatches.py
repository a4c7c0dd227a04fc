"""Splits a training step into microbatches, each computed on a core of its own.

By default TensorFlow splits every operation across all cores, but most operations of a small
network are too short to benefit. With the two halves of the batch in parallel, each operation on
one core, a step of configs/text-grid.toml took 29 ms instead of 39 on 2 cores
(benchmarks/steps.py).
"""

import os

import keras

from mdnn.machine import cores

MAX_MICROBATCHES, MAX_OF_MANY_CORES = 8, 6
"""Maximum number of microbatches of a step, on up to 8 cores and on more.

Each microbatch is unrolled in the graph: a network of four blocks took 15 CPU seconds to its second
step with 2 microbatches, 31 with 8, and 4 times as long with 24. With many cores, each microbatch
uses several of them instead.
"""


def configure_threads(batch_size=None):
    """Configures TensorFlow to run each op on few cores and independent ops in parallel.

    Training then computes the microbatches of a batch in parallel, which makes a step of a small
    network about a quarter faster. Call this before TensorFlow computes anything. The setting
    applies to the whole process, so a single large operation no longer uses all cores.
    `mdnn train` calls this function. If the environment variable TF_NUM_INTRAOP_THREADS is set,
    this function changes nothing and batches are not split.

    Args:
        batch_size: int, number of examples per step. An operation uses more than one core if there
            are more cores than microbatches (at most `MAX_MICROBATCHES`, and a divisor of
            `batch_size`). `None`: one microbatch per core, up to that limit.

    Returns:
        bool, whether the setting was applied. False on a backend other than TensorFlow, with
        TF_NUM_INTRAOP_THREADS, and if TensorFlow was already initialized with other settings.

    Example:

    >>> import mdnn
    >>> mdnn.configure_threads()
    >>> mdnn.train("configs/text.toml", "runs/mine")
    """
    if keras.backend.backend() != "tensorflow" or "TF_NUM_INTRAOP_THREADS" in os.environ:
        return False
    import tensorflow as tf

    threads = _threads(batch_size)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(cores())
    except RuntimeError:
        return False
    return True


def _threads(batch_size):
    """Returns the number of cores per operation."""
    return cores() // (_limit() if batch_size is None else _divisor(batch_size, _limit()))


def _limit():
    """Returns the maximum number of microbatches on this machine."""
    number = cores()
    return number if number <= MAX_MICROBATCHES else MAX_OF_MANY_CORES


def num_microbatches(batch_size):
    """Returns the number of microbatches into which a step splits a batch.

    Args:
        batch_size: int, number of examples.

    Returns:
        int, a divisor of `batch_size`: at most the number of groups of cores that
        `configure_threads` formed; 1 if it was not applied.
    """
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    threads = tf.config.threading.get_intra_op_parallelism_threads()
    return _divisor(batch_size, min(_limit(), cores() // threads)) if threads else 1


def task_microbatches(task):
    """Returns `num_microbatches` of a task's training steps, 1 where they cannot be split.

    Args:
        task: `mdnn.tasks.base.Task`.
    """
    config = task.config
    divisible = task.divisible and config.refeed.supervision_steps == 1
    return num_microbatches(config.train.batch_size) if divisible else 1


def _divisor(batch_size, most):
    """Returns the largest divisor of `batch_size` that is at most `most`."""
    return max(n for n in range(1, max(1, most) + 1) if batch_size % n == 0)
