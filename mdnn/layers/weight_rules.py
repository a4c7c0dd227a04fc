"""Rules that limit the number of weights and choose their initializers while layers are built.

Rules are context variables: they apply to the current thread or async task inside `applied` and
change no global state. Subclasses of `RuledLayer` apply them before adding each weight.
"""

import contextlib
import contextvars
import hashlib
import math

import keras
import numpy as np

_RULES = contextvars.ContextVar("mdnn_weight_rules", default=())
_OBSERVED = contextvars.ContextVar("mdnn_observed_weights", default=None)


@contextlib.contextmanager
def applied(rule):
    """Applies a rule to weights created inside this context, after the rules of outer contexts.

    Args:
        rule: function `(path, shape, initializer)` that returns the initializer to use, or raises.
            It is called before the weight is allocated.
    """
    token = _RULES.set((*_RULES.get(), rule))
    try:
        yield
    finally:
        _RULES.reset(token)


def rules_apply():
    """Returns whether the current thread or task is inside `applied`."""
    return bool(_RULES.get())


def get_initializer(identifier, **arguments):
    """Returns a Keras initializer, like `keras.initializers.get`.

    Keras draws a seed from Python's global generator for every initializer without one. Inside
    `applied`, where a rule chooses the seed (see `seeded`), nothing is drawn: the generator belongs
    to the calling program, whose other threads may use it meanwhile.

    Args:
        identifier: str, the name of an initializer; or what `keras.initializers.get` accepts.
        **arguments: Arguments of the initializer; only with a name.

    Returns:
        An initializer, or `None` for `None`. Inside `applied` its seed is `None`: it can be
        configured, not called.
    """
    if not isinstance(identifier, str):
        return keras.initializers.get(identifier)
    config = {"class_name": identifier, "config": arguments}
    if not rules_apply() or "seed" in arguments:
        return keras.initializers.get(config)
    try:
        made = keras.initializers.get({**config, "config": {**arguments, "seed": 0}})
    except TypeError:
        # Initializers without random numbers take no seed.
        return keras.initializers.get(config)
    made._init_seed = made.seed = None
    return made


def seeded(seed):
    """Builds a rule that seeds initializers without a seed.

    The seed is derived from `seed` and the weight's path, so a weight's initial values do not
    depend on the other weights of the network.

    Args:
        seed: int.
    """

    def rule(path, shape, initializer):
        if not isinstance(initializer, keras.initializers.Initializer):
            return initializer
        config = initializer.get_config()
        if config.get("seed", seed) is not None:
            return initializer
        weight_seed = derived_seed(seed, path)
        if NumpyDraw.knows(initializer):
            return NumpyDraw(initializer, weight_seed)
        return type(initializer).from_config({**config, "seed": weight_seed})

    return rule


class NumpyDraw(keras.initializers.Initializer):
    """Draws the values of a Keras initializer with numpy, equal on every backend.

    Args:
        initializer: Keras initializer that `knows` accepts.
        seed: int.
    """

    # Standard deviation of a normal distribution truncated at two standard deviations.
    TRUNCATED = 0.87962566103423978

    def __init__(self, initializer, seed):
        self.initializer, self.seed = initializer, seed

    @staticmethod
    def knows(initializer):
        """Returns whether this class supports an initializer."""
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
    """Derives the seed of one weight or generator of a network.

    Args:
        seed: int, the network's seed.
        path: str, the path of the weight or generator.

    Returns:
        An int from 0 to `2**31 - 1`.
    """
    digest = hashlib.blake2b(f"{seed}/{path}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1


@contextlib.contextmanager
def each_weight(rule, made):
    """Applies a rule after all others to new weights, and calls a function with each weight.

    Args:
        rule: see `applied`.
        made: function of a new `keras.Variable`.
    """
    token = _OBSERVED.set((rule, made))
    try:
        yield
    finally:
        _OBSERVED.reset(token)


class RuledLayer(keras.layers.Layer):
    """Base of layers whose weights follow the rules of `applied`."""

    def add_weight(self, shape=None, initializer=None, *args, **kwargs):
        shape = () if shape is None else shape
        for rule in _RULES.get():
            name = kwargs.get("name") or "weight"
            if initializer is not None:
                initializer = get_initializer(initializer)
            initializer = rule(f"{self.path}/{name}", shape, initializer)
        observed = _OBSERVED.get()
        if observed is None:
            return super().add_weight(shape, initializer, *args, **kwargs)
        rule, made = observed
        initializer = rule(f"{self.path}/{kwargs.get('name') or 'weight'}", shape, initializer)
        variable = super().add_weight(shape, initializer, *args, **kwargs)
        made(variable)
        return variable


@keras.saving.register_keras_serializable(package="mdnn")
class RuledDense(RuledLayer, keras.layers.Dense):
    """Builds `keras.layers.Dense` with weights that follow the rules of `applied`.

    A kernel that is held as codes (`mdnn.runs.packed_variable`) multiplies from them.
    """

    def call(self, inputs, training=None):
        product = getattr(self._kernel, "product", None)
        y = None if product is None else product(inputs)
        if y is None:
            return super().call(inputs, training=training)
        if self.bias is not None:
            y = y + self.bias
        return y if self.activation is None else self.activation(y)


@keras.saving.register_keras_serializable(package="mdnn")
class RuledLayerNormalization(RuledLayer, keras.layers.LayerNormalization):
    """Builds `keras.layers.LayerNormalization` with weights that follow the rules of `applied`."""
