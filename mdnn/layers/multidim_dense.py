"""A dense layer along each of several axes."""

import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from mdnn.layers.axes import normalize_axes
from mdnn.layers.axis_product import axis_product
from mdnn.layers.multidim_options import (
    check_sharing,
    check_units,
    sharing_by_axis,
    units_by_axis,
)
from mdnn.layers.wiring import kernel_masks, parse_wiring, toeplitz


@dataclass(frozen=True, eq=False)
class AxisPass:
    """One product of the grid with one kernel along one axis."""

    axis: int
    over: tuple
    n_in: int
    n_out: int
    kernel: Any
    # boolean numpy arrays, or None where every entry is live: in turn, and at once
    past: Any
    whole: Any


@keras.saving.register_keras_serializable(package="mdnn")
class MultidimDense(keras.layers.Layer):
    """A dense layer along each named axis of a grid.

    A pass along the axis `a` computes
    `y[..., j at a, ...] = sum_i x[..., i at a, ...] * kernel[..., i, j]`.
    With `execution="parallel"` the output is the sum of the passes along all named axes, each on
    the same input; with `"sequential"` each pass takes the one before's output.
    (Mohamed Ibrahim, "Multidimensional neural networks part 1".)

    With causal wiring the named axes together are one row-major order, the first the slowest, and
    a slot sees itself and its whole past: `y = sum_k M_k x`, where `M_k` is the identity on the
    named axes slower than `k`, strictly lower-triangular on `k` and unrestricted on the faster
    ones; the last term is lower-triangular with its diagonal. A term has a kernel of its own for
    each of its axes. With `execution="sequential"`, `z <- z + M_k z` for every axis but the last
    and `z <- M_n z` for the last, which is as exact and reaches as far. The kernels hold whole
    matrices: called with `causal=False` the layer uses all of them, triangles or not.

    Args:
        axes: Integer or sequence of integers, the axes to mix, the batch being 0, negative from
            the end. `None` means all but the batch. Causal wiring wants them increasing.
        sharing: `"shared"` (one kernel per axis), `"separate"` (one kernel per axis and position
            on all other axes), `"tied"` (one kernel for all named axes, which have one size), or a
            tuple of axes over which kernels differ (heads, over an axis of channel groups; an
            axis's own pass leaves it out). Or a list with one such entry per named axis.
        execution: `"parallel"` or `"sequential"`.
        order: `"ascending"` (sequential execution starts with the axis named first) or
            `"descending"`.
        units: Output sizes of resized axes: an integer with one named axis; a list with one size
            or `None` per named axis, or a mapping from axes to sizes, with sequential execution.
            Only with full wiring. `None` keeps all sizes.
        wiring: `"full"`, or one or several of `"causal"`, `"local"`, `"random"` and `"shift"`, as
            a sequence or joined with `"+"`. `"local"`: inputs at most `window` away. `"random"`:
            of the entries that the rest of the wiring leaves, counted over the whole kernel,
            exactly `round(density * count)` are live, chosen by `seed`; where causal wiring
            leaves out the future, the same share of the future's entries is live at
            `causal=False`. `"shift"`: weights depend on the distance `j - i` only.
        self_connection: `"each"` (each axis's kernel keeps its diagonal, so in parallel a node is
            joined to itself once per axis), `"once"` (in parallel only the last named axis's
            kernel keeps its diagonal) or `"none"` (no kernel keeps it). Causal wiring joins a node
            to itself in the last term alone; there `"once"` takes the other terms' diagonals away
            at `causal=False`, too, `"none"` the last term's always; passes along faster axes keep
            theirs. In sequential causal execution, `"none"` leaves nothing for slots that are
            first on the last axis.
        use_bias: Boolean, whether to add a bias. It has the output's sizes on the named axes and
            on the axes over which a kernel differs, and is the same along the other axes: so one
            number per node with `"separate"`.
        activation: Activation function, applied once, to the sum or to the last pass.
        kernel_initializer: Initializer, used once per kernel with its stored shape; one with a
            fixed integer seed gets the next seed for every further kernel. `None` means a normal
            distribution with variance `1 / fan_in`, `fan_in` being the mean number of live inputs
            per output, divided by the number of terms where terms are added (for a term of
            several passes at its last): outputs start about as large as inputs.
        bias_initializer: Initializer for the bias.
        kernel_regularizer: Regularizer for every kernel.
        bias_regularizer: Regularizer for the bias.
        kernel_constraint: Constraint for every kernel.
        bias_constraint: Constraint for the bias.
        window: Integer, or one per named axis, with local wiring.
        density: Float in 0 .. 1, with random wiring.
        seed: Integer in `0 .. 2**32 - 1`, with random wiring.

    Call arguments:
        x: Tensor `[batch, d1, ..., dn]`.
        causal: Boolean or `None`. With causal wiring `False` uses the whole kernels; `None` means
            as wired.

    Input shape:
        `[batch, d1, ..., dn]`. The sizes of mixed axes and of axes over which kernels differ must
        be known.

    Output shape:
        The input's, with the sizes in `units` on resized axes.

    Weights:
        Kernels of shape `[sizes of the axes over which it differs..., n_in, n_out]`, with shift
        wiring `[..., 2 * n - 1]` by distance `1 - n .. n - 1`, named `kernel_axis_<axis>`,
        `kernel_axis_<axis>_term_<term>` or `kernel_tied`; then `bias`.

    Raises:
        ValueError: If an argument is none of the above or does not fit the input.

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
        super().__init__(**kwargs)
        for name, value, words in (
            ("execution", execution, ("parallel", "sequential")),
            ("order", order, ("ascending", "descending")),
            ("self_connection", self_connection, ("each", "once", "none")),
        ):
            if value not in words:
                raise ValueError(
                    f"Expected `{name}` to be one of {', '.join(words)}. Received: {value!r}"
                )
        self.axes = list(axes) if isinstance(axes, (list, tuple, range)) else axes
        self.sharing = check_sharing(sharing)
        self.execution = execution
        self.order = order
        self.units = check_units(units)
        self.wiring = parse_wiring(wiring)
        self.self_connection = self_connection
        self.use_bias = use_bias
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.window = list(window) if isinstance(window, (list, tuple)) else window
        self.density = density
        self.seed = seed
        self.supports_masking = True
        self._words = frozenset(self.wiring.split("+"))
        self._check_wiring()

    def _check_wiring(self):
        for name, word in (("window", "local"), ("density", "random"), ("seed", "random")):
            value = getattr(self, name)
            if word in self._words and value is None:
                raise ValueError(f"Expected `{name}` with {word} wiring. Received: None")
            if word not in self._words and value is not None:
                raise ValueError(
                    f"Expected `{name}` only with {word} wiring; the wiring is {self.wiring!r}. "
                    f"Received: {value!r}"
                )
        windows = self.window if isinstance(self.window, list) else [self.window]
        if "local" in self._words and not all(_is_int(w) and w >= 0 for w in windows):
            raise ValueError(
                "Expected `window` to be a non-negative integer or one per named axis. "
                f"Received: {self.window!r}"
            )
        if "random" in self._words:
            if not isinstance(self.density, (int, float)) or not 0 <= self.density <= 1:
                raise ValueError(f"Expected `density` in 0 .. 1. Received: {self.density!r}")
            if not _is_int(self.seed) or not 0 <= self.seed < 2**32:
                raise ValueError(
                    f"Expected `seed` to be an integer in 0 .. 2**32 - 1. Received: {self.seed!r}"
                )

    def _resolve(self, input_shape):
        """Returns named axes, sharing, resized sizes and windows for an input shape."""
        ndim = len(input_shape)
        axes = normalize_axes(self.axes, ndim)
        if not axes:
            raise ValueError(
                f"Expected an axis besides the batch to mix. Received: axes={self.axes}, "
                f"input_shape={tuple(input_shape)}"
            )
        sharing = sharing_by_axis(self.sharing, axes, ndim)
        units = units_by_axis(self.units, axes, ndim)
        if units and len(axes) > 1 and self.execution == "parallel":
            raise ValueError(
                "Expected `units` with one axis or with sequential execution: the sum of parallel "
                f"passes needs one shape. Received: units={self.units}, axes={axes}"
            )
        for axis in axes:
            if input_shape[axis] is None:
                raise ValueError(
                    f"Expected the size of axis {axis} to be known: it is mixed. Received: "
                    f"input_shape={tuple(input_shape)}"
                )
            if units.get(axis, input_shape[axis]) != input_shape[axis] and (
                self.wiring != "full" or self.self_connection != "each"
            ):
                raise ValueError(
                    f'Expected wiring="full" and self_connection="each" where an axis is resized '
                    f"(axis {axis} from {input_shape[axis]} to {units[axis]}). Received: "
                    f"wiring={self.wiring!r}, self_connection={self.self_connection!r}"
                )
        if "causal" in self._words and axes != tuple(sorted(axes)):
            raise ValueError(
                "Expected `axes` to increase with causal wiring: the first is the slowest of the "
                f"row-major order. Received: {self.axes} for {ndim} axes"
            )
        windows = self.window if isinstance(self.window, list) else [self.window] * len(axes)
        if len(windows) != len(axes):
            raise ValueError(
                f"Expected `window` to be an integer or one per named axis: {len(axes)} for axes "
                f"{axes}. Received: {self.window}"
            )
        return axes, sharing, units, dict(zip(axes, windows, strict=True))

    def _terms(self, axes):
        """Returns for each term its passes, as (axis, part, whether the diagonal is kept)."""
        last = axes[-1]
        keep = self.self_connection
        if "causal" not in self._words:
            single_path = self.execution == "sequential"
            return [
                [(a, "all", keep == "each" or (keep == "once" and (single_path or a == last)))]
                for a in axes
            ]
        terms = []
        for k, axis in enumerate(axes):
            # The fastest axis first: tied kernels then share the products of all terms.
            faster = [(a, "all", True) for a in reversed(axes[k + 1 :])]
            if axis == last:
                terms.append([*faster, (axis, "lower", keep != "none")])
            else:
                terms.append([*faster, (axis, "strict", keep == "each")])
        return terms

    def _plan(self, input_shape):
        """Returns the terms' passes in the order of execution, with sizes instead of kernels."""
        axes, sharing, units, windows = self._resolve(input_shape)
        shape = list(input_shape)
        terms = list(enumerate(self._terms(axes)))
        if self.execution == "sequential" and self.order == "descending":
            terms.reverse()
        plan = []
        for number, passes in terms:
            steps = []
            for axis, part, diagonal in passes:
                tied = sharing[axis] == "tied"
                over = () if tied else sharing[axis]
                lead = tuple(shape[a] for a in over)
                if None in lead:
                    raise ValueError(
                        f"Expected the sizes of axes {over} to be known: kernels differ over "
                        f"them. Received: input_shape={tuple(input_shape)}"
                    )
                n_in = shape[axis]
                n_out = shape[axis] = units.get(axis, n_in)
                name = f"kernel_axis_{axis}" + (
                    f"_term_{number}" if "causal" in self._words else ""
                )
                steps.append(
                    {
                        "axis": axis,
                        "over": over,
                        "lead": lead,
                        "n_in": n_in,
                        "n_out": n_out,
                        "part": part,
                        "diagonal": diagonal,
                        "window": windows[axis],
                        "name": "kernel_tied" if tied else name,
                    }
                )
            plan.append(steps)
        tied = {
            (s["n_in"], s["n_out"]) for steps in plan for s in steps if s["name"] == "kernel_tied"
        }
        if len(tied) > 1:
            raise ValueError(
                "Expected axes with tied sharing to have one size. Received: "
                f"axes={axes}, input_shape={tuple(input_shape)}, units={self.units}"
            )
        return plan, tuple(shape)

    def build(self, input_shape):
        plan, output_shape = self._plan(input_shape)
        axes, sharing, _, _ = self._resolve(input_shape)
        kernels = {}
        passes = []
        for steps in plan:
            term = []
            for step in steps:
                # A product that is the term's last carries the variance of the sum of terms.
                terms = len(plan) if step is steps[-1] and self._adds(len(plan)) else 1
                term.append(self._make_pass(step, kernels, terms))
            passes.append(tuple(term))
        self._passes = tuple(passes)
        self._kernels = list(kernels.values())
        self.bias = None
        if self.use_bias:
            over = {a for axis in axes if sharing[axis] != "tied" for a in sharing[axis]}
            self._bias_axes = tuple(sorted({*axes, *over}))
            self.bias = self.add_weight(
                name="bias",
                shape=tuple(output_shape[a] for a in self._bias_axes),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        fixed = {*axes, *(a for steps in plan for step in steps for a in step["over"])}
        self.input_spec = keras.layers.InputSpec(
            ndim=len(input_shape), axes={a: input_shape[a] for a in sorted(fixed)}
        )
        self.built = True

    def _adds(self, terms):
        return terms > 1 and (self.execution == "parallel" or "causal" in self._words)

    def _make_pass(self, step, kernels, terms):
        """Makes a pass with its masks, and its kernel unless a tied one is there already."""
        lead, n_in, n_out, name = step["lead"], step["n_in"], step["n_out"], step["name"]
        shift = "shift" in self._words
        index = list(kernels).index(name) if name in kernels else len(kernels)
        past = whole = np.ones((1, 1), bool)
        if self.wiring != "full" or not step["diagonal"]:
            past, whole = kernel_masks(
                n_in,
                part=step["part"],
                diagonal=step["diagonal"],
                window=step["window"],
                shift=shift,
                density=self.density,
                seed=(self.seed, index) if "random" in self._words else None,
                over=lead,
            )
        if name not in kernels:
            if shift:
                # Every distance d has n - |d| places in the matrix.
                counts = past * (n_in - abs(np.arange(1 - n_in, n_in)))
                live = counts.sum() / counts.size * (2 * n_in - 1)
            else:
                live = past.mean() * n_in * n_out
            kernels[name] = self.add_weight(
                name=name,
                shape=(*lead, 2 * n_in - 1) if shift else (*lead, n_in, n_out),
                initializer=self._initializer(index, max(live / n_out, 1.0) * terms),
                regularizer=self.kernel_regularizer,
                constraint=self.kernel_constraint,
            )
        return AxisPass(
            step["axis"],
            step["over"],
            n_in,
            n_out,
            kernels[name],
            None if past.all() else past,
            None if whole.all() else whole,
        )

    def _initializer(self, index, fan_in):
        """Returns the initializer of the kernel made as the `index`-th."""
        given = self.kernel_initializer
        if given is None:
            return keras.initializers.RandomNormal(stddev=1 / math.sqrt(fan_in))
        if not isinstance(given, keras.initializers.Initializer):
            return given
        config = given.get_config()
        if isinstance(config.get("seed"), int):
            config["seed"] += index
        # One initializer object gives the same numbers at every call.
        return given.__class__.from_config(config)

    @property
    def kernels(self):
        """The kernel variables, in the order of the passes."""
        return list(self._kernels)

    def call(self, x, causal=None):
        if causal and "causal" not in self._words:
            raise ValueError(
                f"Expected causal wiring in a call with causal=True. Received: {self.wiring!r}"
            )
        whole = causal is not None and not causal
        products = {}
        if self.execution == "parallel":
            y = self._term(x, self._passes[0], whole, products)
            for term in self._passes[1:]:
                y = y + self._term(x, term, whole, products)
        else:
            y = x
            last = self._last_axis()
            for term in self._passes:
                z = self._term(y, term, whole, {})
                y = y + z if "causal" in self._words and term[-1].axis != last else z
        if self.bias is not None:
            shape = [1] * len(x.shape)
            for axis, size in zip(self._bias_axes, self.bias.shape, strict=True):
                shape[axis] = size
            y = ops.add(y, ops.reshape(self.bias, shape))
        return self.activation(y)

    def _last_axis(self):
        return max(term[-1].axis for term in self._passes)

    def _term(self, x, passes, whole, products):
        """Applies a term's passes; `products` remembers those that begin alike."""
        key = ()
        for p in passes:
            mask = p.whole if whole else p.past
            key = (*key, p.axis, id(p.kernel), id(mask))
            if key not in products:
                products[key] = axis_product(x, self._matrix(p.kernel, mask), p.axis, p.over)
            x = products[key]
        return x

    def _matrix(self, kernel, mask):
        kernel = ops.convert_to_tensor(kernel)
        if mask is not None:
            kernel = kernel * ops.convert_to_tensor(mask, kernel.dtype)
        return toeplitz(kernel) if "shift" in self._words else kernel

    def compute_output_shape(self, input_shape):
        return self._plan(input_shape)[1]

    def operations(self, input_shape):
        """Counts multiplications with additions for one example.

        Masked kernels count whole, as they are multiplied; laying out shift kernels is not
        counted.

        Args:
            input_shape: Tuple, `(batch, d1, ..., dn)`; only the batch may be `None`.

        Returns:
            A Python int.
        """
        shape = list(input_shape)
        if None in shape[1:]:
            raise ValueError(
                f"Expected all sizes but the batch's to be known. Received: {tuple(input_shape)}"
            )
        total = 0
        seen = set()
        for steps in self._plan(input_shape)[0]:
            key = ()
            for step in steps:
                key = (*key, step["axis"])
                shared = step["name"] == "kernel_tied" and self.execution == "parallel"
                shape[step["axis"]] = step["n_out"]
                # Terms with one tied kernel share the products that they begin with.
                if not (shared and (key, step["part"]) in seen):
                    total += math.prod(shape[1:]) * step["n_in"]
                seen.add((key, step["part"]))
        return total

    def get_config(self):
        return {
            **super().get_config(),
            "axes": self.axes if self.axes is None or _is_int(self.axes) else list(self.axes),
            "sharing": self.sharing,
            "execution": self.execution,
            "order": self.order,
            "units": self.units,
            "wiring": self.wiring,
            "self_connection": self.self_connection,
            "use_bias": self.use_bias,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
            "window": self.window,
            "density": self.density,
            "seed": self.seed,
        }


def _is_int(value):
    return isinstance(value, int) and not isinstance(value, bool)
