"""Rules for weights that are about to be made: how many there may be, and what they start from.

A rule holds for what one thread (or task) builds inside `applied`, without a change of anything
global: layers that derive from `RuledLayer` ask it before each of their weights.
"""

import contextlib
import contextvars
import hashlib

import keras

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
        return type(initializer).from_config({**config, "seed": derived_seed(seed, path)})

    return rule


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
