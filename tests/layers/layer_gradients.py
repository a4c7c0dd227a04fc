"""Gradients of a layer on every Keras backend that mdnn is tested on."""

import keras
import numpy as np


def output_and_gradients(layer, x, weights, **kwargs):
    """Computes a layer's output and the gradients of `sum(output * weights)`.

    Args:
        layer: A built layer.
        x: Array, its input.
        weights: Array of the output's shape.
        kwargs: Further arguments of the layer's call.

    Returns:
        The output, the gradient by `x` and a list of gradients by the trainable variables, all
        numpy arrays.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        x = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, **kwargs)
            loss = tf.reduce_sum(y * weights)
        variables = [v.value for v in layer.trainable_variables]
        dx, dv = tape.gradient(loss, [x, variables], unconnected_gradients="zero")
        # Rows that were looked up come as a list of rows.
        dv = [tf.convert_to_tensor(d) for d in dv]
    elif keras.backend.backend() == "jax":
        import jax

        def loss(x, trainable):
            fixed = [v.value for v in layer.non_trainable_variables]
            y, _ = layer.stateless_call(trainable, fixed, x, **kwargs)
            return (y * weights).sum(), y

        trainable = [v.value for v in layer.trainable_variables]
        (dx, dv), y = jax.grad(loss, argnums=(0, 1), has_aux=True)(x, trainable)
    else:
        from backends import torch_gradients

        x = keras.ops.convert_to_tensor(x).requires_grad_()
        y = layer(x, **kwargs)
        variables = [v.value for v in layer.trainable_variables]
        dx, *dv = torch_gradients((y * keras.ops.convert_to_tensor(weights)).sum(), [x, *variables])
        y = y.detach()
    return np.asarray(y), np.asarray(dx), [np.asarray(d) for d in dv]
