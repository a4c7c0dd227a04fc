"""The residual block that mixes positions along axes."""

import keras
from keras import ops

from mdnn.layers.mixing import make_mixer
from mdnn.layers.slabs import grid_in_slabs
from mdnn.models.blocks.residual_block import (
    ResidualBlock,
    check_width,
    ends,
    gated,
    make_activation,
    product,
)
from mdnn.models.blocks.row_identity import scaled, shifted


@keras.saving.register_keras_serializable(package="mdnn")
class MixingBlock(ResidualBlock):
    """Sums mixers between two dense layers over the channels.

    With a gate, `f(h) = W_out(act(u) * M(W_in h))`, where `u` is a second dense layer of h. `M`
    runs `stack` sets of mixers in sequence, each of them `times` times on its own output; the
    outputs of the mixers of a set are summed.

    Args:
        mixers: list of `mdnn.layers.mixing.Mixer`, or of dicts of their options.
        stack: int, number of sets of mixers, each with its own weights.
        times: int, number of times that each set runs on its own output.
        gate: name of the gate's activation, or `"none"`.
        activation: name of the activation after each run of a set, or `"none"`. With a gate the
            last run has none.
        project: bool, whether to apply dense layers before and after.
        width: int, number of channels between the dense layers; 0: that of the input.

    Input shape:
        `[batch, t1, ..., tk, channels]`.

    Output shape:
        The same.
    """

    def __init__(
        self,
        mixers,
        stack=1,
        times=1,
        gate="none",
        activation="none",
        project=True,
        width=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.width = width
        self.mixers = tuple(make_mixer(mixer) for mixer in mixers)
        self.stack, self.times, self.project = stack, times, project
        self.gate, self.activation = gate, activation
        self.gate_function = make_activation(gate)
        self.function = make_activation(activation)

    def build_transform(self, shape):
        width = self.mixing_width(shape[-1])
        inner = (*shape[:-1], width)
        check_width(self.gate_function, self.gate, width)
        check_width(self.function, self.activation, width)
        if self.project:
            twice = 2 if self.gate != "none" else 1
            self.dense_in = self.make_dense(width * twice, "dense_in", shape)
            self.dense_out = self.make_dense(shape[-1], "dense_out", inner, self.scale)
        self.sets = []
        for s in range(self.stack):
            mixing = []
            for k, mixer in enumerate(self.mixers):
                layer = mixer.make_layer(len(shape) - 2, f"mixer_{s}_{k}", self.dtype_policy)
                layer.axis_names, layer.slab = self.axis_names, self.slab
                layer.build(mixer.layer_shape(inner))
                mixing.append(layer)
            self.sets.append(mixing)

    def transform(self, x, options, training, mix=None):
        """Computes f; the arguments are the call arguments of `ResidualBlock`."""
        mix = mix or (lambda layer, mixer, x: mixer.apply(layer, x, options))
        gates = ()
        if self.project:
            first, weights = lambda x: self._first(x, options), self.dense_in.variables
            *gates, x = grid_in_slabs(first, [x], self.slab, weights=weights)
        for s, mixing in enumerate(self.sets):
            for t in range(self.times):
                x = sum(
                    mix(layer, mixer, x) for layer, mixer in zip(mixing, self.mixers, strict=True)
                )
                last = s == self.stack - 1 and t == self.times - 1
                # The gate is the nonlinearity of the last run.
                if self.function is not None and not (last and gates):
                    x = self.function(x)
        if not self.project:
            return x
        last, weights = lambda *x: self._last(*x, options), self.dense_out.variables
        return grid_in_slabs(last, [*gates, x], self.slab, weights=weights)

    def _first(self, x, options):
        """Returns the input of the gate, if there is one, and the input of the mixers."""
        x = shifted(self.dense_in(x), options, self.name)
        return (x,) if self.gate == "none" else tuple(ops.split(x, 2, axis=-1))

    def _last(self, *values):
        """Returns f from the gate's input, if there is one, the mixed values and the options."""
        *gates, x, options = values
        if gates:
            x = gated(self.gate, self.gate_function, *gates, x)
        return self.dense_out(scaled(x, options, self.name))

    def mixing_uses(self):
        return [
            (layer, mixer)
            for mixing in self.sets
            for _ in range(self.times)
            for layer, mixer in zip(mixing, self.mixers, strict=True)
        ]

    def mixing_width(self, width):
        return self.width or width

    @property
    def can_be_causal(self):
        return all(mixer.can_be_causal for mixer in self.mixers)

    def stays_in_rows(self, rank):
        """Returns whether rows of the fastest of `rank` axes are mixed separately and alike."""
        return all(mixer.stays_in_rows(rank) for mixer in self.mixers)

    def operations(self, input_shape):
        """Returns the number of multiply-adds for one example."""
        shape = tuple(input_shape)
        inner = (*shape[:-1], self.mixing_width(shape[-1]))
        total = 0
        if self.project:
            total += product(shape[1:]) * (self.dense_in.units + inner[-1])
        for layer, mixer in self.mixing_uses():
            total += mixer.operations(layer, inner)
        return total

    def values(self, input_shape):
        """Returns the number of values written for one example."""
        shape = tuple(input_shape)
        inner = (*shape[:-1], self.mixing_width(shape[-1]))
        size, between, runs = product(shape[1:]), product(inner[1:]), self.stack * self.times
        around = (1 if self.gate == "none" else 3) * self.project
        total = size * (ends(self) + self.project)
        total += between * (around + (self.function is not None) * runs)
        return total + runs * sum(mixer.values(inner) for mixer in self.mixers)

    def get_config(self):
        return {
            **super().get_config(),
            "mixers": [mixer.to_table() for mixer in self.mixers],
            "stack": self.stack,
            "times": self.times,
            "gate": self.gate,
            "activation": self.activation,
            "project": self.project,
            "width": self.width,
        }
