"""The branches of a block: mixing along axes, feed-forward, a plain dense."""

import keras
from keras import initializers, layers, ops

from mdnn import activations
from mdnn.layers import AxisAttention, AxisConv, AxisLocal, MultidimDense


def make_norm(kind, name, dtype=None):
    """The normalization layer that a config's word names, or None."""
    if kind == "none":
        return None
    if kind == "rms":
        return layers.RMSNormalization(axis=-1, epsilon=1e-5, name=name, dtype=dtype)
    return layers.LayerNormalization(axis=-1, epsilon=1e-5, name=name, dtype=dtype)


def make_activation(word):
    """The function of an activation's name, or None for `"none"`."""
    return None if word == "none" else activations.get(word)


def check_width(function, word, width):
    """Refuses an activation that does not keep a width: `glu`, `sort2` of an odd one."""
    if function is not None and function(ops.zeros((1, width))).shape[-1] != width:
        raise ValueError(f"activation {word!r} does not keep a width of {width}")


def make_mixer(spec, rank, name, dtype=None):
    """The mixing layer of one mixer table.

    Args:
        spec: dict with the fields of `mdnn.models.config.Mixer`.
        rank: int, number of context axes; the input is `[batch, t1 .. t_rank, channels]`, or
            with channel groups `[batch, t1 .. t_rank, groups, channels / groups]`.
        name: str.
        dtype: dtype or dtype policy of the layer.
    """
    common = {"wiring": spec["wiring"], "name": name, "dtype": dtype}
    axes = tuple(spec["axes"]) or tuple(range(1, rank + 1))
    if spec["kind"] == "attention":
        return AxisAttention(axes[0], heads=spec["heads"], rotary=spec["rotary"], **common)
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
    start = initializers.RandomNormal(stddev=spec["start"]) if spec["start"] else None
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


class Branch(layers.Layer):
    """What all branches share: norm, residual, dropout.

    Args:
        norm: `"rms"`, `"layer"` or `"none"`.
        residual: `"pre"`: `h + f(norm(h))`; `"post"`: `norm(h + f(h))`; `"none"`: `f(norm(h))`.
        dropout: rate of dropout on f's output.
        bias: whether dense layers have a bias.
        scale: factor on the start value of f's last dense kernel.
    """

    def __init__(self, norm="rms", residual="pre", dropout=0.0, bias=False, scale=1.0, **kwargs):
        super().__init__(**kwargs)
        self.norm, self.residual, self.bias = norm, residual, bias
        self.rate, self.scale = dropout, scale
        self.norm_layer = make_norm(norm, "norm", self.dtype_policy)
        self.dropout = None
        if dropout:
            self.dropout = layers.Dropout(dropout, name="dropout", dtype=self.dtype_policy)

    def build(self, input_shape):
        if self.norm_layer is not None:
            self.norm_layer.build(input_shape)
        self.build_transform(tuple(input_shape))

    def make_dense(self, units, name, input_shape, scale=1.0):
        """A built dense on the channels, its start value scaled by `scale`."""
        start = initializers.VarianceScaling(scale**2, "fan_in", "truncated_normal")
        dense = layers.Dense(
            units,
            use_bias=self.bias,
            kernel_initializer=start,
            name=name,
            dtype=self.dtype_policy,
        )
        dense.build(input_shape)
        return dense

    def call(self, x, causal=None, training=None):
        pre = self.norm_layer is not None and self.residual != "post"
        y = self.transform(self.norm_layer(x) if pre else x, causal, training)
        if self.dropout is not None:
            y = self.dropout(y, training=training)
        if self.residual != "none":
            y = x + y
        if self.norm_layer is not None and not pre:
            y = self.norm_layer(y)
        return y

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "norm": self.norm,
            "residual": self.residual,
            "dropout": self.rate,
            "bias": self.bias,
            "scale": self.scale,
        }


@keras.saving.register_keras_serializable(package="mdnn")
class MixBranch(Branch):
    """Mixers side by side, their sum taken, between two dense layers over the channels.

    `f(h) = W_out(act(u) * M(W_in h))` with a gate, where `u` is a second dense of h and `M` is
    `stack` sets of mixers, each fed `times` times with its own output.

    Args:
        mixers: list of dicts with the fields of `mdnn.models.config.Mixer`.
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
        self, mixers, stack=1, times=1, gate="none", activation="none", project=True, **kwargs
    ):
        super().__init__(**kwargs)
        self.mixers = [{**spec, "axes": list(spec["axes"])} for spec in mixers]
        self.stack, self.times, self.project = stack, times, project
        self.gate, self.activation = gate, activation
        self.gate_function = make_activation(gate)
        self.function = make_activation(activation)

    def build_transform(self, shape):
        width, rank = shape[-1], len(shape) - 2
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
                mixer = make_mixer(spec, rank, f"mixer_{s}_{k}", self.dtype_policy)
                mixer.build(self._grouped(shape, spec))
                mixers.append(mixer)
            self.sets.append(mixers)

    def _grouped(self, shape, spec):
        if not self._has_groups(spec):
            return shape
        return (*shape[:-1], spec["groups"], shape[-1] // spec["groups"])

    def _has_groups(self, spec):
        return spec["kind"] == "dense" and spec["sharing"] == "groups" and spec["groups"] > 1

    def transform(self, x, causal, training):
        gate = None
        if self.project:
            x = self.dense_in(x)
            if self.gate != "none":
                gate, x = ops.split(x, 2, axis=-1)
        for s, mixers in enumerate(self.sets):
            for t in range(self.times):
                x = sum(
                    self._mix(mixer, spec, x, causal)
                    for mixer, spec in zip(mixers, self.mixers, strict=True)
                )
                last = s == self.stack - 1 and t == self.times - 1
                # A gate is the last step's nonlinearity already.
                if self.function is not None and not (last and gate is not None):
                    x = self.function(x)
        if gate is not None:
            x = self.gate_function(gate) * x
        return self.dense_out(x) if self.project else x

    def _mix(self, mixer, spec, x, causal):
        if -1 in spec["axes"]:
            # Channels have no order, so no future to be kept from.
            return mixer(x)
        if not self._has_groups(spec):
            return mixer(x, causal=causal)
        shape = ops.shape(x)
        grouped = ops.reshape(x, (*shape[:-1], spec["groups"], shape[-1] // spec["groups"]))
        return ops.reshape(mixer(grouped, causal=causal), shape)

    def operations(self, input_shape):
        """Multiply-adds for one example."""
        shape = tuple(input_shape)
        slots = _product(shape[1:-1])
        total = 0
        if self.project:
            total += slots * shape[-1] * (self.dense_in.units + shape[-1])
        for mixers in self.sets:
            for mixer, spec in zip(mixers, self.mixers, strict=True):
                total += self.times * mixer.operations(self._grouped(shape, spec))
        return total

    def values(self, input_shape):
        """Values written for one example."""
        size = _product(input_shape[1:])
        per_pass = len(self.mixers) + (self.function is not None)
        around = (2 if self.gate == "none" else 4) * self.project
        return size * (_ends(self) + around + per_pass * self.stack * self.times)

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


@keras.saving.register_keras_serializable(package="mdnn")
class FeedForwardBranch(Branch):
    """`W_out act(W_in h)`, or with a gate `W_out (gate(u) * v)` (SwiGLU, arXiv 2002.05202).

    Args:
        width: inner width.
        gate: activation of the gate, or `"none"`.
        activation: activation without a gate.

    Input shape:
        `[batch, ..., channels]`.

    Output shape:
        The same.
    """

    def __init__(self, width, gate="none", activation="none", **kwargs):
        super().__init__(**kwargs)
        self.width, self.gate, self.activation = width, gate, activation
        self.gate_function = make_activation(gate)
        self.function = make_activation(activation)

    def build_transform(self, shape):
        check_width(self.gate_function, self.gate, self.width)
        check_width(self.function, self.activation, self.width)
        twice = 2 if self.gate != "none" else 1
        self.dense_in = self.make_dense(self.width * twice, "dense_in", shape)
        inner = (*shape[:-1], self.width)
        self.dense_out = self.make_dense(shape[-1], "dense_out", inner, self.scale)

    def transform(self, x, causal, training):
        x = self.dense_in(x)
        if self.gate != "none":
            gate, x = ops.split(x, 2, axis=-1)
            x = self.gate_function(gate) * x
        elif self.function is not None:
            x = self.function(x)
        return self.dense_out(x)

    def operations(self, input_shape):
        """Multiply-adds for one example."""
        return _product(input_shape[1:]) * (self.dense_in.units + self.width)

    def values(self, input_shape):
        """Values written for one example."""
        size = _product(input_shape[1:])
        inner = size // input_shape[-1] * (self.dense_in.units + self.width)
        return size * (_ends(self) + 1) + inner

    def get_config(self):
        return {
            **super().get_config(),
            "width": self.width,
            "gate": self.gate,
            "activation": self.activation,
        }


@keras.saving.register_keras_serializable(package="mdnn")
class LinearBranch(Branch):
    """One dense over the channels, the paper's linear layer.

    Args:
        activation: activation after it.

    Input shape:
        `[batch, ..., channels]`.

    Output shape:
        The same.
    """

    def __init__(self, activation="none", **kwargs):
        super().__init__(**kwargs)
        self.activation = activation
        self.function = make_activation(activation)

    def build_transform(self, shape):
        check_width(self.function, self.activation, shape[-1])
        self.dense = self.make_dense(shape[-1], "dense", shape, self.scale)

    def transform(self, x, causal, training):
        x = self.dense(x)
        return x if self.function is None else self.function(x)

    def operations(self, input_shape):
        """Multiply-adds for one example."""
        return _product(input_shape[1:]) * input_shape[-1]

    def values(self, input_shape):
        """Values written for one example."""
        return _product(input_shape[1:]) * (_ends(self) + 1 + (self.function is not None))

    def get_config(self):
        return {**super().get_config(), "activation": self.activation}


def _ends(branch):
    """How many values a branch's norm, dropout and sum write for each of its input."""
    parts = (branch.norm_layer is not None, branch.dropout is not None, branch.residual != "none")
    return sum(parts)


def _product(sizes):
    total = 1
    for size in sizes:
        total *= size
    return total
