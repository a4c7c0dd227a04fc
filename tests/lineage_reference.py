"""The lineage's arithmetic term by term in numpy, for the tests of `mdnn/layer.py`."""

import pathlib

import numpy as np
import pytest

PUBLISHED = pathlib.Path(__file__).parents[2] / "shared" / "data" / "lineage"
published = pytest.mark.skipif(not PUBLISHED.is_dir(), reason="no ../shared/data/lineage here")


def random_weights(grid, modes, seed=0):
    """Kernels for every axis, keyed by its negative number."""
    rng = np.random.default_rng(seed)
    n = len(grid)
    modes = [modes] * n if isinstance(modes, str) else modes
    shapes = [
        (d, d) if mode == "shared" else (*grid, d) for d, mode in zip(grid, modes, strict=True)
    ]
    return {i - n: rng.normal(size=shape) for i, shape in enumerate(shapes)}


def mix(x, kernel, axis):
    """One axis: y[…, j, …] = Σ_i x[…, i, …] · w[i, j] (shared) or · w[…, i, …, j] (separate)."""
    grid, o = x.shape[1:], kernel.shape[-1]
    at = axis % len(grid)
    y = np.zeros((*x.shape[: at + 1], o, *x.shape[at + 2 :]))
    for source in np.ndindex(grid):
        row = kernel[source[at]] if kernel.ndim == 2 and len(grid) > 1 else kernel[source]
        for j in range(o):
            target = (*source[:at], j, *source[at + 1 :])
            y[(slice(None), *target)] += x[(slice(None), *source)] * row[j]
    return y


def parallel(x, weights):
    return sum(mix(x, kernel, axis) for axis, kernel in weights.items())


def sequential(x, weights, order="ascending"):
    for axis in sorted(weights, reverse=order == "descending"):
        x = mix(x, weights[axis], axis)
    return x
