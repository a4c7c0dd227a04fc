"""Quiet TensorFlow before anything imports it."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

if os.environ.get("KERAS_BACKEND") == "jax":
    # Tests compile much and compute little: this halves their time.
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
