"""Keras' AdamW and Muon with the same updates in fewer, larger operations."""

import keras
from keras import ops


class AdamW(keras.optimizers.AdamW):
    """`keras.optimizers.AdamW` with one fused operation per variable on TensorFlow."""

    def update_step(self, gradient, variable, learning_rate):
        if keras.backend.backend() != "tensorflow":
            return super().update_step(gradient, variable, learning_rate)
        index = self._get_variable_index(variable)
        state = self._momentums[index], self._velocities[index]
        betas = self.beta_1, self.beta_2
        return _adam_step(gradient, variable, learning_rate, *state, *betas, self)


class Muon(keras.optimizers.Muon):
    """`keras.optimizers.Muon` that orthogonalizes all matrices of one shape as one stack.

    Variables that Muon leaves to Adam use one fused operation each on TensorFlow.

    Args:
        products: dtype of the matrix products: `"bfloat16"`, as in the original implementation
            (github.com/KellerJordan/Muon), or `None` for the variables' dtype.
        **kwargs: Keras' arguments.
    """

    def __init__(self, products=None, **kwargs):
        super().__init__(**kwargs)
        self.products = products

    def _adamw_update_step(self, gradient, variable, learning_rate, m, v):
        if keras.backend.backend() != "tensorflow":
            return super()._adamw_update_step(gradient, variable, learning_rate, m, v)
        betas = self.adam_beta_1, self.adam_beta_2
        return _adam_step(gradient, variable, learning_rate, m, v, *betas, self)

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        alone, stacks = [], {}
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            if self.adam_velocities[self._get_variable_index(variable)] is not None:
                alone.append((gradient, variable))
            else:
                # A matrix and a transposed matrix share a stack.
                shape = tuple(sorted(variable.shape))
                stacks.setdefault(shape, []).append((gradient, variable))
        if alone:
            super()._backend_update_step(*zip(*alone, strict=True), learning_rate)
        for members in stacks.values():
            self._stack_step(members, learning_rate)

    def _stack_step(self, members, learning_rate):
        """Updates matrices of one shape, given as `(gradient, matrix)` pairs."""
        directions = []
        for gradient, variable in members:
            m = self.momentums[self._get_variable_index(variable)]
            self.assign(m, ops.add(gradient, m * self.momentum))
            direction = gradient + self.momentum * m if self.nesterov else m + 0.0
            directions.append(_wide(direction, variable))
        stack = ops.stack(directions)
        # Normalize before the cast: the sum in the norm needs the full precision.
        stack = stack / (ops.norm(stack, axis=(-2, -1), keepdims=True) + 1e-7)
        dtype = stack.dtype
        stack = ops.cast(stack, self.products or dtype)
        stack = ops.cast(self.zeropower_via_newtonschulz5(stack, self.ns_steps), dtype)
        scale = 1.0
        if self.rms_rate is not None:
            scale = self.rms_rate * max(stack.shape[1:]) ** 0.5
        stack = stack * (learning_rate * scale)
        for (_, variable), change in zip(members, ops.unstack(stack, axis=0), strict=True):
            self.assign_sub(variable, _wide(change, variable))


def _wide(matrix, variable):
    """Transposes a matrix if the variable has more rows than columns; is its own inverse."""
    return ops.transpose(matrix) if variable.shape[0] > variable.shape[1] else matrix


def _adam_step(gradient, variable, rate, momentum, velocity, beta_1, beta_2, optimizer):
    """Applies the Adam update of one variable as a single TensorFlow operation."""
    import tensorflow as tf

    dtype = variable.dtype
    step = ops.cast(optimizer.iterations + 1, dtype)
    beta_1, beta_2 = ops.cast(beta_1, dtype), ops.cast(beta_2, dtype)
    return tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=momentum.value.handle,
        v=velocity.value.handle,
        beta1_power=ops.power(beta_1, step),
        beta2_power=ops.power(beta_2, step),
        lr=ops.cast(rate, dtype),
        beta1=beta_1,
        beta2=beta_2,
        epsilon=ops.cast(optimizer.epsilon, dtype),
        grad=ops.cast(gradient, dtype),
    )
