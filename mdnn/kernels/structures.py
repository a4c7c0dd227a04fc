"""Mirrors the structures of source/plan.h for ctypes. Change both together."""

import ctypes
from ctypes import c_float, c_int32, c_int64, c_void_p

PANEL, BUNDLE = 16, 4
"""Outputs of a panel of a matrix, and panels of a bundle."""

FLOAT32, FLOAT16, INT8, INT4, ROWS = range(5)
"""Storage of a matrix."""

SCALES_NONE, SCALES_BY_INPUT, SCALES_BY_OUTPUT = range(3)

(
    OP_EMBED,
    OP_NORM,
    OP_DENSE,
    OP_ACTIVATE,
    OP_GATE,
    OP_COPY,
    OP_COMBINE,
    OP_FILL,
    OP_MIX,
    OP_POSITIONS,
    OP_ATTEND,
    OP_TOWARDS,
) = range(12)

ACTIVATIONS = (
    "none",
    "silu",
    "sigmoid",
    "relu",
    "gelu",
    "tanh",
    "absolute",
    "melu",
    "leaky_relu",
    "elu",
    "hard_tanh",
    "sort2",
)
"""Names of the activations that the library has, by their numbers."""

MOST_BLOCKS = 8

TOKEN_BYTES = 4
"""Integers of a token that the library takes: modality and bytes."""


def _fields(text):
    """Returns the fields of a structure from lines such as `int32 kind n`."""
    types = {"int32": c_int32, "int64": c_int64, "float": c_float, "pointer": c_void_p}
    lines = (line.split() for line in text.strip().splitlines())
    return [(name, types[kind]) for kind, *names in lines for name in names]


class CMatrix(ctypes.Structure):
    """`mdnn_matrix`."""

    _fields_ = _fields(
        """
        int32 kind n_in n_out scaling group wide
        float offset
        int32 rounded
        pointer codes scales minima
        """
    )


class COperation(ctypes.Structure):
    """`mdnn_op`."""

    _fields_ = _fields(
        """
        int32 kind n dst dst_offset src src_offset other other_offset
        int32 activation count flag cache
        float alpha beta
        pointer extra vector
        """
    )


class CMix(ctypes.Structure):
    """`mdnn_mix`."""

    _fields_ = [
        *_fields(
            """
            int32 groups residual row_kind row_kernels taps
            pointer row
            int32 diagonal_columns blocks
            pointer diagonal
            """
        ),
        ("inside_kernels", c_int32 * MOST_BLOCKS),
        ("between_columns", c_int32 * MOST_BLOCKS),
        ("inside", c_void_p * MOST_BLOCKS),
        ("between", c_void_p * MOST_BLOCKS),
    ]


class CAttention(ctypes.Structure):
    """`mdnn_attention`."""

    _fields_ = _fields(
        """
        int32 heads key_heads per_head rotary size stride
        float scale
        int32 reserved
        pointer cosines sines
        """
    )


class CEmbedding(ctypes.Structure):
    """`mdnn_embedding`."""

    _fields_ = [
        *_fields("int32 modality tables joined reserved"),
        ("table", CMatrix * 3),
        ("places", c_void_p),
    ]


class CStep(ctypes.Structure):
    """`mdnn_step`."""

    _fields_ = [
        *_fields("int32 classes given column joined"),
        ("kernel", CMatrix),
        ("bias", c_void_p),
        ("gates", CMatrix * 3),
    ]


class CHead(ctypes.Structure):
    """`mdnn_head`."""

    _fields_ = [*_fields("int32 modality steps"), ("step", CStep * 3)]


class CPlan(ctypes.Structure):
    """`mdnn_plan`."""

    _fields_ = _fields(
        """
        int32 width columns rows overlap words registers ops caches embeddings heads
        int32 hidden text_modality word_modality largest
        pointer sizes op cache_floats embedding kind_step head
        """
    )


class CSampling(ctypes.Structure):
    """`mdnn_sampling`."""

    _fields_ = _fields(
        """
        int32 seed top_k
        float temperature top_p
        """
    )
