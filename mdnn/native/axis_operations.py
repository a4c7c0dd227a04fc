"""The native products along axes as TensorFlow operations with gradients."""

import tensorflow as tf
from tensorflow.python.ops import control_flow_util

from mdnn.native.axis_library import open_library, set_threads
from mdnn.native.axis_plan import plan_numbers
from mdnn.native.native_setting import graphs_allowed


def load_calls(path):
    """Loads the library into TensorFlow; returns `AxisOperations`, or `None` if it does not load.

    Args:
        path: str, the library's path.
    """
    try:
        operations = tf.load_op_library(path)
        products = operations.mdnn_axis_products
    except (tf.errors.OpError, AttributeError):
        # Another version of TensorFlow, whose functions the library does not find.
        return None
    library = open_library(path)
    return None if library is None else AxisOperations(products, operations, library)


class AxisOperations:
    """Calls the native operations, whose gradients, of any order, are native, too.

    Args:
        products: function that runs MdnnAxisProducts.
        operations: module of the loaded library.
        library: the library as a `ctypes.CDLL`, also an attribute.
    """

    def __init__(self, products, operations, library):
        self._products, self._operations, self.library = products, operations, library
        self._has_gpu = bool(tf.config.list_physical_devices("GPU"))
        tf.RegisterGradient("MdnnAxisProducts")(self._products_gradient)
        tf.RegisterGradient("MdnnAxisGradients")(self._gradients_gradient)
        tf.RegisterGradient("MdnnAxisKernelGradients")(self._kernel_gradients_gradient)

    def takes(self, x):
        """Returns whether a tensor is multiplied natively, see `axis_library.calls_for`."""
        if self._has_gpu or x.dtype != tf.float32:
            return False
        if tf.executing_eagerly():
            return True
        graph = tf.compat.v1.get_default_graph()
        # XLA has no such operation.
        return graphs_allowed() and not control_flow_util.GraphOrParentsInXlaContext(graph)

    def products(self, x, kernels, passes, batch):
        """Multiplies an array by kernels along axes and adds the products.

        Args:
            x: float32 tensor `[batch, d1, ..., dn]`; all sizes but the batch's are known.
            kernels: list of float32 tensors, one per pass, of the shape that
                `mdnn.native.axis_plan.kernel_shape` gives.
            passes: tuple of `mdnn.native.axis_plan.KernelPass`es.
            batch: int, number of examples that sweeps are chosen for; `None` if it is unknown.

        Returns:
            float32 tensor `[batch, d1, ..., dn]`.
        """
        # 0 is TensorFlow's word for all cores.
        set_threads(self.library, tf.config.threading.get_intra_op_parallelism_threads())
        plan = [0, *plan_numbers(tuple(x.shape[1:]), passes, batch)]
        return self._products(x=x, kernels=kernels, plan=plan)

    def _products_gradient(self, op, dy):
        """Returns dx, the kernels' gradients, or both, as needed."""
        x, *kernels = op.inputs
        plan = list(op.get_attr("plan"))
        skipped = set(getattr(op, "skip_input_indices", None) or ())
        if skipped >= set(range(1, 1 + len(kernels))):
            return [self._of_transposed(dy, kernels, plan), *(None for _ in kernels)]
        if 0 in skipped:
            return [None, *self._kernel_gradients(x, dy, kernels, plan)]
        dx, gradients = self._operations.mdnn_axis_gradients(x=x, dy=dy, kernels=kernels, plan=plan)
        return [dx, *gradients]

    def _gradients_gradient(self, op, of_dx, *of_gradients):
        x, dy, *kernels = op.inputs
        plan = list(op.get_attr("plan"))
        by_dy = self._products(x=x, kernels=list(of_gradients), plan=plan)
        by_dy += self._products(x=of_dx, kernels=kernels, plan=plan)
        by_kernels = self._kernel_gradients(of_dx, dy, kernels, plan)
        return [self._of_transposed(dy, list(of_gradients), plan), by_dy, *by_kernels]

    def _kernel_gradients_gradient(self, op, *of_gradients):
        x, dy = op.inputs
        plan = list(op.get_attr("plan"))
        of_gradients = list(of_gradients)
        by_dy = self._products(x=x, kernels=of_gradients, plan=plan)
        return [self._of_transposed(dy, of_gradients, plan), by_dy]

    def _of_transposed(self, dy, kernels, plan):
        return self._products(x=dy, kernels=kernels, plan=[1 - plan[0], *plan[1:]])

    def _kernel_gradients(self, x, dy, kernels, plan):
        flat = self._operations.mdnn_axis_kernel_gradients(x=x, dy=dy, plan=plan, N=len(kernels))
        return [tf.reshape(g, k.shape) for g, k in zip(flat, kernels, strict=True)]
