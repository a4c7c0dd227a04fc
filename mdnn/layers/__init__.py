"""Layers for grids of several axes, on every Keras backend that mdnn runs on.

A layer is imported when its name is first used, so that the config tables of mixers, which stand
beside their layers, are read without Keras.
"""

import importlib

_MODULE_OF = {
    "AxisAttention": "mixing.axis_attention",
    "AxisConv": "mixing.conv",
    "AxisDense": "axis_dense",
    "AxisLocal": "mixing.local",
    "AxisMean": "mixing.mean",
    "FieldEmbedding": "field_embedding",
    "FieldHeads": "field_heads",
    "ModalityEmbedding": "modality_embedding",
    "ModalityHeads": "modality_heads",
    "MultidimDense": "multidim_dense",
    "RandomOffsetPadding": "random_offset_padding",
}

__all__ = [*_MODULE_OF]


def __getattr__(name):
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'mdnn.layers' has no attribute {name!r}")
    from mdnn.keras_settings import import_keras

    # Before a layer imports Keras itself: its settings are refused in one line.
    import_keras()
    return getattr(importlib.import_module(f"mdnn.layers.{_MODULE_OF[name]}"), name)


def __dir__():
    return sorted(__all__)
