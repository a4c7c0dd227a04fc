"""Products along axes and their gradients in numpy, and calls of the library with numpy arrays."""

import ctypes

import numpy as np

from mdnn.native.axis_plan import KernelPass, kernel_shape, plan_numbers

LETTERS = "ijklmn"
_FLOATS = ctypes.POINTER(ctypes.c_float)


def separate(sizes, axes=None):
    """Passes whose kernels differ over all other axes."""
    axes = range(len(sizes)) if axes is None else axes
    return tuple(
        KernelPass(a, tuple(b for b in range(len(sizes)) if b != a), k) for k, a in enumerate(axes)
    )


def shared(sizes):
    """Passes with one kernel each."""
    return tuple(KernelPass(a, (), a) for a in range(len(sizes)))


def tied(sizes):
    """Passes with one kernel in all."""
    return tuple(KernelPass(a, (), 0) for a in range(len(sizes)))


def grouped(sizes):
    """Passes whose kernels differ over the last axis."""
    return tuple(KernelPass(a, (len(sizes) - 1,), a) for a in range(len(sizes) - 1))


def arrays(sizes, passes, batch):
    """Returns x, dy and the kernels, float32."""
    rng = np.random.default_rng(1)
    x, dy = rng.standard_normal((2, batch, *sizes)).astype("float32")
    shapes = {p.kernel: kernel_shape(sizes, p) for p in passes}
    kernels = [
        (rng.standard_normal(shapes[k]) / shapes[k][-1] ** 0.5).astype("float32")
        for k in sorted(shapes)
    ]
    return x, dy, kernels


def _letters(p, ndim):
    x = LETTERS[:ndim]
    return x, "".join(x[a] for a in p.over) + x[p.axis] + "z", x.replace(x[p.axis], "z")


def products(x, kernels, passes):
    """The sum of all products, in float64."""
    y = 0
    for p in passes:
        x_letters, k_letters, y_letters = _letters(p, x.ndim - 1)
        kernel = kernels[p.kernel].astype("float64")
        y = y + np.einsum(f"...{x_letters},{k_letters}->...{y_letters}", x, kernel)
    return y


def gradients(x, dy, kernels, passes):
    """The gradients of `products` by x and by the kernels, in float64."""
    dx, of_kernels = 0, [0.0] * len(kernels)
    for p in passes:
        x_letters, k_letters, y_letters = _letters(p, x.ndim - 1)
        kernel = kernels[p.kernel].astype("float64")
        dx = dx + np.einsum(f"...{y_letters},{k_letters}->...{x_letters}", dy, kernel)
        of_kernels[p.kernel] = of_kernels[p.kernel] + np.einsum(
            f"b{x_letters},b{y_letters}->{k_letters}", x.astype("float64"), dy
        )
    return dx, of_kernels


def _pointer(array):
    return None if array is None else array.ctypes.data_as(_FLOATS)


def _table(some):
    return (_FLOATS * len(some))(*map(_pointer, some))


def _head(sizes, passes, batch, transposed):
    numbers = np.array(plan_numbers(sizes, passes, batch), "int64")
    pointer = numbers.ctypes.data_as(ctypes.c_void_p)
    return pointer, ctypes.c_int64(len(numbers)), ctypes.c_int64(batch), transposed


def native_products(library, x, kernels, passes, transposed=0):
    """The library's sum of all products; every float of the result is written."""
    y = np.full_like(x, np.nan)
    head = _head(x.shape[1:], passes, len(x), transposed)
    assert library.mdnn_axis_products(*head, _pointer(x), _table(kernels), _pointer(y))
    return y


def native_gradients(library, x, dy, kernels, passes, transposed=0, of_x=True):
    """The library's gradients by x (`None` without `of_x`) and by the kernels."""
    dx = np.full_like(x, np.nan) if of_x else None
    of_kernels = [np.full_like(k, np.nan) for k in kernels]
    head = _head(x.shape[1:], passes, len(x), transposed)
    rest = _pointer(x), _pointer(dy), _table(kernels), _pointer(dx), _table(of_kernels)
    assert library.mdnn_axis_gradients(*head, *rest)
    return dx, of_kernels
