"""Registry of the functions that grow the layers of mixers."""

from mdnn.errors import MdnnError
from mdnn.growth.attention_kernels import grow_attention
from mdnn.growth.axis_kernels import grow_multidim
from mdnn.growth.keyed_kernels import grow_keyed
from mdnn.growth.origins import same
from mdnn.growth.tap_kernels import grow_conv, grow_local
from mdnn.layers.mixing.axis_attention import AxisAttention
from mdnn.layers.mixing.conv import AxisConv
from mdnn.layers.mixing.keyed_sum import KeyedSum
from mdnn.layers.mixing.local import AxisLocal
from mdnn.layers.mixing.mean import AxisMean
from mdnn.layers.multidim_dense import MultidimDense


def grow_mean(old, new, around):
    """Returns no origins: a mean has no weights. Refuses a longer axis, which changes the mean.

    Args:
        old, new: the mixer's built layers.
        around: `mdnn.growth.axis_kernels.Surroundings`.

    Raises:
        MdnnError: an axis of the mean has grown.
    """
    axes = [around.grid.name(axis, False) for axis in new.axes]
    changed = [name for name in axes if name in around.grid.changed]
    if changed and around.exact:
        raise MdnnError(
            f"{around.where}: the mean along {changed[0]!r} takes in its new positions; the old "
            "scores would change"
        )
    return {}


GROWERS = {
    MultidimDense: grow_multidim,
    AxisConv: grow_conv,
    AxisLocal: grow_local,
    AxisAttention: grow_attention,
    AxisMean: grow_mean,
    KeyedSum: grow_keyed,
}
"""Dict from the class of a mixer's layer to the function that grows it: `(old layer, new layer,
Surroundings)` to a dict from the ids of the new variables to `Origin`s."""


def register_growth(layer, grow):
    """Registers the function that grows a mixer's layer.

    Args:
        layer: the layer's class.
        grow: function as in `GROWERS`.
    """
    GROWERS[layer] = grow


def grow_mixer(old, new, around):
    """Returns the origins of the weights of a mixer's layer.

    A layer of an unregistered class stays as it is, if nothing around it changes.

    Args:
        old, new: the mixer's built layers.
        around: `mdnn.growth.axis_kernels.Surroundings`.

    Returns:
        Dict from the ids of the new variables to `Origin`s.

    Raises:
        MdnnError: another kind of mixer than before, or the layer cannot grow this way.
    """
    if type(old) is not type(new):
        raise MdnnError(
            f"{around.where}.kind: growing keeps a {type(old).__name__}, received a "
            f"{type(new).__name__}"
        )
    if type(new) in GROWERS:
        return GROWERS[type(new)](old, new, around)
    shapes = [[tuple(w.shape) for w in layer.weights] for layer in (old, new)]
    if around.grid.changed or shapes[0] != shapes[1]:
        raise MdnnError(
            f"{around.where}.kind: no growth rule for a {type(new).__name__}; expected the "
            "same grid and width"
        )
    return {id(b): same(a, b) for a, b in zip(old.weights, new.weights, strict=True)}
