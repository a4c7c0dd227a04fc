from mdnn.layers.axis_dense import AxisDense as AxisDense
from mdnn.layers.multidim_dense import MultidimDense as MultidimDense
