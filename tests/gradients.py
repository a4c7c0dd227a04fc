"""The loss of a batch and its gradients, as the training step takes them, for tests."""

import keras
import pytest

from mdnn.models.loss_model import LossModel


def loss_and_gradients(model, loss, batch):
    """Returns the loss of a batch and its gradients by the model's trainable variables.

    Args:
        model: a network as `mdnn.build` makes it.
        loss: `mdnn.TokenCrossEntropy`.
        batch: dict of the model's inputs, perhaps with `weights`.

    Returns:
        The loss, a scalar, and a list of tensors, one per trainable variable.
    """
    return loss_model_gradients(LossModel(model, loss), batch)


def loss_model_gradients(loss_model, batch):
    """Returns the loss that a loss model computes, and its gradients by its trainable variables."""
    if keras.backend.backend() == "torch":
        pytest.skip("the loop's gradients are taken on TensorFlow and JAX")
    batch = loss_model.with_target_indices(batch)
    if keras.backend.backend() == "tensorflow":
        from mdnn.training.steps.step_tensorflow import gradients_of

        return gradients_of(loss_model, [batch])
    from mdnn.training.steps.step_jax import gradient_function, values_of

    (_, (value, _)), gradients = gradient_function(loss_model)(*values_of(loss_model), batch)
    return value, gradients
