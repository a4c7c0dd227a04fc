"""A way to mix an axis that is not mdnn's: one file, found by its registration."""

import dataclasses
import math
from typing import ClassVar

import keras
from keras import ops

from mdnn.layers.mixing import Mixer, register_mixer
from mdnn.layers.mixing.linear_mix_cache import LinearLayerCache
from mdnn.option_field import option


@keras.saving.register_keras_serializable(package="tests")
class FadingSum(keras.layers.Layer):
    """`y_j = sum_i decay^|j - i| x_i` along an axis, each channel with a decay of its own."""

    def __init__(self, axis, start=0.5, causal=True, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.start, self.causal = axis, start, causal

    def build(self, input_shape):
        start = keras.initializers.Constant(self.start)
        self.decay = self.add_weight(name="decay", shape=input_shape[-1:], initializer=start)
        self.built = True

    def call(self, x, causal=None):
        place = ops.arange(ops.shape(x)[self.axis])
        distance = place[None, :] - place[:, None]
        kernel = self.decay ** ops.cast(ops.abs(distance), x.dtype)[..., None]
        if self.causal if causal is None else causal:
            kernel = ops.where((distance >= 0)[..., None], kernel, 0)
        y = ops.einsum("...ic,ijc->...jc", ops.moveaxis(x, self.axis, -2), kernel)
        return ops.moveaxis(y, -2, self.axis)

    def operations(self, input_shape):
        return math.prod(input_shape[1:]) * input_shape[self.axis]

    def get_config(self):
        config = {"axis": self.axis, "start": self.start, "causal": self.causal}
        return {**super().get_config(), **config}


@register_mixer
@dataclasses.dataclass(frozen=True)
class FadingMixer(Mixer):
    kind: str = "fading"
    decay: float = option(0.5, least=0.0, most=1.0)
    causal: bool = True

    example: ClassVar[dict] = {"decay": 0.7}
    size_free = True
    can_be_causal = True

    @property
    def is_causal(self):
        return self.causal

    def make_layer(self, rank, name, dtype=None):
        (axis,) = self.context_axes(rank)
        return FadingSum(axis, self.decay, self.causal, name=name, dtype=dtype)

    def make_caches(self, layer, grid, width, columns=True):
        axis = layer.axis
        return [LinearLayerCache(layer, axis, width, False, grid, width, columns)]
