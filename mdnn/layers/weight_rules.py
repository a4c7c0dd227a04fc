"""Rules that limit the number of weights and choose their initializers while layers are built.

Rules are context variables: they apply to the current thread or async task inside `applied` and
change no global state. Subclasses of `RuledLayer` apply them before adding each weight.
"""

import contextlib
import contextvars
import hashlib

import keras

_RULES = contextvars.ContextVar("mdnn_weight_rules", default=())


@contextlib.contextmanager
def applied(rule):
    """Applies a rule to weights created inside this context, after the rules of outer contexts.

    Args:
        rule: Function `(path, shape, initializer)` that returns the initializer to use, or raises.
            It is called before the weight is allocated.
    """
    token = _RULES.set((*_RULES.get(), rule))
    try:
        yield
    finally:
        _RULES.reset(token)


def seeded(seed):
    """Builds a rule that seeds initializers without a seed.

    The seed is derived from `seed` and the weight's path, so a weight's initial values do not
    depend on the other weights of the network.

    Args:
        seed: Integer.
    """

    def rule(path, shape, initializer):
        if not isinstance(initializer, keras.initializers.Initializer):
            return initializer
        config = initializer.get_config()
        if config.get("seed", seed) is not None:
            return initializer
        return type(initializer).from_config({**config, "seed": derived_seed(seed, path)})

    return rule


def derived_seed(seed, path):
    """Derives the seed of one weight or generator of a network.

    Args:
        seed: Integer, the network's seed.
        path: String, the path of the weight or generator.

    Returns:
        An int from 0 to `2**31 - 1`.
    """
    digest = hashlib.blake2b(f"{seed}/{path}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1


class RuledLayer(keras.layers.Layer):
    """Base of layers whose weights follow the rules of `applied`."""

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
