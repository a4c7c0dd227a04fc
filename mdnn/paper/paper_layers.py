"""Defines `LineageLayer`, the layer that most callables of `mdnn.layer` return."""

import keras
import numpy as np
from keras import ops

from mdnn.errors import MdnnError
from mdnn.layers.initializers import initializer_copy
from mdnn.layers.multidim_dense import MultidimDense
from mdnn.paper.weight_checks import (
    check_axis,
    check_grid,
    check_weights,
    known_word,
    positive_size,
)


class GridLayer(keras.layers.Layer):
    """Base of layers for inputs `[batch, d1, …, dn]`, built on construction from `shape`."""

    def __init__(self, shape, **kwargs):
        super().__init__(**kwargs)
        self.shape = check_grid(shape)
        self.input_spec = keras.layers.InputSpec(shape=(None, *self.shape))

    def build(self, input_shape):
        self.compute_output_shape(input_shape)

    def compute_output_shape(self, input_shape):
        if tuple(input_shape[1:]) != self.shape:
            raise MdnnError(
                f"Expected the input of {self.name} to be of shape [batch, "
                f"{', '.join(map(str, self.shape))}]. Received: {list(input_shape)}"
            )
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "shape": list(self.shape)}


@keras.saving.register_keras_serializable(package="mdnn")
class LineageLayer(GridLayer):
    """Applies dense passes along the axes of a grid: in parallel, in sequence, or along one axis.

    Kernels are passed and returned in the layout of the paper's layer.py: for an axis of size `d`
    with the output size `o`, `[d, o]` (`shared`) or `[d1, …, dn, o]` (`separate`); the last index
    is the output position. A pass along the axis `a` computes
    `y[…, j at a, …] = Σ_i x[…, i at a, …] · kernel[…, i at a, …, j]` with a `MultidimDense`,
    whose internal layout avoids transposes.

    `weights` is the list of variables, as in any Keras layer; `kernels` is the dictionary in the
    paper's layout.

    Args:
        shape: ints `[d1, …, dn]`, the grid without the batch.
        mode: `"separate"` or `"shared"` kernels: one word for all axes, a list of one, or a list
            of n words.
        execution: `"parallel"`: the sum of all passes, each on the same input, so that each
            position is connected to itself n times; `"sequential"`: each pass takes the output of
            the previous pass; `"single"`: only the pass along `single_axis`.
        sequential_order: `"ascending"` (sequential execution starts with the first axis) or
            `"descending"`.
        single_axis: int, the axis of single execution, as an index into `shape`.
        axis_output: int, the output size of that axis; `None` keeps its size.
        kernel_initializer: initializer, called once per kernel with the shape in the paper's
            layout; an integer seed is increased by one for every further kernel.
        kernel_regularizer: Regularizer for every kernel, called with the paper's layout.
        kernel_constraint: Constraint for every kernel, called with the paper's layout.
        weights: Dictionary from the negative axis number (-n … -1) to the initial kernel; `None`
            to use the initializer.
        self_connection: `"each"`, or with parallel execution `"once"` (only the last axis's kernel
            keeps its diagonal), or `"none"` (no kernel keeps it).
        use_bias: bool, whether every pass adds a bias, initially zero: one number per index
            along its axis (`shared`) or per position (`separate`).

    Input shape:
        `[batch, d1, …, dn]`.

    Output shape:
        The input's; with single execution, of size `axis_output` along `single_axis`.

    Raises:
        ValueError: an argument is invalid, or weights or input have another shape.
    """

    def __init__(
        self,
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
        self_connection="each",
        use_bias=False,
        **kwargs,
    ):
        super().__init__(shape, **kwargs)
        known_word("execution", execution, ("parallel", "sequential", "single"))
        known_word("sequential_order", sequential_order, ("ascending", "descending"))
        known_word("self_connection", self_connection, ("each", "once", "none"))
        self.mode = list(mode) if isinstance(mode, (list, tuple)) else [mode]
        self.execution = execution
        self.sequential_order = sequential_order
        self.single_axis = single_axis
        self.axis_output = axis_output
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.self_connection = self_connection
        self.use_bias = use_bias
        self._modes = self._mode_by_axis()
        self._axes = self._axes_to_mix()
        start = self.kernel_initializer if weights is None else keras.initializers.Zeros()
        self._passes = [
            self._make_pass(axis, initializer_copy(start, i)) for i, axis in enumerate(self._axes)
        ]
        self.build((None, *self.shape))
        if weights is not None:
            self.set_kernels(weights)

    def _mode_by_axis(self):
        """Validates `mode` and returns one word per axis."""
        n = len(self.shape)
        for word in self.mode:
            known_word("mode", word, ("separate", "shared"))
        if len(self.mode) not in (1, n):
            raise MdnnError(
                f"Expected `mode` to be one word or a list of 1 or {n} words for {n} axes. "
                f"Received: {self.mode}"
            )
        return self.mode * n if len(self.mode) == 1 else self.mode

    def _axes_to_mix(self):
        """Validates `single_axis` and `axis_output`; returns the mixed axes, negative numbers."""
        if self.execution == "single":
            if self.axis_output is not None:
                self.axis_output = positive_size("axis_output", self.axis_output)
            return [check_axis(self.single_axis, len(self.shape), "single_axis")]
        for name in ("single_axis", "axis_output"):
            if getattr(self, name) is not None:
                raise MdnnError(
                    f"Expected `{name}` only with execution 'single'; the execution is "
                    f"{self.execution!r}. Received: {getattr(self, name)!r}"
                )
        return list(range(-len(self.shape), 0))

    def _make_pass(self, axis, initializer):
        regularizer, constraint = self.kernel_regularizer, self.kernel_constraint
        shape, source = self._kernel_shape(axis), self._source(axis)

        def initial(_, dtype=None):
            return ops.moveaxis(initializer(shape, dtype=dtype), source, -2)

        def penalty(kernel):
            return regularizer(ops.moveaxis(kernel, -2, source))

        def constrained(kernel):
            return ops.moveaxis(constraint(ops.moveaxis(kernel, -2, source)), source, -2)

        once = self.self_connection == "once" and self.execution == "parallel" and axis != -1
        return MultidimDense(
            axes=axis,
            sharing=self._modes[axis],
            units=shape[-1],
            self_connection="none" if once or self.self_connection == "none" else "each",
            use_bias=self.use_bias,
            kernel_initializer=initial,
            kernel_regularizer=regularizer and penalty,
            kernel_constraint=constraint and constrained,
            dtype=self.dtype_policy,
            name=f"axis_{axis + len(self.shape)}",
        )

    def _kernel_shape(self, axis):
        """Returns the shape of an axis's kernel in the paper's layout."""
        d = self.shape[axis]
        before = self.shape if self._modes[axis] == "separate" else (d,)
        return (*before, self.axis_output or d)

    def _source(self, axis):
        """Returns the axis of the input index in the paper's layout (-2 in `MultidimDense`)."""
        return axis - 1 if self._modes[axis] == "separate" else -2

    @property
    def kernels(self):
        """Kernels in the paper's layout: dict from negative axis number to a new numpy array."""
        return {
            axis: np.moveaxis(np.asarray(layer.kernels[0]).copy(), -2, self._source(axis))
            for axis, layer in zip(self._axes, self._passes, strict=True)
        }

    def set_kernels(self, weights):
        """Replaces the layer's kernels.

        Args:
            weights: Dictionary from the negative axis number to the kernel, an array, tensor or
                variable of floats in the paper's layout, as returned by `load_weights`.

        Raises:
            ValueError: the axes, a shape or a dtype do not match; no kernel is changed then.
        """
        shapes = {axis: [self._kernel_shape(axis)] for axis in self._axes}
        weights = check_weights(weights, shapes)
        for axis, layer in zip(self._axes, self._passes, strict=True):
            layer.kernels[0].assign(np.moveaxis(weights[axis], self._source(axis), -2))

    def build(self, input_shape):
        super().build(input_shape)
        for layer in self._passes:
            if not layer.built:
                layer.build(input_shape)

    def call(self, x):
        if self.execution == "parallel":
            y = self._passes[0](x)
            for layer in self._passes[1:]:
                y = y + layer(x)
            return y
        ascending = self.sequential_order == "ascending"
        for layer in self._passes if ascending else reversed(self._passes):
            x = layer(x)
        return x

    def compute_output_shape(self, input_shape):
        shape = list(super().compute_output_shape(input_shape))
        if self.axis_output is not None:
            shape[self._axes[0]] = self.axis_output
        return tuple(shape)

    def get_config(self):
        return {
            **super().get_config(),
            "mode": list(self.mode),
            "execution": self.execution,
            "sequential_order": self.sequential_order,
            "single_axis": self.single_axis,
            "axis_output": self.axis_output,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "self_connection": self.self_connection,
            "use_bias": self.use_bias,
        }
