"""The matrices that a mixing layer consists of, for those who run it position by position."""

from keras import ops

from mdnn.layers.multidim_plan import make_plan
from mdnn.layers.wiring import kernel_masks


def axis_matrices(layer, shape):
    """The kernels of a `MultidimDense` as it is wired, with zeros where nothing is joined.

    Args:
        layer: a built `mdnn.layers.MultidimDense`.
        shape: tuple `(batch, d1, ..., dn)`, the shape that it was built for.

    Returns:
        `(terms, residual)`: for each term, in the order of execution, a list of pairs of a
        `mdnn.layers.multidim_plan.Step` and its kernel `[sizes of the axes over which it
        differs..., n_in, n_out]`, with shift wiring `[..., 2 * n - 1]` by distance (see
        `mdnn.layers.wiring.toeplitz`); and whether the term is added to its input.
    """
    plan = make_plan(shape, layer)
    names, words = plan.kernel_names, layer.wiring.split("+")
    kernels = dict(zip(names, layer.kernels, strict=True))
    terms = []
    for number in plan.order:
        term = []
        for step in plan.terms[number]:
            kernel = ops.cast(ops.convert_to_tensor(kernels[step.kernel]), layer.compute_dtype)
            mask, _ = kernel_masks(
                step.n_in,
                part=step.part,
                diagonal=step.diagonal,
                window=step.window,
                shift="shift" in words,
                density=layer.density,
                seed=(layer.seed, names.index(step.kernel)) if "random" in words else None,
                over=step.over_sizes,
            )
            if not mask.all():
                kernel = kernel * ops.convert_to_tensor(mask, kernel.dtype)
            term.append((step, kernel))
        terms.append(term)
    return terms, [plan.residual[number] for number in plan.order]
