"""The layer that holds the weights of all members and runs a function for each of them at once."""

import keras
import numpy as np
from keras import ops, tree

from mdnn.models.blocks.residual_block import run_blocks


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
        training: bool.

    Returns:
        `[batch, positions, members * width]`, the inputs of the heads of all members.
    """

    def __init__(self, template, arrays, seed=0, **kwargs):
        super().__init__(autocast=False, **kwargs)
        # The template's own weights are not weights of this layer: Keras must not track them.
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
            training: bool, whether dropout draws numbers.
        """
        values = [ops.convert_to_tensor(variable) for variable in self.stacked]
        return self._each(function, self.template.weights, values, self._drawn(training), mapped)

    def _drawn(self, training):
        """Returns pairs of the template's seeds and their values in one pass over the network."""
        if not training or not self.seeds:
            return []
        # The same numbers for all members: they are drawn once.
        drawn = self.generator.next()
        return [(seed, ops.cast(drawn, seed.dtype) + k) for k, seed in enumerate(self.seeds)]

    def _each(self, function, weights, values, seeds, mapped):
        """Runs a function for all members; see `each`.

        Args:
            function, mapped: see `each`.
            weights: list of those weights of the template that the function uses.
            values: list of their values, `[members, *shape]`.
            seeds: result of `_drawn`.
        """

        def one(elements):
            values, arguments = elements
            pairs = [*zip(weights, values, strict=True), *seeds]
            with keras.StatelessScope(state_mapping=pairs):
                return function(*arguments)

        return ops.vectorized_map(one, (values, mapped))

    def call(self, tokens, options=None, training=None):
        options, training = options or self.template.options, bool(training)
        if training and self.recomputes:
            return self.joined(self._recomputed(tokens, options))

        def hidden():
            return self.template.hidden(tokens, options.causal, training=training)

        return self.joined(self.each(hidden, training=training))

    @property
    def recomputes(self):
        """bool, whether gradients recompute the blocks of all members here.

        TensorFlow vectorizes operation by operation, so that nothing is recomputed inside; other
        backends keep what the template's blocks do themselves with `backbone.remat`.
        """
        remat = self.template.config.backbone.remat
        return remat and keras.backend.backend() == "tensorflow"

    def _recomputed(self, tokens, options):
        """Returns the members' inputs of the heads; gradients recompute the inside of each block.

        Args:
            tokens, options: see the call arguments.
        """
        template, seeds = self.template, self._drawn(True)
        options = template.options.changed(causal=options.causal)
        place = {id(weight): k for k, weight in enumerate(template.weights)}
        x = self.each(lambda: template.embed(tokens))
        for block in template.blocks:
            # An argument, not the loop's variable, which is another one when it is recomputed.
            def run(values, x, block=block):
                def one(x):
                    marks = template.marks(tokens)
                    return run_blocks([block], x, options, True, marks=marks)

                return self._each(one, block.weights, values, seeds, (x,))

            stacked = [self.stacked[place[id(weight)]] for weight in block.weights]
            # Read here: TensorFlow recomputes no function that reads variables. Without the product
            # it counts gradients twice where it runs without a graph.
            values = [ops.convert_to_tensor(variable) * 1 for variable in stacked]
            x = keras.remat(run)(values, x)
        return self.each(template.read_out, x)

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
