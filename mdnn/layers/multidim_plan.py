"""Plans the products along axes that make up a `MultidimDense`, from its options and a shape."""

import math
from dataclasses import dataclass

from mdnn.layers.arguments import normalize_axes, sharing_by_axis, units_by_axis


@dataclass(frozen=True)
class AxisStep:
    """Describes one product along one axis.

    Attributes:
        axis: int, the axis to mix.
        over: tuple of ints, the axes over which the kernel differs.
        over_sizes: tuple of ints, their sizes.
        n_in: int, the axis's input size.
        n_out: int, the axis's output size.
        part: str, the triangle of the kernel that the wiring allows: `"all"`, `"lower"` or
            `"strict"`.
        diagonal: bool, whether the whole kernel keeps its diagonal.
        window: int or `None`, the largest live distance.
        kernel: str, the kernel's name; steps of the same name share a kernel.
    """

    axis: int
    over: tuple
    over_sizes: tuple
    n_in: int
    n_out: int
    part: str
    diagonal: bool
    window: int | None
    kernel: str


@dataclass(frozen=True)
class Plan:
    """Describes the computation of a `MultidimDense` for inputs of one shape.

    Attributes:
        execution: str, `"parallel"` or `"sequential"`.
        terms: tuple of tuples of `AxisStep`, one term per named axis; the last step of a term
            mixes the term's axis.
        order: tuple of ints, the indices of the terms in the order of execution.
        residual: tuple of booleans, one per term: whether sequential execution adds the term to
            its input.
        output_shape: tuple, the shape of the output.
        bias_axes: Increasing tuple of ints, the axes along which a bias differs.
        sized_axes: Increasing tuple of ints, the axes whose size the layer is built for.
    """

    execution: str
    terms: tuple
    order: tuple
    residual: tuple
    output_shape: tuple
    bias_axes: tuple
    sized_axes: tuple

    @property
    def kernel_names(self):
        """Distinct kernel names, in the order of their first use."""
        return list(dict.fromkeys(step.kernel for term in self.terms for step in term))

    def uses(self):
        """Returns pairs of a step and the number of terms in the sum that includes its product."""
        pairs = []
        for term, residual in zip(self.terms, self.residual, strict=True):
            added = len(self.terms) if self.execution == "parallel" or residual else 1
            pairs += [(step, 1) for step in term[:-1]] + [(term[-1], added)]
        return pairs


def count_operations(plan, input_shape):
    """Counts the multiply-adds for one example; all sizes but the batch's must be known."""
    sizes = list(input_shape[1:])
    if None in sizes:
        raise ValueError(
            f"Expected all sizes but the batch's to be known. Received: {tuple(input_shape)}"
        )
    total = 0
    done = set()
    for number in plan.order:
        term = plan.terms[number]
        for end, step in enumerate(term, 1):
            sizes[step.axis - 1] = step.n_out
            # Parallel terms share common leading products.
            if plan.execution == "sequential" or term[:end] not in done:
                total += math.prod(sizes) * step.n_in
            done.add(term[:end])
    return total


def _check_sizes(input_shape, axes, units, layer):
    """Checks that sizes are known and that resized axes have full wiring."""
    if units and len(axes) > 1 and layer.execution == "parallel":
        raise ValueError(
            "Expected `units` with one axis or with sequential execution: the sum of parallel "
            f"passes needs one shape. Received: units={layer.units}, axes={axes}"
        )
    for axis in axes:
        size = input_shape[axis]
        if size is None:
            raise ValueError(
                f"Expected a known size of the mixed axis {axis}. Received: "
                f"input_shape={input_shape}"
            )
        if units.get(axis, size) != size and (
            layer.wiring != "full" or layer.self_connection != "each"
        ):
            raise ValueError(
                'Expected wiring="full" and self_connection="each" where an axis is resized '
                f"(axis {axis} from {size} to {units[axis]}). Received: wiring={layer.wiring!r}, "
                f"self_connection={layer.self_connection!r}"
            )


def _windows(axes, window):
    """Maps named axes to windows."""
    windows = window if isinstance(window, list) else [window] * len(axes)
    if len(windows) != len(axes):
        raise ValueError(
            f"Expected `window` to be an integer or one per named axis: {len(axes)} for axes "
            f"{axes}. Received: {window}"
        )
    return dict(zip(axes, windows, strict=True))


def _term_axes(axes, causal, execution, self_connection):
    """Lists the passes of each term as (axis, triangle, keeps its diagonal)."""
    each, none = self_connection == "each", self_connection == "none"
    last = axes[-1]
    if causal:
        # Fastest axis first, so that terms with a tied kernel have common leading products.
        return [
            [(a, "all", True) for a in reversed(axes[k + 1 :])]
            + [(axis, "lower", not none) if axis == last else (axis, "strict", each)]
            for k, axis in enumerate(axes)
        ]
    if execution == "sequential":
        return [[(axis, "all", not none)] for axis in axes]
    return [[(axis, "all", each or (axis == last and not none))] for axis in axes]


def make_plan(input_shape, layer):
    """Plans a layer's products for an input shape.

    Args:
        input_shape: sequence `(batch, d1, ..., dn)` of ints and `None`.
        layer: Object with the validated options of `MultidimDense` as attributes.

    Returns:
        A `Plan`.

    Raises:
        ValueError: the options do not match the shape.
    """
    input_shape = tuple(input_shape)
    ndim = len(input_shape)
    axes = normalize_axes(layer.axes, ndim)
    causal = "causal" in layer.wiring.split("+")
    if not axes:
        raise ValueError(
            f"Expected an axis besides the batch to mix. Received: axes={layer.axes}, "
            f"input_shape={input_shape}"
        )
    if causal and axes != tuple(sorted(axes)):
        raise ValueError(
            "Expected `axes` to increase with causal wiring: the first is the slowest of the "
            f"row-major order. Received: {layer.axes} for an input of {ndim} axes"
        )
    sharing = sharing_by_axis(layer.sharing, axes, ndim)
    units = units_by_axis(layer.units, axes, ndim)
    windows = _windows(axes, layer.window)
    _check_sizes(input_shape, axes, units, layer)

    order = list(range(len(axes)))
    if layer.execution == "sequential" and layer.order == "descending":
        order.reverse()
    term_axes = _term_axes(axes, causal, layer.execution, layer.self_connection)
    shape = list(input_shape)
    terms = {}
    for number in order:
        steps = []
        for axis, part, diagonal in term_axes[number]:
            tied = sharing[axis] == "tied"
            over = () if tied else sharing[axis]
            name = _kernel_name(layer, axis, axes[number], number, causal)
            n_in = shape[axis]
            shape[axis] = units.get(axis, n_in)
            steps.append(
                AxisStep(
                    axis=axis,
                    over=over,
                    over_sizes=tuple(shape[a] for a in over),
                    n_in=n_in,
                    n_out=shape[axis],
                    part=part,
                    diagonal=diagonal,
                    window=windows[axis],
                    kernel="kernel_tied" if tied else name,
                )
            )
        terms[number] = tuple(steps)
    plan = Plan(
        execution=layer.execution,
        terms=tuple(terms[number] for number in range(len(axes))),
        order=tuple(order),
        residual=tuple(causal and axis != axes[-1] for axis in axes),
        output_shape=tuple(shape),
        bias_axes=tuple(sorted({*axes, *(a for steps in terms.values() for a in steps[-1].over)})),
        sized_axes=tuple(sorted({*axes, *(a for t in terms.values() for s in t for a in s.over)})),
    )
    _check_kernels(plan, input_shape)
    return plan


def _kernel_name(layer, axis, term_axis, number, causal):
    """Returns the name of the kernel along `axis` in term `number`, which mixes `term_axis`."""
    names = getattr(layer, "axis_names", None)
    if not names:
        return f"kernel_axis_{axis}_term_{number}" if causal else f"kernel_axis_{axis}"
    by_axis = {n + 1: name for n, name in enumerate(names)}
    name, of = (by_axis.get(a, "channels") for a in (axis, term_axis))
    return f"kernel_{name}" if name == of else f"kernel_{name}_of_{of}"


def _check_kernels(plan, input_shape):
    """Checks that every kernel has a known shape, the same in all steps that use it."""
    sizes = {}
    for step in (step for term in plan.terms for step in term):
        if None in step.over_sizes:
            raise ValueError(
                f"Expected the sizes of axes {step.over} to be known: kernels differ over them. "
                f"Received: input_shape={input_shape}"
            )
        sizes.setdefault(step.kernel, {})[step.axis] = (step.n_in, step.n_out)
    for by_axis in sizes.values():
        if len(set(by_axis.values())) > 1:
            raise ValueError(
                "Expected axes with tied sharing to have one size. Received: sizes "
                f"{ {axis: n_in for axis, (n_in, _) in by_axis.items()} } by axis "
                f"of input_shape={input_shape}"
            )
