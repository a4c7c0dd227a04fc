"""The branch that mixes along axes, and the mixers that it is made of."""

import keras
from keras import initializers, ops

from mdnn.layers import AxisAttention, AxisConv, AxisLocal, AxisMean, MultidimDense
from mdnn.models.blocks import ResidualBlock, check_width, ends, gated, make_activation, product


def make_mixer(spec, rank, name, dtype=None):
    """The mixing layer of one mixer table.

    Args:
        spec: dict with the fields of `mdnn.config.network_tables.Mixer`.
        rank: int, number of context axes; the input is `[batch, t1 .. t_rank, channels]`, or
            with channel groups `[batch, t1 .. t_rank, groups, channels / groups]`.
        name: str.
        dtype: dtype or dtype policy of the layer.
    """
    common = {"wiring": spec["wiring"], "name": name, "dtype": dtype}
    axes = tuple(spec["axes"]) or tuple(range(1, rank + 1))
    if spec["kind"] == "attention":
        return AxisAttention(axes[0], heads=spec["heads"], rotary=spec["rotary"], **common)
    if spec["kind"] == "mean":
        return AxisMean(axes, name=name, dtype=dtype)
    if spec["kind"] == "conv":
        return AxisConv(axes[0], kernel_size=spec["window"] + 1, **common)
    if spec["kind"] == "local":
        grouped = spec["sharing"] == "groups"
        return AxisLocal(
            axes[0],
            window=spec["window"],
            sharing="shared" if grouped else spec["sharing"],
            groups=spec["groups"] if grouped else 1,
            **common,
        )
    start = initializers.RandomNormal(stddev=spec["init_std"]) if spec["init_std"] else None
    sharing = spec["sharing"]
    if sharing == "groups":
        sharing = (rank + 1,) if spec["groups"] > 1 else "shared"
    return MultidimDense(
        axes=axes,
        sharing=sharing,
        execution=spec["execution"],
        order=spec["order"],
        self_connection=spec["self_connection"],
        window=spec["window"],
        density=spec["density"],
        seed=spec["seed"] if "random" in spec["wiring"] else None,
        kernel_initializer=start,
        **common,
    )


@keras.saving.register_keras_serializable(package="mdnn")
class MixingBlock(ResidualBlock):
    """Mixers side by side, their sum taken, between two dense layers over the channels.

    `f(h) = W_out(act(u) * M(W_in h))` with a gate, where `u` is a second dense of h and `M` is
    `stack` sets of mixers, each fed `times` times with its own output.

    Args:
        mixers: list of dicts with the fields of `mdnn.config.network_tables.Mixer`.
        stack: number of sets of mixers one after another, each with its own weights; the
            activation stands between them.
        times: how many times each set runs on its own output.
        gate: activation of the gate, or `"none"`.
        activation: activation after each run of a set.
        project: whether there are dense layers before and after.

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
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.mixers = [{**spec, "axes": list(spec["axes"])} for spec in mixers]
        self.stack, self.times, self.project = stack, times, project
        self.gate, self.activation = gate, activation
        self.gate_function = make_activation(gate)
        self.function = make_activation(activation)

    def build_transform(self, shape):
        width = shape[-1]
        check_width(self.gate_function, self.gate, width)
        check_width(self.function, self.activation, width)
        if self.project:
            twice = 2 if self.gate != "none" else 1
            self.dense_in = self.make_dense(width * twice, "dense_in", shape)
            self.dense_out = self.make_dense(width, "dense_out", shape, self.scale)
        self.sets = []
        for s in range(self.stack):
            mixers = []
            for k, spec in enumerate(self.mixers):
                mixer = make_mixer(spec, len(shape) - 2, f"mixer_{s}_{k}", self.dtype_policy)
                mixer.build(self._mixed_shape(shape, spec))
                mixers.append(mixer)
            self.sets.append(mixers)

    def _mixed_shape(self, shape, spec):
        """The shape that a mixer is given."""
        if self._has_groups(spec):
            shape = (*shape[:-1], spec["groups"], shape[-1] // spec["groups"])
        return shape

    def _has_groups(self, spec):
        return spec["kind"] == "dense" and spec["sharing"] == "groups" and spec["groups"] > 1

    def transform(self, x, causal, training, mix=None):
        """f; `mix` stands in for the mixers: function `(mixer, spec, input)` to output."""
        mix = mix or (lambda mixer, spec, x: self.mixed(mixer, spec, x, causal))
        gate = None
        if self.project:
            x = self.dense_in(x)
            if self.gate != "none":
                gate, x = ops.split(x, 2, axis=-1)
        for s, mixers in enumerate(self.sets):
            for t in range(self.times):
                x = sum(
                    mix(mixer, spec, x) for mixer, spec in zip(mixers, self.mixers, strict=True)
                )
                last = s == self.stack - 1 and t == self.times - 1
                # A gate is the last step's nonlinearity already.
                if self.function is not None and not (last and gate is not None):
                    x = self.function(x)
        if gate is not None:
            x = gated(self.gate, self.gate_function, gate, x)
        return self.dense_out(x) if self.project else x

    def mixed(self, mixer, spec, x, causal):
        """What one mixer makes of `x`."""
        shape = ops.shape(x)
        laid_out = self._has_groups(spec)
        if laid_out:
            x = ops.reshape(x, (-1, *self._mixed_shape(shape, spec)[1:]))
        # Channels have no order, so no future to be kept from.
        x = mixer(x) if -1 in spec["axes"] else mixer(x, causal=causal)
        return ops.reshape(x, shape) if laid_out else x

    @property
    def can_be_causal(self):
        return all(
            "causal" in spec["wiring"].split("+")
            or spec["kind"] not in ("dense", "mean")
            or -1 in spec["axes"]
            for spec in self.mixers
        )

    def stays_in_rows(self, rank):
        """Whether a row of the fastest of `rank` context axes is mixed as any other, and alone."""
        return all(
            (tuple(spec["axes"]) or tuple(range(1, rank + 1))) in ((rank,), (-1,))
            and spec["sharing"] != "separate"
            for spec in self.mixers
        )

    def operations(self, input_shape):
        """Multiply-adds for one example."""
        shape = tuple(input_shape)
        positions = product(shape[1:-1])
        total = 0
        if self.project:
            total += positions * shape[-1] * (self.dense_in.units + shape[-1])
        for mixers in self.sets:
            for mixer, spec in zip(mixers, self.mixers, strict=True):
                total += self.times * mixer.operations(self._mixed_shape(shape, spec))
        return total

    def values(self, input_shape):
        """Values written for one example."""
        size = product(input_shape[1:])
        per_pass = len(self.mixers) + (self.function is not None)
        around = (2 if self.gate == "none" else 4) * self.project
        return size * (ends(self) + around + per_pass * self.stack * self.times)

    def get_config(self):
        return {
            **super().get_config(),
            "mixers": [{**spec, "axes": list(spec["axes"])} for spec in self.mixers],
            "stack": self.stack,
            "times": self.times,
            "gate": self.gate,
            "activation": self.activation,
            "project": self.project,
        }
