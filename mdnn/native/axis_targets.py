"""The native products along axes as foreign functions of JAX with gradients."""

import functools

import jax
import numpy as np

from mdnn.native.axis_library import open_library, set_threads
from mdnn.native.axis_plan import plan_numbers
from mdnn.native.native_setting import graphs_allowed

_TARGETS = ("products", "gradients")


def load_calls(path):
    """Registers the library's functions with JAX; returns `AxisTargets`, `None` if it cannot.

    Args:
        path: str, the library's path.
    """
    library = open_library(path)
    if library is None or not hasattr(jax, "ffi"):
        return None
    try:
        for name in _TARGETS:
            function = getattr(library, f"mdnn_axis_xla_{name}")
            jax.ffi.register_ffi_target(f"mdnn_axis_{name}", jax.ffi.pycapsule(function), "cpu")
    except Exception:
        # A version of XLA with another interface; jaxlib's errors have no common class.
        return None
    return AxisTargets(library)


class AxisTargets:
    """Calls the native functions.

    Args:
        library: the library as a `ctypes.CDLL`, also an attribute.
    """

    def __init__(self, library):
        self.library = library
        self._one_cpu = jax.device_count() == 1 and jax.devices()[0].platform == "cpu"

    def takes(self, x):
        """Returns whether an array is multiplied natively, see `axis_library.calls_for`."""
        if not self._one_cpu or x.dtype != "float32":
            return False
        return graphs_allowed() if isinstance(x, jax.core.Tracer) else True

    def products(self, x, kernels, passes, batch):
        """See `mdnn.native.axis_operations.AxisOperations.products`."""
        set_threads(self.library, 0)
        return _products((0, *plan_numbers(tuple(x.shape[1:]), passes, batch)), x, list(kernels))


def _call(name, plan, results, *arrays):
    shapes = [jax.ShapeDtypeStruct(r.shape, r.dtype) for r in results]
    function = jax.ffi.ffi_call(f"mdnn_axis_{name}", shapes, vmap_method="sequential")
    return function(*arrays, plan=np.array(plan, "int64"))


def _other(plan):
    """Returns the plan with transposed kernels."""
    return (1 - plan[0], *plan[1:])


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _products(plan, x, kernels):
    return _call("products", plan, [x], x, *kernels)[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _gradients(plan, x, dy, kernels):
    dx, *gradients = _call("gradients", plan, [x, *kernels], x, dy, *kernels)
    return dx, gradients


def _gradients_back(plan, saved, cotangents):
    x, dy, kernels = saved
    of_dx, of_gradients = cotangents
    by_x = _products(_other(plan), dy, of_gradients)
    by_dy = _products(plan, x, of_gradients) + _products(plan, of_dx, kernels)
    _, by_kernels = _gradients(plan, of_dx, dy, kernels)
    return by_x, by_dy, by_kernels


_products.defvjp(
    lambda plan, x, kernels: (_products(plan, x, kernels), (x, kernels)),
    lambda plan, saved, dy: _gradients(plan, saved[0], dy, saved[1]),
)
_gradients.defvjp(
    lambda plan, x, dy, kernels: (_gradients(plan, x, dy, kernels), (x, dy, kernels)),
    _gradients_back,
)
