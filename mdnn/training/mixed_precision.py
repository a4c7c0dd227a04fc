"""Training in half the bits: which numbers a step computes with, whatever the weights are."""

import contextlib
import functools
from pathlib import Path

import keras

# Instructions that multiply matrices of bfloat16; without them a processor is slower with it.
INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}


def resolved(word):
    """The dtype of `train.precision`: `"auto"` is `"bfloat16"` where the machine has it.

    Args:
        word: `"float32"`, `"bfloat16"` or `"auto"`.
    """
    if word != "auto":
        return word
    return "bfloat16" if machine_has_bfloat16() else "float32"


@functools.cache
def machine_has_bfloat16():
    """Whether products of bfloat16 are made for this machine: an accelerator, or a processor
    whose flags (Linux) name one of `INSTRUCTIONS`."""
    if keras.backend.backend() == "jax":
        import jax

        if jax.default_backend() != "cpu":
            return True
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return False
    flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return not INSTRUCTIONS.isdisjoint(flags.split())


@contextlib.contextmanager
def compute_dtype_scope(model, dtype):
    """While it lasts, the layers of a model compute in another dtype; weights stay as they are.

    What is traced meanwhile keeps computing so. Layers of another dtype than float32 are left
    alone.

    Args:
        model: a `keras.Model`.
        dtype: `"float32"`, which changes nothing, or `"bfloat16"`.
    """
    if dtype == "float32":
        yield
        return
    changed = [layer for layer in all_layers(model) if layer.dtype_policy.name == "float32"]
    for layer in changed:
        layer.dtype_policy = f"mixed_{dtype}"
    try:
        yield
    finally:
        for layer in changed:
            layer.dtype_policy = "float32"


def all_layers(model):
    """All layers of a model, those inside of others among them."""
    return model._flatten_layers(include_self=False)
