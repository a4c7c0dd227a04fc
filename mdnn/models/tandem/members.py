"""The layer that holds the weights of all members and runs a function for each of them at once."""

import keras
import numpy as np
from keras import ops, tree


@keras.saving.register_keras_serializable(package="mdnn")
class Members(keras.layers.Layer):
    """Runs a network with several sets of weights as one batched computation.

    Every weight of the network has one more axis in front, the members. A function of the network
    is vectorized over that axis: its products become batched products, and a training step of ten
    members is one step.

    Args:
        template: `mdnn.models.network.Network`, whose layers compute with the members' weights in
            place of their own.
        arrays: list of arrays `[members, *shape]`, initial values in the order of the template's
            weights.
        seed: int, of dropout, which leaves out the same channels of all members.

    Attributes:
        count: int, number of members.
        stacked: list of variables `[members, *shape]`, in the order of the template's weights.

    Call arguments:
        tokens: int32 `[batch, positions, 8]`.
        options: `mdnn.models.call_options.CallOptions`.
        training: boolean.

    Returns:
        `[batch, positions, members * width]`, the inputs of the heads of all members.
    """

    def __init__(self, template, arrays, seed=0, **kwargs):
        super().__init__(autocast=False, **kwargs)
        # The template's own weights are no weights of this layer: Keras must not track them.
        object.__setattr__(self, "template", template)
        self.count, self.stacked = len(arrays[0]), []
        for weight, values in zip(template.weights, arrays, strict=True):
            stacked = self.add_weight(
                shape=values.shape,
                initializer="zeros",
                dtype=weight.dtype,
                trainable=weight.trainable,
                # The path of a weight of one network; a name has no slashes.
                name=weight.path.replace("/", "."),
            )
            stacked.stacked_axes = 1
            stacked.assign(values)
            self.stacked.append(stacked)
        known = {id(weight) for weight in template.weights}
        object.__setattr__(self, "seeds", [v for v in template.variables if id(v) not in known])
        self.generator = keras.random.SeedGenerator(seed) if self.seeds else None
        self.built = True

    def each(self, function, *mapped, training=False):
        """Returns a function's results for all members, stacked along a first axis.

        Args:
            function: function of the template; it runs with the weights of one member.
            *mapped: nested structures of tensors `[members, ...]`; each call gets its member's.
            training: boolean, whether dropout draws numbers.
        """
        seeds = []
        if training and self.seeds:
            # The same numbers for all members: they are drawn once.
            drawn = self.generator.next()
            seeds = [(seed, ops.cast(drawn, seed.dtype) + k) for k, seed in enumerate(self.seeds)]

        def one(elements):
            values, arguments = elements
            pairs = [*zip(self.template.weights, values, strict=True), *seeds]
            with keras.StatelessScope(state_mapping=pairs):
                return function(*arguments)

        values = [ops.convert_to_tensor(variable) for variable in self.stacked]
        return ops.vectorized_map(one, (values, mapped))

    def call(self, tokens, options=None, training=None):
        options = options or self.template.options

        def hidden():
            return self.template.hidden(tokens, options.causal, training=bool(training))

        return self.joined(self.each(hidden, training=bool(training)))

    def joined(self, hidden):
        """Joins the members' channels: `[members, ..., width]` to `[..., members * width]`."""
        rank = len(hidden.shape)
        hidden = ops.transpose(hidden, (*range(1, rank - 1), 0, rank - 1))
        # All sizes but the batch are known.
        return ops.reshape(hidden, (-1, *hidden.shape[1:-2], self.count * hidden.shape[-1]))

    def compute_output_shape(self, tokens_shape):
        width = self.count * self.template.width
        return (tokens_shape[0], self.template.to_positions.target_shape[0], width)

    def compute_output_spec(self, tokens, options=None, training=None):
        return keras.KerasTensor(self.compute_output_shape(tokens.shape), self.compute_dtype)

    def operations(self, input_shape):
        """Counts the multiply-adds for one example, of all members, without the heads."""
        return self.count * sum(self._counted("operations"))

    def values(self, input_shape):
        """Counts the values written for one example, of all members."""
        return self.count * sum(self._counted("values"))

    def _counted(self, what):
        """Yields the counts of the template's layers before the heads, for one example."""
        for layer in self.template.layers:
            if hasattr(layer, what) and layer is not self.template.heads:
                first = tree.flatten(layer.input)[0]
                yield int(getattr(layer, what)(tuple(first.shape)))

    def arrays_of(self, number):
        """Returns the weights of one member, a list of arrays in the order of the template's."""
        return [np.array(ops.convert_to_numpy(variable)[number]) for variable in self.stacked]
