"""Activations: the paper's candidates, and partial activation.

`relu`, `leaky_relu`, `elu` and `hard_tanh` are Keras' own functions, so that a network of theirs
can be read without mdnn; `absolute`, `melu`, `sort2` and `Partial` are registered as
`mdnn>absolute` and so on.
"""

# ruff: noqa: E402
import difflib
import math
import re
import types

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
    """`|x|`, element by element.

    Args:
        x: Tensor of any shape.

    Returns:
        Tensor of the shape and dtype of `x`.
    """
    return ops.absolute(x)


@keras.saving.register_keras_serializable(package=PACKAGE)
def melu(x):
    """`x · exp(min(x, 0))`, element by element.

    From the paper "Multidimensional neural networks": the identity for positive values, and a
    smooth dip to `-1/e` at `x = -1` that fades to 0 for negative ones. Value and slope are
    continuous at 0.

    Args:
        x: Float tensor of any shape.

    Returns:
        Tensor of the shape and dtype of `x`.
    """
    x = ops.convert_to_tensor(x)
    return x * ops.exp(ops.minimum(x, 0))


@keras.saving.register_keras_serializable(package=PACKAGE)
def sort2(x):
    """Sorts neighbouring pairs along the last axis: `(a, b)` becomes `(min, max)`.

    Nonlinear, and yet every output is one of the inputs, so gradients keep their size: the
    GroupSort of Anil et al., "Sorting out Lipschitz function approximation" (arXiv 1811.05381),
    with groups of two.

    Args:
        x: Tensor `[..., n]` with `n` even and known.

    Returns:
        Tensor of the shape and dtype of `x`.

    Raises:
        ValueError: If `n` is odd or unknown. (`Partial(sort2, 1.0)` leaves the odd one as it is.)
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
    """An activation on the first part of the last axis; the rest stays linear.

    From the paper "Multidimensional neural networks": "the network needs linear and non-linear
    information to be passed from layer to layer".

    Of `n` nodes the first `fraction · n` are activated, rounded to the nearest whole number
    (halves up), and for `sort2` to the nearest even one.

    Args:
        activation: The activation: anything that `get` takes.
        fraction: Float in `[0, 1]`, the activated share of the last axis.

    Raises:
        ValueError: If `fraction` is outside `[0, 1]`, or the activation unknown.

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
        """How many of `size` nodes (an int) are activated: an int."""
        multiple = 2 if self.activation is sort2 else 1
        nearest = math.floor(self.fraction * size / multiple + 0.5) * multiple
        return min(nearest, size - size % multiple)

    def __call__(self, x):
        """Activates `x`, a tensor `[..., n]` with `n` known; same shape and dtype out."""
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


_OWN = {
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
    """Finds an activation by its name or config.

    Args:
        identifier: One of
            - a name of this module (`"melu"`, or `"mdnn>melu"`; `"abs"` is `absolute`);
            - the name of any Keras activation (`"silu"`, `"gelu"`);
            - `"partial(melu, 0.75)"` for `Partial("melu", 0.75)`; the fraction may be left out;
            - the dict that `keras.saving.serialize_keras_object` gives for an activation;
            - a callable, handed back as it is;
            - `None` for the linear activation.

    Returns:
        A callable from a tensor to a tensor of the same shape.

    Raises:
        ValueError: If there is no such activation; the error names the nearest one.
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
    """The plainest config of an activation; `get` turns it back into the activation.

    Args:
        activation: A callable, or anything else that `get` takes.

    Returns:
        A name where the activation has one (`"melu"`, `"silu"`, `"partial(melu, 0.75)"`), else
        the dict of `keras.saving.serialize_keras_object`.
    """
    activation = get(activation)
    if isinstance(activation, Partial):
        inner = serialize(activation.activation)
        if isinstance(inner, str) and "(" not in inner:
            # repr of a float is exact: the activation is equal after the round trip.
            return f"partial({inner}, {activation.fraction!r})"
        return keras.saving.serialize_keras_object(activation)
    name = getattr(activation, "__name__", None)
    # An unregistered function may bear the name of another one: trust a name that leads back.
    if isinstance(activation, types.FunctionType) and activation in (
        _OWN.get(name),
        getattr(keras.activations, name, None),
    ):
        return name
    return keras.saving.serialize_keras_object(activation)


def names():
    """The names that `get` knows, sorted: this module's and Keras' own."""
    not_activations = {"get", "serialize", "deserialize"}
    keras_names = {
        name
        for name, value in vars(keras.activations).items()
        if callable(value) and not name.startswith("_") and name not in not_activations
    }
    return sorted(keras_names | set(_OWN))


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
    if plain in _OWN:
        return _OWN[plain]
    try:
        return keras.activations.get(name)
    except ValueError:
        pass
    nearest = difflib.get_close_matches(plain.lower(), [*names(), "partial"], n=1, cutoff=0)[0]
    if nearest == "partial":
        nearest = "partial(melu, 0.75)"
    raise ValueError(f"Unknown activation {name!r}: the nearest one is {nearest!r}")


def _last_size(x, name):
    """The size of the last axis, which `name` needs to know: an int."""
    if not x.shape or x.shape[-1] is None:
        raise ValueError(
            f"Expected a last axis of known size for `{name}`. Received: shape={tuple(x.shape)}"
        )
    return x.shape[-1]
