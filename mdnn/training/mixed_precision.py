"""Mixed-precision training: compute in bfloat16 or float16, keep float32 weights."""

import contextlib
import functools
from pathlib import Path

import keras

from mdnn.models.tandem.members import Members

# CPU flags of bfloat16 matrix instructions; without them bfloat16 is slower than float32.
INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}


def resolved(word):
    """Returns the compute dtype for a value of `train.precision`.

    Args:
        word: a dtype name, which is returned as it is, or `"auto"`: `"bfloat16"` on machines with
            hardware support for it, otherwise `"float32"`.
    """
    if word != "auto":
        return word
    return "bfloat16" if machine_has_bfloat16() else "float32"


@functools.cache
def machine_has_bfloat16():
    """Returns whether this machine has fast bfloat16 matrix products.

    True for an accelerator (on JAX), or for a processor with one of `INSTRUCTIONS` among its flags
    in /proc/cpuinfo (Linux).
    """
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
    """Makes the layers of a model compute in another dtype inside the context.

    Weights keep their dtype. Functions traced inside the context keep the compute dtype. Layers
    whose dtype policy is not float32 are unchanged.

    Args:
        model: a `keras.Model`.
        dtype: `"float32"`, which changes nothing, `"bfloat16"` or `"float16"`.
    """
    if dtype == "float32":
        yield
        return
    # A loss with derived weights computes with the layers of another network.
    model = getattr(model, "computing", model)
    changed = [layer for layer in all_layers(model) if layer.dtype_policy.name == "float32"]
    for layer in changed:
        layer.dtype_policy = f"mixed_{dtype}"
    try:
        yield
    finally:
        for layer in changed:
            layer.dtype_policy = "float32"


def all_layers(model):
    """Returns all layers of a model, including nested layers and those that members share."""
    layers = list(model._flatten_layers(include_self=False))
    for layer in list(layers):
        if isinstance(layer, Members):
            layers += layer.template._flatten_layers(include_self=False)
    return layers
