"""MultidimDense against numpy: values and gradients of every combination of options.

On two axes every combination runs. On one axis, where all ways to execute compute the same, and on
three to five axes each sharing with each wiring meets three of the nine ways to execute and to
connect a node to itself, in rotation, so that all pairs of options occur, and one of these at
causal=False; MDNN_EXHAUSTIVE=1 runs everything there, too (some minutes). All ways on one axis, and
four axes, which have nothing that three or five do not have, are among what takes long.
"""

import itertools
import os

import keras
import numpy as np
import pytest
from layer_gradients import output_and_gradients
from multidim_reference import multidim_dense

from mdnn.layers.multidim_dense import MultidimDense

# On PyTorch Keras multiplies float64 in float32.
EXACT = 1e-4 if keras.backend.backend() == "torch" else 1e-9
WORDS = ("causal", "local", "random", "shift")
WIRINGS = [c for r in range(5) for c in itertools.combinations(WORDS, r)]
EXECUTIONS = [("parallel", "ascending"), ("sequential", "ascending"), ("sequential", "descending")]
SELF_CONNECTIONS = ("each", "once", "none")
WAYS = list(itertools.product(EXECUTIONS, SELF_CONNECTIONS))
SHARINGS = ("shared", "separate", "tied", "groups")
EXHAUSTIVE = os.environ.get("MDNN_EXHAUSTIVE", "0") != "0"
SIZES = {1: (4,), 2: (2, 3), 3: (3, 2, 2), 4: (2, 1, 3, 2), 5: (2, 2, 1, 2, 3)}
TIED_SIZE = {1: 4, 2: 3, 3: 2, 4: 2, 5: 2}


def case(n, sharing):
    """Returns grid sizes, named axes, the sharing argument and what kernels differ over."""
    axes = tuple(range(1, n + 1))
    if sharing == "tied":
        return (TIED_SIZE[n],) * n, axes, "tied", dict.fromkeys(axes, ())
    if sharing == "shared":
        return SIZES[n], axes, "shared", dict.fromkeys(axes, ())
    if sharing == "separate":
        return SIZES[n], axes, "separate", {a: tuple(b for b in axes if b != a) for a in axes}
    # Groups: kernels differ over an axis that is carried along, not over another one.
    return (*SIZES[n], 2, 2), axes, (n + 1,), dict.fromkeys(axes, (n + 1,))


def check(n, sharing, execution, order, words, self_connection, modes, rng):
    sizes, axes, argument, over = case(n, sharing)
    options = {"window": 1 if "local" in words else None}
    options["density"], options["seed"] = (0.6, 5) if "random" in words else (None, None)
    layer = MultidimDense(
        axes=axes,
        sharing=argument,
        execution=execution,
        order=order,
        wiring=words or "full",
        self_connection=self_connection,
        kernel_initializer="zeros",
        dtype="float64",
        **options,
    )
    layer.build((None, *sizes))
    kernels = [rng.normal(size=k.shape) for k in layer.kernels]
    layer.set_weights(kernels)
    x, w = rng.normal(size=(2, 2, *sizes))
    for causal in modes:

        def reference(x, kernels, causal=causal):
            return multidim_dense(
                x,
                kernels,
                axes,
                over,
                tied=sharing == "tied",
                execution=execution,
                order=order,
                words=words,
                self_connection=self_connection,
                causal=causal,
                **options,
            )

        y, dx, dkernels = output_and_gradients(layer, x, w, causal=causal)
        # Derivatives along random directions by the complex step, exact to rounding.
        way_x, way_k = rng.normal(size=x.shape), [rng.normal(size=k.shape) for k in kernels]
        by_x = reference(x + 1e-30j * way_x, kernels)
        np.testing.assert_allclose(y, by_x.real, rtol=EXACT, atol=EXACT)
        np.testing.assert_allclose(
            np.sum(dx * way_x), np.sum(by_x.imag * 1e30 * w), rtol=EXACT, atol=EXACT
        )
        by_k = reference(x, [k + 1e-30j * way for k, way in zip(kernels, way_k, strict=True)])
        np.testing.assert_allclose(
            sum(np.sum(d * way) for d, way in zip(dkernels, way_k, strict=True)),
            np.sum(by_k.imag * 1e30 * w),
            rtol=EXACT,
            atol=EXACT,
        )


@pytest.fixture(autouse=True)
def double_precision():
    """JAX computes in float64 only when told to."""
    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def ways(n, sharing, words, every=EXHAUSTIVE):
    """Returns tuples of execution, order, self-connection and values of `causal` to check."""
    modes = (None, False) if "causal" in words else (None,)
    if n == 2 or every:
        return [(*execution, keep, modes) for execution, keep in WAYS]
    start = WIRINGS.index(words) + SHARINGS.index(sharing) + n
    return [
        (*execution, SELF_CONNECTIONS[(start + i) % 3], modes if (start - i) % 3 == 0 else (None,))
        for i, execution in enumerate(EXECUTIONS)
    ]


@pytest.mark.parametrize("words", WIRINGS, ids=lambda words: "+".join(words) or "full")
@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize("n", [1, 2, 3, pytest.param(4, marks=pytest.mark.long), 5])
def test_values_and_gradients(n, sharing, words):
    rng = np.random.default_rng(n)
    for execution, order, self_connection, modes in ways(n, sharing, words):
        check(n, sharing, execution, order, words, self_connection, modes, rng)


@pytest.mark.long
@pytest.mark.parametrize("words", WIRINGS, ids=lambda words: "+".join(words) or "full")
@pytest.mark.parametrize("sharing", SHARINGS)
def test_one_axis_in_every_way(sharing, words):
    rng = np.random.default_rng(1)
    for execution, order, self_connection, modes in ways(1, sharing, words, every=True):
        check(1, sharing, execution, order, words, self_connection, modes, rng)
