"""Everything of a process that belongs to the program that calls mdnn."""

import decimal
import gc
import locale
import logging
import os
import pathlib
import random
import signal
import socket
import sys
import tempfile
import threading
import warnings

import keras
import numpy as np


def snapshot():
    """Returns what a function could change behind its caller's back: a dict from names to values.

    Values can be compared with `==`. Loggers are in it one by one, so that a logger that an
    import makes is an addition and no change.
    """
    state = {
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "locale": locale.setlocale(locale.LC_ALL),
        "time zone": os.environ.get("TZ"),
        "random": random.getstate(),
        "numpy random": repr(np.random.get_state()),
        "numpy errors": np.geterr(),
        "numpy printing": repr(np.get_printoptions()),
        "decimal": repr(decimal.getcontext()),
        "warnings": [repr(entry) for entry in warnings.filters],
        "showwarning": warnings.showwarning,
        "exception hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook),
        "standard streams": (id(sys.stdin), id(sys.stdout), id(sys.stderr)),
        "standard descriptors": [os.fstat(k).st_ino for k in (1, 2)],
        "recursion limit": sys.getrecursionlimit(),
        "switch interval": sys.getswitchinterval(),
        "search path": list(sys.path),
        "arguments": list(sys.argv),
        "garbage collection": (gc.isenabled(), gc.get_threshold()),
        "socket timeout": socket.getdefaulttimeout(),
        "temporary folder": tempfile.tempdir,
        "umask": _umask(),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "trace": (sys.gettrace(), threading.gettrace()),
    }
    if hasattr(os, "sched_getaffinity"):
        state["cores"] = sorted(os.sched_getaffinity(0))
    return state | _loggers() | _keras() | _matplotlib() | _backends()


def changes(before, after):
    """Returns the names of the values that differ, sorted; additions are not changes."""
    return sorted(name for name in before if before[name] != after.get(name))


def _umask():
    """Reads the mask without setting it; `None` where no file tells."""
    path = pathlib.Path("/proc/self/status")
    if not path.exists():
        return None
    return next((line for line in path.read_text().splitlines() if "Umask" in line), None)


def _loggers():
    loggers = {"": logging.getLogger()}
    loggers |= {
        name: logger
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
    }
    found = {
        f"logger {name!r}": (
            logger.level,
            logger.disabled,
            logger.propagate,
            list(map(id, logger.handlers)),
            list(map(id, logger.filters)),
        )
        for name, logger in loggers.items()
    }
    return found | {"logging": logging.root.manager.disable}


def _keras():
    from keras.src.backend.common import global_state

    generator = global_state.get_global_attribute("global_seed_generator")
    return {
        "keras settings": (
            keras.config.floatx(),
            keras.config.epsilon(),
            keras.config.image_data_format(),
            keras.config.backend(),
            keras.config.dtype_policy().name,
            keras.config.is_traceback_filtering_enabled(),
            keras.config.is_interactive_logging_enabled(),
            keras.config.is_flash_attention_enabled(),
        ),
        "keras seed": keras.utils.get_random_seed()
        if hasattr(keras.utils, "get_random_seed")
        else global_state.get_global_attribute("global_random_seed"),
        "keras generator": None
        if generator is None
        else keras.ops.convert_to_numpy(generator.state.value).tolist(),
        "keras distribution": repr(global_state.get_global_attribute("distribution")),
        "keras methods": {
            f"{owner.__name__}.{name}": method
            for owner in (keras.layers.Layer, keras.Model, keras.Variable)
            for name, method in vars(owner).items()
            if callable(method)
        },
    }


def _matplotlib():
    if "matplotlib" not in sys.modules:
        return {}
    import matplotlib

    # Not rcParams["backend"], which would choose one.
    found = {"matplotlib": {k: str(dict.get(matplotlib.rcParams, k)) for k in matplotlib.rcParams}}
    if "matplotlib.pyplot" in sys.modules:
        found["figures"] = sys.modules["matplotlib.pyplot"].get_fignums()
    return found


def _backends():
    found = {}
    if "tensorflow" in sys.modules:
        import tensorflow as tf
        from tensorflow.python.eager import context
        from tensorflow.python.framework import config

        own = context.context()
        generator = getattr(own, "_rng", None)
        found["tensorflow seeds"] = (own._seed, generator and generator.getstate())
        found["tensorflow threads"] = (
            tf.config.threading.get_intra_op_parallelism_threads(),
            tf.config.threading.get_inter_op_parallelism_threads(),
        )
        found["tensorflow settings"] = (
            config.is_op_determinism_enabled(),
            tf.config.functions_run_eagerly(),
            tf.config.get_soft_device_placement(),
            tf.config.optimizer.get_jit(),
            tf.config.optimizer.get_experimental_options(),
            tf.data.experimental.DEBUG_MODE if hasattr(tf.data.experimental, "DEBUG_MODE") else 0,
            tf.get_logger().level,
        )
    if "jax" in sys.modules:
        import jax

        found["jax settings"] = repr(sorted(jax.config.values.items()))
    if "torch" in sys.modules:
        import torch

        found["torch random"] = torch.get_rng_state().tolist()
        found["torch settings"] = (
            torch.get_num_threads(),
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
            torch.get_float32_matmul_precision(),
            torch.is_inference_mode_enabled(),
        )
    return found
