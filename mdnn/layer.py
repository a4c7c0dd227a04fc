"""The lineage: the callables of the paper's own layer.py, as Keras layers.

Names, arguments, shapes, results and weights on disk are the lineage's; the layers also save
(.keras), load (in a process that has imported `mdnn.layer`), export, and refuse what does not
fit. The arithmetic is `MultidimDense`'s, which new networks should use: it can do more.

A grid `[d1, …, dn]` has the axes -n … -1. The kernel of an axis of size `d` with the output size
`o` is `[d, o]` (`shared`) or `[d1, …, dn, o]` (`separate`): the last index says where along the
axis a value goes, the ones before it where it comes from. A pass along one axis `a` is
`y[…, j at a, …] = Σ_i x[…, i at a, …] · kernel[…, i, …, j]`.
(Mohamed Ibrahim, "Multidimensional neural networks part 1".)
"""

import keras

from mdnn.errors import MdnnError
from mdnn.paper.kernel_init import LineageUniform
from mdnn.paper.paper_layers import LineageLayer
from mdnn.paper.roll import LineageRollLayer
from mdnn.paper.weight_checks import check_size, check_word
from mdnn.paper.weights import double, load_weights, save_weights

__all__ = [
    "MNN",
    "LineageLayer",
    "LineageRollLayer",
    "LineageUniform",
    "MNN_tf",
    "double",
    "load_weights",
    "multidimensional_layer",
    "multidimensional_layer_separate",
    "multidimensional_layer_shared",
    "resizing_layer",
    "save_weights",
]


def multidimensional_layer(
    shape, view, execution="parallel", sequential_order="ascending", **weight_arguments
):
    """The layer of April 2025: every axis mixed, in parallel or one after another.

    Args:
        shape: The grid `[d1, …, dn]`, without the batch.
        view: What the later versions call `mode`, see `LineageLayer`.
        execution: `"parallel"` or `"sequential"`.
        sequential_order: `"ascending"` (first axis first) or `"descending"`.
        **weight_arguments: `initializer`, `regularizer` and `constraint` of every kernel, also
            spelt `kernel_initializer` and so on; and what any Keras layer takes: `name`, `dtype`,
            `trainable`.

    Returns:
        A `LineageLayer`.

    Raises:
        ValueError: If an argument is none of the above.

    Example:

    >>> layer = multidimensional_layer([2, 3], "separate", initializer="ones")
    >>> {axis: kernel.shape for axis, kernel in layer.kernels.items()}
    {-2: (2, 3, 2), -1: (2, 3, 3)}
    """
    check_word("execution", execution, ("parallel", "sequential"))
    for name in ("initializer", "regularizer", "constraint"):
        if name in weight_arguments and f"kernel_{name}" in weight_arguments:
            raise MdnnError(f"Expected one of `{name}` and `kernel_{name}`. Received: both")
        if name in weight_arguments:
            weight_arguments[f"kernel_{name}"] = weight_arguments.pop(name)
    return LineageLayer(shape, view, execution, sequential_order, **weight_arguments)


def resizing_layer(shape, axis, output_shape, spatial_sharing):
    """One axis mixed and given another size (April 2025).

    Args:
        shape: The grid `[d1, …, dn]`, without the batch.
        axis: The axis to resize, as an index into `shape`.
        output_shape: Integer, the new size of that axis.
        spatial_sharing: Boolean, whether all positions of the other axes share one kernel.

    Returns:
        A `LineageLayer`.

    Raises:
        ValueError: If an argument is none of the above.
    """
    check_size("output_shape", output_shape)
    mode = "shared" if spatial_sharing else "separate"
    return LineageLayer(shape, mode, "single", single_axis=axis, axis_output=output_shape)


def multidimensional_layer_separate(shape, identity=True, use_bias=False):
    """The layer of April 2025 that joins each node to itself once: a `LineageRollLayer`."""
    return LineageRollLayer(shape, identity, use_bias)


def multidimensional_layer_shared(shape, use_bias=False):
    """A plain dense on each axis in turn, the last axis first (April 2025).

    Args:
        shape: The grid `[d1, …, dn]`, without the batch.
        use_bias: Boolean, whether each dense adds a bias of its axis's size. It starts at zero.

    Returns:
        A `LineageLayer`.

    Raises:
        ValueError: If the shape is no grid.
    """
    return LineageLayer(shape, "shared", "sequential", "descending", use_bias=use_bias)


def MNN_tf(  # noqa: N802
    shape,
    mode="separate",
    execution="parallel",
    sequential_order="ascending",
    single_axis=None,
    axis_output=None,
    kernel_initializer="glorot_uniform",
    kernel_regularizer=None,
    kernel_constraint=None,
    weights=None,
    **kwargs,
):
    """The layer of May 2025: a `LineageLayer`, whose arguments these are.

    Example:

    >>> import numpy as np
    >>> layer = MNN_tf([2, 3], "shared", weights={-2: np.eye(2), -1: np.eye(3)})
    >>> np.asarray(layer(np.ones((1, 2, 3)))).tolist()
    [[[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]]
    """
    return LineageLayer(
        shape,
        mode,
        execution,
        sequential_order,
        single_axis,
        axis_output,
        kernel_initializer,
        kernel_regularizer,
        kernel_constraint,
        weights,
        **kwargs,
    )


def MNN(  # noqa: N802
    shape,
    backend,
    mode="separate",
    execution_order="parallel",
    sequential_order="ascending",
    single_axis=None,
    axis_output=None,
    weights=None,
    **kwargs,
):
    """The layer of June 2025: a `LineageLayer` that starts with `LineageUniform`.

    Args:
        shape: The grid `[d1, …, dn]`, without the batch.
        backend: `"tf"`, `"tensorflow"` or `"keras"`: the backend that Keras runs on; or `"jax"`,
            if that is JAX.
        mode: As in `LineageLayer`.
        execution_order: What `LineageLayer` calls `execution`.
        sequential_order: As in `LineageLayer`.
        single_axis: As in `LineageLayer`.
        axis_output: As in `LineageLayer`.
        weights: As in `LineageLayer`.
        **kwargs: Further arguments of `LineageLayer`.

    Returns:
        A `LineageLayer`.

    Raises:
        ValueError: If the backend is another one, or an argument is none of `LineageLayer`'s.
    """
    supported = ("tf", "tensorflow", "keras", "jax")
    if backend not in supported:
        raise MdnnError(
            f"Expected `backend` to be one of {', '.join(supported)}; other backends, such as "
            f"torch, are not supported. Received: {backend!r}"
        )
    if backend == "jax" and keras.backend.backend() != "jax":
        raise MdnnError(
            "Expected Keras to run on JAX where `backend` is 'jax': set KERAS_BACKEND=jax before "
            f"starting Python. Received: Keras on {keras.backend.backend()}"
        )
    kwargs.setdefault("kernel_initializer", LineageUniform())
    return LineageLayer(
        shape,
        mode,
        execution_order,
        sequential_order,
        single_axis,
        axis_output,
        weights=weights,
        **kwargs,
    )
