"""Layers for grids of several axes, on every Keras backend that mdnn runs on."""

# ruff: noqa: E402
from mdnn.keras_settings import import_keras

# Before the layers import Keras themselves: its settings are refused in one line.
import_keras()

from mdnn.layers.axis_dense import AxisDense as AxisDense
from mdnn.layers.field_embedding import FieldEmbedding as FieldEmbedding
from mdnn.layers.field_heads import FieldHeads as FieldHeads
from mdnn.layers.mixing.axis_attention import AxisAttention as AxisAttention
from mdnn.layers.mixing.conv import AxisConv as AxisConv
from mdnn.layers.mixing.local import AxisLocal as AxisLocal
from mdnn.layers.mixing.mean import AxisMean as AxisMean
from mdnn.layers.modality_embedding import ModalityEmbedding as ModalityEmbedding
from mdnn.layers.modality_heads import ModalityHeads as ModalityHeads
from mdnn.layers.multidim_dense import MultidimDense as MultidimDense
from mdnn.layers.random_offset_padding import RandomOffsetPadding as RandomOffsetPadding
