"""What lets the tests, written for TensorFlow and JAX, run with Keras on PyTorch."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

TRAIN = """
import json, sys, mdnn
result = mdnn.train(mdnn.load_config(sys.argv[1]), sys.argv[2], resume=sys.argv[3:] == ["resume"],
                    show=False)
print(json.dumps(result))
"""
"""Trains the config at the first path into the second; prints the result."""

OPERATORS = (
    *("add", "sub", "mul", "truediv", "radd", "rsub", "rmul", "rtruediv"),
    *("lt", "le", "gt", "ge"),
)


def prepare():
    """Lets arrays and tensors mix as on the other backends, and `mdnn.train` train.

    PyTorch refuses to read a tensor with a gradient as an array, and to add, multiply or compare
    a tensor and an array. Tests compare values: what a tensor holds is all they ask for.
    """
    import torch

    import mdnn

    torch.Tensor.__array__ = _as_array
    for name in OPERATORS:
        name = f"__{name}__"
        setattr(torch.Tensor, name, _with_arrays(getattr(torch.Tensor, name)))
    mdnn.train = train


def _as_array(tensor, dtype=None, copy=None):
    tensor = tensor.detach().cpu()
    array = (tensor.float() if "bfloat16" in str(tensor.dtype) else tensor).numpy()
    return np.array(array, dtype=dtype, copy=copy)


def _with_arrays(operator):
    @functools.wraps(operator)
    def run(tensor, other):
        if isinstance(other, np.ndarray | np.generic):
            other = tensor.new_tensor(np.array(other))
        return operator(tensor, other)

    return run


def train(config, out, resume=False, show=False):
    """Trains as `mdnn.train` does, in a process whose Keras runs on TensorFlow.

    Args:
        config: `mdnn.Config`, or the path of a config file.
        out: the run folder to make.
        resume: boolean.
        show: ignored.

    Returns:
        The dict that `mdnn.train` returns.
    """
    out = Path(out)
    if not isinstance(config, str | Path):
        path = out.with_name(f"{out.name}.toml")
        path.write_text(config.to_toml(), encoding="utf-8")
        config = path
    environment = os.environ | {"KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, "-c", TRAIN, str(config), str(out), *["resume"] * resume]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
