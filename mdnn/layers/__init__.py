from mdnn.layers.axis_attention import AxisAttention as AxisAttention
from mdnn.layers.axis_conv import AxisConv as AxisConv
from mdnn.layers.axis_dense import AxisDense as AxisDense
from mdnn.layers.axis_local import AxisLocal as AxisLocal
from mdnn.layers.modality_embedding import ModalityEmbedding as ModalityEmbedding
from mdnn.layers.modality_heads import ModalityHeads as ModalityHeads
from mdnn.layers.multidim_dense import MultidimDense as MultidimDense
from mdnn.layers.random_offset_padding import RandomOffsetPadding as RandomOffsetPadding
