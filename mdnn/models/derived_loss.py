"""A loss whose network computes with weights that are made of other weights."""

import keras


class DerivedLoss(keras.Model):
    """Computes the loss of a network whose weights are functions of trained variables.

    The network that computes has variables of its own, whose values are never used: in each call
    the results of `derive` stand in their place, so that gradients go through `derive`. Random
    generators go on in the trained network's.

    Args:
        inner: `mdnn.models.loss_model.LossModel` of the network that computes.
        derive: function without arguments that returns a list of pairs of a variable of that
            network and the tensor to use in its place.
        trained: list of layers, whose variables are those of this model.
        states: list of pairs of a non-trainable variable of the network that computes and the
            variable of `trained` that holds its value.

    Call arguments:
        batch: see `mdnn.models.loss_model.LossModel`.

    Returns:
        The loss, a scalar.
    """

    def __init__(self, inner, derive, trained, states=(), **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.trained = list(trained)
        # Bypass Keras' attribute tracking: the variables of `inner` are not trained.
        for name, value in {"computing": inner, "derive": derive, "states": list(states)}.items():
            object.__setattr__(self, name, value)
        self.divisible = inner.divisible
        self.uses_target_indices = inner.uses_target_indices
        self.built = True

    def with_target_indices(self, batch, padded=False, sizes=None):
        """See `mdnn.models.loss_model.LossModel.with_target_indices`."""
        return self.computing.with_target_indices(batch, padded, sizes)

    def microbatches(self, batch, count):
        """See `mdnn.models.loss_model.LossModel.microbatches`."""
        return self.computing.microbatches(batch, count)

    def loss_weights(self, batches):
        """See `mdnn.models.loss_model.LossModel.loss_weights`."""
        return self.computing.loss_weights(batches)

    def call(self, batch, training=None):
        pairs = [(variable, source.value) for variable, source in self.states]
        with keras.StatelessScope([*self.derive(), *pairs]) as scope:
            loss = self.computing(batch, training=training)
        for variable, source in self.states:
            source.assign(scope.get_current_value(variable))
        return loss
