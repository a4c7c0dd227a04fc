"""Rules for weights that are about to be made: how many there may be, and what they start from.

A rule holds for what one thread (or task) builds inside `applied`, without a change of anything
global: layers that derive from `RuledLayer` ask it before each of their weights.
"""

import contextlib
import contextvars
import hashlib
import math

import keras
import numpy as np

_RULES = contextvars.ContextVar("mdnn_weight_rules", default=())


@contextlib.contextmanager
def applied(rule):
    """Applies a rule to the weights that are made inside this context, beside those around it.

    Args:
        rule: function `(path, shape, initializer)` to the initializer to take; it may raise. It
            is called before the weight takes memory.
    """
    token = _RULES.set((*_RULES.get(), rule))
    try:
        yield
    finally:
        _RULES.reset(token)


def seeded(seed):
    """Returns a rule that gives initializers without a seed one of their own.

    It is derived from `seed` and the weight's path: a weight starts from the same numbers whatever
    else there is in the network.

    Args:
        seed: int.
    """

    def rule(path, shape, initializer):
        if not isinstance(initializer, keras.initializers.Initializer):
            return initializer
        config = initializer.get_config()
        if config.get("seed", seed) is not None:
            return initializer
        own = derived_seed(seed, path)
        if NumpyDraw.knows(initializer):
            return NumpyDraw(initializer, own)
        return type(initializer).from_config({**config, "seed": own})

    return rule


class NumpyDraw(keras.initializers.Initializer):
    """Draws what one of Keras' initializers does, by numpy: the same numbers on every backend.

    Args:
        initializer: one that `knows` is true for.
        seed: int.
    """

    # Of a normal distribution that is cut off at two standard deviations.
    TRUNCATED = 0.87962566103423978

    def __init__(self, initializer, seed):
        self.initializer, self.seed = initializer, seed

    @staticmethod
    def knows(initializer):
        """Returns whether the values of an initializer can be drawn here."""
        if type(initializer) is keras.initializers.RandomNormal:
            return True
        config = initializer.get_config()
        plain = config.get("input_axes") is None and config.get("output_axes") is None
        return plain and isinstance(initializer, keras.initializers.VarianceScaling)

    def __call__(self, shape, dtype=None):
        rng, drawn, shape = np.random.default_rng(self.seed), self.initializer, tuple(shape)
        if isinstance(drawn, keras.initializers.RandomNormal):
            values = drawn.mean + drawn.stddev * rng.standard_normal(shape, "float32")
        else:
            values = self._scaled(rng, shape)
        return keras.ops.convert_to_tensor(values.astype("float32"), dtype=dtype)

    def _scaled(self, rng, shape):
        """Values of a `VarianceScaling`."""
        drawn = self.initializer
        field = math.prod(shape[:-2])
        fan_in = field * (shape[-2] if len(shape) > 1 else math.prod(shape))
        fan_out = field * (shape[-1] if shape else 1)
        fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
        variance = drawn.scale / max(1.0, fans[drawn.mode])
        if drawn.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return limit * (2 * rng.random(shape, "float32") - 1)
        if drawn.distribution == "untruncated_normal":
            return math.sqrt(variance) * rng.standard_normal(shape, "float32")
        values = rng.standard_normal(shape, "float32")
        while (beyond := np.abs(values) > 2).any():
            values[beyond] = rng.standard_normal(beyond.sum())
        return math.sqrt(variance) / self.TRUNCATED * values


def derived_seed(seed, path):
    """Returns the seed of one weight or generator of a network, an int below 2**31.

    Args:
        seed: int, the network's.
        path: string, the path of the weight or generator.
    """
    digest = hashlib.blake2b(f"{seed}/{path}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1


class RuledLayer(keras.layers.Layer):
    """A `keras.layers.Layer` whose weights obey the rules that are applied where it is built."""

    def add_weight(self, shape=None, initializer=None, *args, **kwargs):
        shape = () if shape is None else shape
        for rule in _RULES.get():
            name = kwargs.get("name") or "weight"
            if initializer is not None:
                initializer = keras.initializers.get(initializer)
            initializer = rule(f"{self.path}/{name}", shape, initializer)
        return super().add_weight(shape, initializer, *args, **kwargs)


@keras.saving.register_keras_serializable(package="mdnn")
class RuledDense(RuledLayer, keras.layers.Dense):
    """`keras.layers.Dense` as a `RuledLayer`."""


@keras.saving.register_keras_serializable(package="mdnn")
class RuledLayerNormalization(RuledLayer, keras.layers.LayerNormalization):
    """`keras.layers.LayerNormalization` as a `RuledLayer`."""
