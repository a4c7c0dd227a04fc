"""Activation functions compared in the paper, and partial activation.

`relu`, `leaky_relu`, `elu` and `hard_tanh` are Keras' functions, so that networks that use them
load without mdnn. `absolute`, `melu`, `sort2` and `Partial` are registered as `mdnn>absolute` etc.
"""

# ruff: noqa: E402
import math
import re
import types

from mdnn.errors import did_you_mean
from mdnn.keras_settings import import_keras

keras = import_keras()

from keras import ops
from keras.activations import elu, hard_tanh, leaky_relu, relu

__all__ = [
    "Partial",
    "absolute",
    "elu",
    "get",
    "hard_tanh",
    "leaky_relu",
    "melu",
    "names",
    "relu",
    "serialize",
    "sort2",
]

PACKAGE = "mdnn"


@keras.saving.register_keras_serializable(package=PACKAGE)
def absolute(x):
    """Computes `|x|` elementwise.

    Args:
        x: tensor of any shape.

    Returns:
        Tensor of the shape and dtype of `x`.
    """
    return ops.absolute(x)


@keras.saving.register_keras_serializable(package=PACKAGE)
def melu(x):
    """Computes `x · exp(min(x, 0))` elementwise.

    From the paper "Multidimensional neural networks": the identity for positive values; for
    negative ones a smooth minimum of `-1/e` at `x = -1` that decays to 0. Value and slope are
    continuous at 0.

    Args:
        x: float tensor of any shape.

    Returns:
        Tensor of the shape and dtype of `x`.
    """
    x = ops.convert_to_tensor(x)
    return x * ops.exp(ops.minimum(x, 0))


@keras.saving.register_keras_serializable(package=PACKAGE)
def sort2(x):
    """Sorts neighboring pairs along the last axis: `(a, b)` becomes `(min, max)`.

    Every output is one of the inputs, so this nonlinearity preserves the norm of gradients. It is
    GroupSort with groups of two (Anil et al., "Sorting out Lipschitz function approximation",
    arXiv 1811.05381).

    Args:
        x: tensor `[..., n]` with `n` even and known.

    Returns:
        Tensor of the shape and dtype of `x`.

    Raises:
        ValueError: `n` is odd or unknown. (`Partial(sort2, 1.0)` passes an odd last value on.)
    """
    x = ops.convert_to_tensor(x)
    size = _last_size(x, "sort2")
    if size % 2:
        raise ValueError(
            f"Expected an even last axis for `sort2`. Received: shape={tuple(x.shape)}"
        )
    shape = ops.shape(x)
    pairs = ops.reshape(x, (*shape[:-1], size // 2, 2))
    first, second = pairs[..., 0], pairs[..., 1]
    ordered = ops.stack([ops.minimum(first, second), ops.maximum(first, second)], axis=-1)
    return ops.reshape(ordered, shape)


@keras.saving.register_keras_serializable(package=PACKAGE)
class Partial:
    """Applies an activation to the first values of the last axis and passes the others unchanged.

    From the paper "Multidimensional neural networks": "the network needs linear and non-linear
    information to be passed from layer to layer".

    The first `fraction · n` of `n` values are activated, rounded to the nearest integer (halves
    up), for `sort2` to the nearest even integer.

    Args:
        activation: Any value that `get` accepts.
        fraction: float in `[0, 1]`, the activated share of the last axis.

    Raises:
        ValueError: `fraction` is outside `[0, 1]`, or the activation is unknown.

    Example:

    >>> keras.layers.Dense(64, activation=Partial("melu", 0.75))
    """

    def __init__(self, activation, fraction=0.75):
        if isinstance(fraction, bool) or not isinstance(fraction, (int, float)):
            raise ValueError(f"Expected `fraction` to be a number. Received: {fraction!r}")
        if not 0 <= fraction <= 1:
            raise ValueError(f"Expected `fraction` in 0 .. 1. Received: {fraction}")
        self.activation = get(activation)
        self.fraction = float(fraction)

    def activated(self, size):
        """Returns the number of activated values out of `size`, an int."""
        multiple = 2 if self.activation is sort2 else 1
        nearest = math.floor(self.fraction * size / multiple + 0.5) * multiple
        return min(nearest, size - size % multiple)

    def __call__(self, x):
        """Activates a tensor `[..., n]` with `n` known; returns the same shape and dtype."""
        x = ops.convert_to_tensor(x)
        size = _last_size(x, "Partial")
        count = self.activated(size)
        if count == 0:
            return x
        if count == size:
            return self.activation(x)
        return ops.concatenate([self.activation(x[..., :count]), x[..., count:]], axis=-1)

    def get_config(self):
        return {"activation": serialize(self.activation), "fraction": self.fraction}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __eq__(self, other):
        if not isinstance(other, Partial):
            return NotImplemented
        return (self.activation, self.fraction) == (other.activation, other.fraction)

    def __hash__(self):
        return hash((self.activation, self.fraction))

    def __repr__(self):
        name = getattr(self.activation, "__name__", repr(self.activation))
        return f"partial({name}, {self.fraction:g})"


_BY_NAME = {
    "abs": absolute,
    "absolute": absolute,
    "elu": elu,
    "hard_tanh": hard_tanh,
    "leaky_relu": leaky_relu,
    "melu": melu,
    "relu": relu,
    "sort2": sort2,
}

# "partial(melu, 0.75)", "partial(melu)"
_PARTIAL = re.compile(r"partial\(\s*([^\s,()]+)\s*(?:,\s*([^\s,()]+)\s*)?\)")


def get(identifier):
    """Looks up an activation by its name or config.

    Args:
        identifier: One of
            - a name of this module (`"melu"`, or `"mdnn>melu"`; `"abs"` is `absolute`);
            - the name of any Keras activation (`"silu"`, `"gelu"`);
            - `"partial(melu, 0.75)"` for `Partial("melu", 0.75)`; the fraction is optional;
            - a dict from `keras.saving.serialize_keras_object`;
            - a callable, returned unchanged;
            - `None` for the linear activation.

    Returns:
        A callable from a tensor to a tensor of the same shape.

    Raises:
        ValueError: the activation is unknown; the message suggests the closest name.
    """
    if identifier is None:
        return keras.activations.linear
    if isinstance(identifier, str):
        return _by_name(identifier.strip())
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if not callable(identifier):
        raise ValueError(
            "Expected an activation to be a name, a callable, a serialized activation or None. "
            f"Received: {identifier!r}"
        )
    return identifier


def serialize(activation):
    """Converts an activation to the simplest config that `get` accepts.

    Args:
        activation: a callable, or any other value that `get` accepts.

    Returns:
        The activation's name, if it has one (`"melu"`, `"silu"`, `"partial(melu, 0.75)"`), else
        the dict from `keras.saving.serialize_keras_object`.
    """
    activation = get(activation)
    if isinstance(activation, Partial):
        inner = serialize(activation.activation)
        if isinstance(inner, str) and "(" not in inner:
            # repr of a float is exact, so the round trip gives an equal activation.
            return f"partial({inner}, {activation.fraction!r})"
        return keras.saving.serialize_keras_object(activation)
    name = getattr(activation, "__name__", None)
    # Use the name only if it resolves to this function: an unregistered one may share a name.
    if isinstance(activation, types.FunctionType) and activation in (
        _BY_NAME.get(name),
        getattr(keras.activations, name, None),
    ):
        return name
    return keras.saving.serialize_keras_object(activation)


def names():
    """Returns the sorted names that `get` accepts, from this module and from Keras."""
    not_activations = {"get", "serialize", "deserialize"}
    keras_names = {
        name
        for name, value in vars(keras.activations).items()
        if callable(value) and not name.startswith("_") and name not in not_activations
    }
    return sorted(keras_names | set(_BY_NAME))


def _by_name(name):
    match = _PARTIAL.fullmatch(name)
    if match:
        activation, fraction = match.groups()
        try:
            fraction = 0.75 if fraction is None else float(fraction)
        except ValueError:
            raise ValueError(
                f"Expected a number as the fraction of {name!r}. Received: {fraction}"
            ) from None
        return Partial(activation, fraction)
    plain = name.removeprefix(f"{PACKAGE}>")
    if plain in _BY_NAME:
        return _BY_NAME[plain]
    try:
        return keras.activations.get(name)
    except ValueError:
        pass
    form = {"partial": "partial(melu, 0.75)"}
    hint = did_you_mean(plain.lower(), [*names(), "partial"], 0, form)
    raise ValueError(f"Unknown activation {name!r}{hint}")


def _last_size(x, name):
    """Returns the size of the last axis, an int; refuses an unknown size on behalf of `name`."""
    if not x.shape or x.shape[-1] is None:
        raise ValueError(
            f"Expected a last axis of known size for `{name}`. Received: shape={tuple(x.shape)}"
        )
    return x.shape[-1]
