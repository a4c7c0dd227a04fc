"""Defines `MultidimDense`, a dense layer along each of several axes."""

import keras
from keras import ops

from mdnn.layers.arguments import (
    check_axes,
    check_random,
    check_sharing,
    check_units,
    check_window,
    plain,
)
from mdnn.layers.axis_product import (
    axis_product,
    batch_goes_last,
    batch_to_end,
    batch_to_front,
)
from mdnn.layers.kernel_layer import KernelLayer
from mdnn.layers.multidim_kernels import combined, make_passes, native_terms
from mdnn.layers.multidim_plan import count_operations, make_plan
from mdnn.layers.slabs import groups_are_looped, mixed_by_group
from mdnn.layers.wiring import parse_wiring, toeplitz


@keras.saving.register_keras_serializable(package="mdnn")
class MultidimDense(KernelLayer):
    """Applies a dense layer along each named axis of a grid.

    A pass along the axis `a` computes
    `y[..., j at a, ...] = sum_i x[..., i at a, ...] * kernel[..., i, j]`.
    With `execution="parallel"` the output is the sum of the passes along all named axes, each on
    the same input; with `"sequential"` each pass takes the output of the previous pass.
    (Mohamed Ibrahim, "Multidimensional neural networks part 1".)

    With causal wiring the named axes form one row-major order, slowest axis first, and a position
    depends on itself and all earlier positions: `y = sum_k M_k x`, where `M_k` is the identity on
    the named axes slower than `k`, strictly lower-triangular on `k` and unrestricted on the faster
    ones; the last term is lower-triangular including its diagonal. A term has its own kernel for
    each of its axes. With `execution="sequential"`, `z <- z + M_k z` for every axis but the last
    and `z <- M_n z` for the last; this is causal, too, and has the same receptive field. Kernels
    are stored as full matrices: with `causal=False` the layer uses all of their entries.

    Args:
        axes: int or sequence of integers, the axes to mix; the batch is axis 0, negative axes
            count from the end. `None` for all but the batch. Causal wiring requires increasing
            axes.
        sharing: `"shared"` (one kernel per axis), `"separate"` (one kernel per axis and position
            on all other axes), `"tied"` (one kernel for all named axes, which must have equal
            sizes), or a tuple of axes over which kernels differ (such as an axis of channel groups;
            the pass along one of these axes ignores it). Or a list with one entry per named axis.
        execution: `"parallel"` or `"sequential"`.
        order: `"ascending"` (sequential execution starts with the axis named first) or
            `"descending"`.
        units: Output sizes of resized axes: an integer with one named axis; a list with one size
            or `None` per named axis, or a mapping from axes to sizes, with sequential execution.
            Only with full wiring. `None` keeps all sizes.
        wiring: `"full"`, or one or several of `"causal"`, `"local"`, `"random"` and `"shift"`, as
            a sequence or joined with `"+"`. `"local"`: inputs at most `window` away. `"random"`:
            exactly `round(density * count)` of the entries that the other words allow are live,
            counted over the whole kernel and chosen by `seed`; with causal wiring, the same share
            of the future entries is live at `causal=False`. `"shift"`: weights depend only on the
            distance `j - i`.
        self_connection: `"each"` (each axis's kernel keeps its diagonal, so in parallel a position
            is connected to itself once per axis), `"once"` (in parallel only the last named axis's
            kernel keeps its diagonal) or `"none"` (no kernel keeps it). Causal wiring connects a
            position to itself in the last term only; there `"once"` also removes the diagonals of
            the other terms at `causal=False`, and `"none"` always removes the last term's; passes
            along faster axes keep theirs. In sequential causal execution with `"none"`, positions
            that are first on the last axis receive no input.
        use_bias: bool, whether to add a bias. It has the output's sizes on the named axes and
            on the axes over which a kernel differs, and is shared along the other axes: with
            `"separate"`, one number per position.
        activation: Any value that `mdnn.activations.get` accepts; applied once, to the sum or to
            the last pass.
        kernel_initializer: initializer, called once per kernel with its stored shape; an integer
            seed is increased by one for every further kernel. `None` for a normal distribution
            with variance `1 / fan_in`, where `fan_in` is the mean number of live inputs per
            output, divided by the number of added terms (in a term of several passes, at the last
            pass), so that outputs start about as large as inputs.
        bias_initializer: initializer for the bias.
        kernel_regularizer: Regularizer for every kernel.
        bias_regularizer: Regularizer for the bias.
        kernel_constraint: Constraint for every kernel.
        bias_constraint: Constraint for the bias.
        window: int, or one per named axis, with local wiring.
        density: float in 0 .. 1, with random wiring.
        seed: int in `0 .. 2**32 - 1`, with random wiring.

    Call arguments:
        x: Tensor `[batch, d1, ..., dn]`.
        causal: bool or `None`. With causal wiring `False` uses the whole kernels; `None`
            follows the wiring.

    Input shape:
        `[batch, d1, ..., dn]`. The sizes of mixed axes and of axes over which kernels differ must
        be known.

    Output shape:
        The input's, with the sizes in `units` on resized axes.

    Weights:
        Kernels of shape `[sizes of the axes over which it differs..., n_in, n_out]`, with shift
        wiring `[..., 2 * n - 1]` by distance `1 - n .. n - 1`, named `kernel_axis_<axis>`,
        `kernel_axis_<axis>_term_<term>` or `kernel_tied`; then `bias`. If the attribute
        `axis_names` is set before the layer is built: `kernel_<name>`, or
        `kernel_<name>_of_<name of the term's axis>`.

    Raises:
        ValueError: an argument is invalid or does not match the input.

    Example:

    >>> grid = keras.Input((10, 10))
    >>> [MultidimDense(sharing=s)(grid).shape for s in ("separate", "shared", "tied")]
    [(None, 10, 10), (None, 10, 10), (None, 10, 10)]
    """

    def __init__(
        self,
        axes=None,
        sharing="separate",
        execution="parallel",
        order="ascending",
        units=None,
        wiring="full",
        self_connection="each",
        use_bias=False,
        activation=None,
        kernel_initializer=None,
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        window=None,
        density=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(
            use_bias=use_bias,
            activation=activation,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            **kwargs,
        )
        for name, value, words in (
            ("execution", execution, ("parallel", "sequential")),
            ("order", order, ("ascending", "descending")),
            ("self_connection", self_connection, ("each", "once", "none")),
        ):
            if value not in words:
                raise ValueError(
                    f"Expected `{name}` to be one of {', '.join(words)}. Received: {value!r}"
                )
        self.axes = check_axes(axes)
        self.sharing = check_sharing(sharing)
        self.execution = execution
        self.order = order
        self.units = check_units(units)
        self.wiring = parse_wiring(wiring)
        self.self_connection = self_connection
        self._words = frozenset(self.wiring.split("+"))
        self.window = check_window(window, "local" in self._words)
        self.density, self.seed = check_random(density, seed, "random" in self._words)
        self.supports_masking = True

    def build(self, input_shape):
        self._plan = plan = make_plan(input_shape, self)
        self._kernels, self._terms = make_passes(self, plan)
        self.bias = self._add_bias(tuple(plan.output_shape[a] for a in plan.bias_axes))
        self.input_spec = keras.layers.InputSpec(
            ndim=len(input_shape), axes={a: input_shape[a] for a in plan.sized_axes}
        )
        self.built = True

    @property
    def kernels(self):
        """The kernel variables, term by term, each in the order of its passes."""
        return list(self._kernels)

    @property
    def plan(self):
        """The `mdnn.layers.multidim_plan.Plan` of the shape that the layer was built for."""
        return self._plan

    def causal_kernels(self):
        """Returns the masked kernels.

        Returns:
            List with one entry per term, in the order of execution: a list of pairs of a
            `mdnn.layers.multidim_plan.AxisStep` and its kernel, with zeros at entries that the
            wiring excludes: `[sizes of the axes over which it differs..., n_in, n_out]`, with shift
            wiring `[..., 2 * n - 1]` by distance (see `mdnn.layers.wiring.toeplitz`), in the
            layer's compute dtype.
        """
        return [
            [(p.step, p.masked(self._cast(p.kernel))) for p in self._terms[k]]
            for k in self._plan.order
        ]

    def _cast(self, kernel):
        return ops.cast(ops.convert_to_tensor(kernel), self.compute_dtype)

    def call(self, x, causal=None):
        if causal and "causal" not in self._words:
            raise ValueError(
                f"Expected causal wiring in a call with causal=True. Received: {self.wiring!r}"
            )
        whole = causal is not None and not causal
        if groups_are_looped(self, x.shape):
            y = self._mixed_by_group(x, whole)
            return self.activation(y if self.bias is None else y + self._bias_beside(y))
        y = native_terms(self._terms, self._plan, x, lambda p: self._matrix(p, whole))
        if y is None:
            y = self._mixed(x, whole)
        if self.bias is not None:
            y = y + self._bias_beside(x)
        return self.activation(y)

    def _bias_beside(self, x):
        """Returns the bias, reshaped so that it broadcasts to x."""
        shape = [1] * len(x.shape)
        for axis, size in zip(self._plan.bias_axes, self.bias.shape, strict=True):
            shape[axis] = size
        return ops.reshape(self.bias, shape)

    def _mixed(self, x, whole):
        """Computes and combines all terms."""
        batch_last = batch_goes_last(x.shape, self._plan)

        def product(z, p):
            axis, over = p.step.axis, p.step.over
            if batch_last:
                axis, over = axis - 1, tuple(a - 1 for a in over)
            return axis_product(z, self._matrix(p, whole), axis, over)

        y = combined(self._terms, self._plan, batch_to_end(x) if batch_last else x, product)
        return batch_to_front(y) if batch_last else y

    def _mixed_by_group(self, x, whole):
        """Computes and combines all terms, one group of channels after another."""
        passes = list(dict.fromkeys(p for term in self._terms for p in term))

        def mix(x, product):
            def by_pass(z, p):
                return product(z, passes.index(p), p.step.axis)

            return combined(self._terms, self._plan, x, by_pass)

        return mixed_by_group(x, [self._matrix(p, whole) for p in passes], mix)

    def _matrix(self, p, whole):
        """Returns the masked kernel of a pass, as matrices."""
        kernel = p.masked(p.kernel, whole)
        return toeplitz(kernel) if "shift" in self._words else kernel

    def compute_output_shape(self, input_shape):
        return make_plan(input_shape, self).output_shape

    def operations(self, input_shape):
        """Counts the multiply-adds for one example.

        Masked entries count, because they are multiplied. Masking, expanding shift kernels and
        adding terms is not counted.

        Args:
            input_shape: tuple, `(batch, d1, ..., dn)`; only the batch may be `None`.

        Returns:
            A Python int.
        """
        return count_operations(make_plan(input_shape, self), input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "axes": plain(self.axes),
            "sharing": plain(self.sharing),
            "execution": self.execution,
            "order": self.order,
            "units": plain(self.units),
            "wiring": self.wiring,
            "self_connection": self.self_connection,
            "window": plain(self.window),
            "density": self.density,
            "seed": self.seed,
        }
