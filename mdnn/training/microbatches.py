"""A training step on several cores: each computes a part of the batch by itself.

TensorFlow gives every operation to all cores by itself, and most operations of a small network are
too short for that. With the halves of the batch side by side, each operation on one core, a step
of configs/text-grid.toml took 29 ms on 2 cores in place of 39 (benchmarks/steps.py).
"""

import os

import keras

from mdnn.machine import cores

MAX_MICROBATCHES, MAX_OF_MANY_CORES = 8, 6
"""The most microbatches of a step, on up to 8 cores and on more. Each is unrolled in the graph: a
network of four blocks took 15 CPU seconds to its second step in 2 microbatches, 31 in 8 and 4 times
as long in 24. On many cores a microbatch gets several of them instead."""


def configure_threads(batch=None):
    """Lets TensorFlow give each operation to few cores, and operations to all of them.

    Training computes the parts of a batch side by side then, and a step of a small network takes
    a quarter less time. It must come before TensorFlow computes anything, and holds for the whole
    process: a large operation on its own is no longer given to all cores. `mdnn train` calls it.
    Where the environment says TF_NUM_INTRAOP_THREADS, that stands, and batches stay whole.

    Args:
        batch: int, examples of a step: an operation gets more than one core where there are more
            cores than microbatches (at most `MAX_MICROBATCHES`, and a divisor of `batch`).
            `None`: as many microbatches as there are cores, up to that.

    Returns:
        Whether it is so now; False on a backend other than TensorFlow, and where TensorFlow had
        begun to compute with other numbers.

    Example:

    >>> import mdnn
    >>> mdnn.configure_threads()
    >>> mdnn.train("configs/text.toml", "runs/mine")
    """
    if keras.backend.backend() != "tensorflow" or "TF_NUM_INTRAOP_THREADS" in os.environ:
        return False
    import tensorflow as tf

    threads = _threads(batch)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(cores())
    except RuntimeError:
        return False
    return True


def _threads(batch):
    """How many cores an operation gets."""
    return cores() // (_limit() if batch is None else _divisor(batch, _limit()))


def _limit():
    """The most microbatches on this machine."""
    number = cores()
    return number if number <= MAX_MICROBATCHES else MAX_OF_MANY_CORES


def num_microbatches(batch):
    """In how many parts a step computes a batch.

    Args:
        batch: int, examples.

    Returns:
        int, a divisor of `batch`: as many as there are groups of cores that `configure_threads`
        made, if it did, at most. Otherwise 1.
    """
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    threads = tf.config.threading.get_intra_op_parallelism_threads()
    return _divisor(batch, min(_limit(), cores() // threads)) if threads else 1


def _divisor(batch, most):
    """The largest divisor that is not above `most`, or 1."""
    return max(n for n in range(1, max(1, most) + 1) if batch % n == 0)
