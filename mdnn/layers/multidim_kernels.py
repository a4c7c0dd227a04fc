"""Creates the kernels and masks of a `MultidimDense` for a plan, and combines its terms."""

from dataclasses import dataclass
from typing import Any

from keras import ops

from mdnn.layers.axis_product import is_divided
from mdnn.layers.initializers import initializer_copy
from mdnn.layers.multidim_plan import AxisStep
from mdnn.layers.weight_rules import get_initializer
from mdnn.layers.wiring import fan_in, kernel_masks
from mdnn.native.axis_library import calls_for
from mdnn.native.axis_plan import KernelPass

LEAST_NATIVE_BATCH = 4
"""Fewest examples, which the library multiplies 16 at a time."""

LONGEST_NATIVE_AXIS = 32
"""Matrices of 128 x 128 took Keras' operations less time than the library."""


@dataclass(frozen=True, eq=False)
class AxisPass:
    """Holds a step of the plan with its kernel and masks.

    Attributes:
        step: `AxisStep`.
        kernel: Variable.
        past: bool array, the live entries of the wiring; `None` for all.
        whole: bool array, the live entries at `causal=False`; `None` for all.
    """

    step: AxisStep
    kernel: Any
    past: Any
    whole: Any

    def masked(self, kernel, whole=False):
        """Returns the kernel (tensor or variable) as a tensor with zeros at masked entries."""
        kernel, mask = ops.convert_to_tensor(kernel), self.whole if whole else self.past
        return kernel if mask is None else kernel * ops.convert_to_tensor(mask, kernel.dtype)


def make_passes(layer, plan):
    """Adds the kernels of a plan to a layer.

    Args:
        layer: the `MultidimDense`.
        plan: Its `Plan`.

    Returns:
        `(kernels, terms)`: a list of variables in the order of their first use, and a tuple of
        tuples of `AxisPass`.
    """
    names = plan.kernel_names
    masks = {
        step: _masks(layer, step, names.index(step.kernel)) for term in plan.terms for step in term
    }
    kernels = {
        name: _add_kernel(layer, plan, name, index, masks) for index, name in enumerate(names)
    }
    terms = tuple(
        tuple(AxisPass(step, kernels[step.kernel], *masks[step]) for step in term)
        for term in plan.terms
    )
    return list(kernels.values()), terms


def _masks(layer, step, index):
    """Returns the masks of a step that uses the `index`-th kernel."""
    words = layer.wiring.split("+")
    if layer.wiring == "full" and step.diagonal:
        return None, None
    masks = kernel_masks(
        step.n_in,
        part=step.part,
        diagonal=step.diagonal,
        window=step.window,
        shift="shift" in words,
        density=layer.density,
        seed=(layer.seed, index) if "random" in words else None,
        over=step.over_sizes,
    )
    return tuple(None if mask.all() else mask for mask in masks)


def _add_kernel(layer, plan, name, index, masks):
    """Adds the `index`-th kernel, which several steps may use."""
    shift = "shift" in layer.wiring.split("+")
    uses = {step: added for step, added in plan.uses() if step.kernel == name}
    step = next(iter(uses))
    matrix = (2 * step.n_in - 1,) if shift else (step.n_in, step.n_out)
    if layer.kernel_initializer is None:
        # A tied kernel has several uses: take the smallest variance.
        variance = min(
            1 / (fan_in(step.n_in, masks[step][0], shift) * added) for step, added in uses.items()
        )
        initializer = get_initializer("random_normal", stddev=variance**0.5)
    else:
        initializer = initializer_copy(layer.kernel_initializer, index)
    return layer.add_weight(
        name=name,
        shape=(*step.over_sizes, *matrix),
        initializer=initializer,
        regularizer=layer.kernel_regularizer,
        constraint=layer.kernel_constraint,
    )


def combined(terms, plan, x, product):
    """Combines all terms of a `MultidimDense`.

    Args:
        terms: tuple of tuples of `AxisPass`, see `make_passes`.
        plan: its `Plan`.
        x: the layer's input.
        product: function `(z, p)` that multiplies z by the kernel of an `AxisPass` along its axis.

    Returns:
        The output, before bias and activation.
    """
    if plan.execution == "parallel":
        products = {}
        y = _term(x, terms[0], product, products)
        for term in terms[1:]:
            y = y + _term(x, term, product, products)
        return y
    for number in plan.order:
        z = _term(x, terms[number], product, {})
        x = x + z if plan.residual[number] else z
    return x


def _term(x, term, product, products):
    """Applies a term's passes; `products` caches products that terms have in common."""
    for end, p in enumerate(term, 1):
        steps = tuple(q.step for q in term[:end])
        if steps not in products:
            products[steps] = product(x, p)
        x = products[steps]
    return x


def native_terms(terms, plan, x, matrix):
    """Computes and combines all terms with the native library where it is faster.

    Args:
        terms: tuple of tuples of `AxisPass`, see `make_passes`.
        plan: their `mdnn.layers.multidim_plan.Plan`.
        x: the layer's input.
        matrix: function of an `AxisPass` that returns its masked kernel as matrices.

    Returns:
        The output, before bias and activation; `None` where Keras' operations are to be used.
    """
    if not _pays(plan, x.shape) or is_divided():
        return None
    calls = calls_for(x)
    if calls is None:
        return None
    batch = x.shape[0]
    if plan.execution == "parallel" and all(len(term) == 1 for term in terms):
        passes = [term[0] for term in terms]
        steps = tuple(_kernel_pass(p, k) for k, p in enumerate(passes))
        return calls.products(x, [matrix(p) for p in passes], steps, batch)

    def product(z, p):
        return calls.products(z, [matrix(p)], (_kernel_pass(p, 0),), batch)

    return combined(terms, plan, x, product)


def _kernel_pass(p, kernel):
    """Returns an `AxisPass` as a `KernelPass`, whose axis 0 is the one after the batch."""
    return KernelPass(p.step.axis - 1, tuple(a - 1 for a in p.step.over), kernel)


def is_native(plan):
    """Returns whether the library is faster: for separate kernels whose passes run in parallel.

    Args:
        plan: `mdnn.layers.multidim_plan.Plan`.
    """
    steps = [step for term in plan.terms for step in term]
    alone = len(plan.output_shape) - 2
    if plan.execution != "parallel":
        return False
    return all(len(s.over) == alone and s.n_in == s.n_out <= LONGEST_NATIVE_AXIS for s in steps)


def _pays(plan, shape):
    """Returns whether the library is used for an input of a shape."""
    batch, *sizes = shape
    large = batch is None or batch >= LEAST_NATIVE_BATCH
    return None not in sizes and large and is_native(plan)
