"""Compiled functions and their gradients on the backend at hand, for the benchmarks."""

import time

import keras
import numpy as np


def compiled(function):
    """The function of tensors, compiled as the training loop compiles: no XLA on TensorFlow."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return _function(function)


def with_gradients(function):
    """A compiled `(x, kernels, cotangent) -> (y, dx, dkernels)` of `function(x, kernels)`."""
    if keras.backend.backend() == "jax":
        import jax

        def both(x, kernels, cotangent):
            y, back = jax.vjp(function, x, kernels)
            return y, *back(cotangent)

        return jax.jit(both)
    import tensorflow as tf

    def both(x, kernels, cotangent):
        with tf.GradientTape() as tape:
            tape.watch([x, *kernels])
            y = function(x, kernels)
        dx, *dkernels = tape.gradient(y, [x, *kernels], cotangent)
        return y, dx, dkernels

    return _function(both)


def _function(function):
    import tensorflow as tf

    # Many functions of one name are made here, each traced once: TensorFlow takes them for one.
    tf.get_logger().setLevel("ERROR")
    return tf.function(function, autograph=False)


def finished(value):
    """Waits until a value is computed: JAX returns before it is."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.block_until_ready(value)
    return value


def peak_bytes(function, *arguments):
    """The most memory that a call takes beside its arguments, its results included.

    Args:
        function: what `compiled` or `with_gradients` gave.
        arguments: its arguments.

    Returns:
        Bytes; `None` where the backend does not count them (TensorFlow counts with oneDNN only).
    """
    if keras.backend.backend() == "jax":
        about = function.lower(*arguments).compile().memory_analysis()
        return about.temp_size_in_bytes + about.output_size_in_bytes
    import tensorflow as tf

    counted = tf.config.experimental
    function(*arguments)
    try:
        counted.reset_memory_stats("CPU:0")
        before = counted.get_memory_info("CPU:0")["current"]
        value = function(*arguments)
        peak = counted.get_memory_info("CPU:0")["peak"]
    except ValueError:
        return None
    del value
    return peak - before


def medians(functions, seconds=1.0, least=5):
    """Times functions of no arguments in turn, so that what disturbs one disturbs all.

    Args:
        functions: dict from names to functions; each is called twice before.
        seconds: about how long to go on for each function.
        least: how often each is called at least.

    Returns:
        dict from names to the median seconds of a call.
    """
    for function in functions.values():
        finished(function())
        finished(function())
    times = {name: [] for name in functions}
    end = time.perf_counter() + seconds * len(functions)
    while time.perf_counter() < end or min(map(len, times.values())) < least:
        for name, function in functions.items():
            begun = time.perf_counter()
            finished(function())
            times[name].append(time.perf_counter() - begun)
    return {name: float(np.median(values)) for name, values in times.items()}
