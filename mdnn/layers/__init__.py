from mdnn.layers.axis_dense import AxisDense as AxisDense
from mdnn.layers.multidim_dense import MultidimDense as MultidimDense
from mdnn.layers.modality_embedding import ModalityEmbedding as ModalityEmbedding
from mdnn.layers.modality_heads import ModalityHeads as ModalityHeads
