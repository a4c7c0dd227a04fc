"""The functions of the paper's layer.py (the "lineage") as Keras layers.

Names, arguments, shapes, results and weight files equal those of the paper's code. The layers can
also be saved (.keras), loaded (in a process that has imported `mdnn.layer`) and exported, and they
refuse invalid arguments. They compute with `MultidimDense`, which new networks should use
directly.

A grid `[d1, …, dn]` has the axes -n … -1. The kernel of an axis of size `d` with the output size
`o` is `[d, o]` (`shared`) or `[d1, …, dn, o]` (`separate`): the last index is the output position
along the axis, the others are the input position. A pass along one axis `a` is
`y[…, j at a, …] = Σ_i x[…, i at a, …] · kernel[…, i, …, j]`.
(Mohamed Ibrahim, "Multidimensional neural networks part 1".)
"""

import keras

from mdnn.errors import MdnnError
from mdnn.paper.kernel_init import LineageUniform
from mdnn.paper.paper_layers import LineageLayer
from mdnn.paper.roll import LineageRollLayer
from mdnn.paper.weight_checks import known_word, positive_size
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
    """Builds the layer of April 2025, which mixes every axis in parallel or in sequence.

    Args:
        shape: ints `[d1, …, dn]`, the grid without the batch.
        view: the argument `mode` of `LineageLayer`.
        execution: `"parallel"` or `"sequential"`.
        sequential_order: `"ascending"` (first axis first) or `"descending"`.
        **weight_arguments: `initializer`, `regularizer` and `constraint` of every kernel, or
            `kernel_initializer` and so on; and the arguments of any Keras layer: `name`, `dtype`,
            `trainable`.

    Returns:
        A `LineageLayer`.

    Raises:
        ValueError: an argument is invalid.

    Example:

    >>> layer = multidimensional_layer([2, 3], "separate", initializer="ones")
    >>> {axis: kernel.shape for axis, kernel in layer.kernels.items()}
    {-2: (2, 3, 2), -1: (2, 3, 3)}
    """
    known_word("execution", execution, ("parallel", "sequential"))
    for name in ("initializer", "regularizer", "constraint"):
        if name in weight_arguments and f"kernel_{name}" in weight_arguments:
            raise MdnnError(f"Expected one of `{name}` and `kernel_{name}`. Received: both")
        if name in weight_arguments:
            weight_arguments[f"kernel_{name}"] = weight_arguments.pop(name)
    return LineageLayer(shape, view, execution, sequential_order, **weight_arguments)


def resizing_layer(shape, axis, output_shape, spatial_sharing):
    """Builds a layer that mixes and resizes one axis (April 2025).

    Args:
        shape: ints `[d1, …, dn]`, the grid without the batch.
        axis: int, the axis to resize, as an index into `shape`.
        output_shape: int, the new size of that axis.
        spatial_sharing: bool, whether all positions of the other axes share one kernel.

    Returns:
        A `LineageLayer`.

    Raises:
        ValueError: an argument is invalid.
    """
    positive_size("output_shape", output_shape)
    mode = "shared" if spatial_sharing else "separate"
    return LineageLayer(shape, mode, "single", single_axis=axis, axis_output=output_shape)


def multidimensional_layer_separate(shape, identity=True, use_bias=False):
    """Builds the layer of April 2025 that connects each position to itself once.

    Args:
        shape, identity, use_bias: As in `LineageRollLayer`.

    Returns:
        A `LineageRollLayer`.
    """
    return LineageRollLayer(shape, identity, use_bias)


def multidimensional_layer_shared(shape, use_bias=False):
    """Builds a sequence of shared dense passes, last axis first (April 2025).

    Args:
        shape: ints `[d1, …, dn]`, the grid without the batch.
        use_bias: bool, whether each pass adds a bias of its axis's size, initially zero.

    Returns:
        A `LineageLayer`.

    Raises:
        ValueError: `shape` is invalid.
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
    """Builds the layer of May 2025, a `LineageLayer` with the same arguments.

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
    """Builds the layer of June 2025, a `LineageLayer` with the initializer `LineageUniform`.

    Args:
        shape: ints `[d1, …, dn]`, the grid without the batch.
        backend: `"tf"`, `"tensorflow"` or `"keras"` for the backend that Keras runs on; `"jax"` if
            Keras runs on JAX.
        mode: As in `LineageLayer`.
        execution_order: the argument `execution` of `LineageLayer`.
        sequential_order: As in `LineageLayer`.
        single_axis: As in `LineageLayer`.
        axis_output: As in `LineageLayer`.
        weights: As in `LineageLayer`.
        **kwargs: Further arguments of `LineageLayer`.

    Returns:
        A `LineageLayer`.

    Raises:
        ValueError: the backend is not supported, or an argument of `LineageLayer` is invalid.
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
