"""Reads the tensors of a GGUF file, as they are stored where a run folder can store them so."""

import numpy as np

from mdnn.errors import MdnnError
from mdnn.foreign.stored_rows import StoredRows


def read_rows(path, tensor):
    """Reads a tensor of a GGUF file.

    Q4_0, Q4_1 and Q8_0 keep their codes and their half-precision scales. Q4_K and Q6_K keep their
    codes; the products of their two levels of scales become float32. F16 and F32 stay as they are,
    BF16 becomes float32. No weight changes.

    Args:
        path: the file.
        tensor: `mdnn.foreign.gguf_header.GgufTensor` of one or two axes.

    Returns:
        `StoredRows`; a vector has one row.
    """
    rows, columns = (1, *tensor.shape)[-2:]
    data = np.memmap(path, "uint8", "r", tensor.start, (tensor.bytes,))
    name = tensor.type.name
    if name in ("F32", "F16"):
        dtype = {"F32": "float32", "F16": "float16"}[name]
        return StoredRows(
            dtype, columns, np.array(data).view(f"<f{tensor.type.size}").reshape(rows, columns)
        )
    if name == "BF16":
        wide = np.array(data).view("<u2").astype("uint32") << 16
        return StoredRows("float32", columns, wide.view("float32").reshape(rows, columns))
    blocks = np.array(data).reshape(rows, columns // tensor.type.block, tensor.type.size)
    return _READERS[name](columns, blocks)


def _halves(blocks, start, count=1):
    """Returns half-precision numbers at a byte of each block, float16 `[rows, blocks, count]`."""
    return np.ascontiguousarray(blocks[..., start : start + 2 * count]).view("<f2")


def _q8_0(columns, blocks):
    codes = np.ascontiguousarray(blocks[..., 2:]).view("int8")
    return StoredRows("int8", columns, codes, _halves(blocks, 0)[..., 0])


def _q4_0(columns, blocks):
    return StoredRows("int4", columns, blocks[..., 2:], _halves(blocks, 0)[..., 0])


def _q4_1(columns, blocks):
    scales, offsets = np.moveaxis(_halves(blocks, 0, 2), -1, 0)
    return StoredRows("int4", columns, blocks[..., 4:], scales, offsets)


@np.errstate(all="ignore")
def _q4_k(columns, blocks):
    """Blocks of 256: two halves, 12 bytes of eight 6-bit scales and minima, 128 bytes of codes.

    Codes come in fours of 64: the low four bits of 32 bytes, then the high ones.
    """
    scale, least = np.moveaxis(_halves(blocks, 0, 2).astype("float32"), -1, 0)
    packed = blocks[..., 4:16]
    low, middle, high = packed[..., :4], packed[..., 4:8], packed[..., 8:]
    scales = np.concatenate([low & 63, (high & 15) | (low >> 6 << 4)], axis=-1)
    minima = np.concatenate([middle & 63, (high >> 4) | (middle >> 6 << 4)], axis=-1)
    scales = scale[..., None] * scales.astype("float32")
    offsets = -(least[..., None] * minima.astype("float32"))
    data = blocks[..., 16:].reshape(*blocks.shape[:2], 4, 32)
    codes = np.stack([data & 15, data >> 4], axis=-2).reshape(*blocks.shape[:2], 8, 32)
    codes = codes[..., :16] | codes[..., 16:] << 4
    rows = len(blocks)
    return StoredRows(
        "int4",
        columns,
        codes.reshape(rows, -1, 16),
        scales.reshape(rows, -1),
        offsets.reshape(rows, -1),
    )


@np.errstate(all="ignore")
def _q6_k(columns, blocks):
    """Blocks of 256: 128 bytes of low four bits, 64 of high two, 16 scales int8, a half.

    Each half of a block has four runs of 32 codes, whose bits lie in the same 64 and 32 bytes.
    """
    shape = (*blocks.shape[:2], 2)
    low = blocks[..., :128].reshape(*shape, 2, 32)
    high = blocks[..., 128:192].reshape(*shape, 32)
    runs = [
        (low[..., run % 2, :] >> 4 * (run // 2) & 15) | ((high >> 2 * run & 3) << 4)
        for run in range(4)
    ]
    codes = np.stack(runs, axis=-2).astype("int8") - 32
    scales = np.ascontiguousarray(blocks[..., 192:208]).view("int8").astype("float32")
    scales = _halves(blocks, 208).astype("float32") * scales
    rows = len(blocks)
    return StoredRows("int8", columns, codes.reshape(rows, -1, 16), scales.reshape(rows, -1))


_READERS = {"Q8_0": _q8_0, "Q4_0": _q4_0, "Q4_1": _q4_1, "Q4_K": _q4_k, "Q6_K": _q6_k}


def check_matrix(name, tensor, shape, where):
    """Refuses a tensor that is missing or has another shape.

    Args:
        name: str, the tensor's name.
        tensor: the tensor, or `None`.
        shape: tuple of ints, the expected shape.
        where: the file, for errors.

    Raises:
        MdnnError: names the tensor.
    """
    if tensor is None:
        raise MdnnError(f"{where} lacks the tensor {name!r}")
    if tuple(tensor.shape) != tuple(shape):
        raise MdnnError(f"{where}: expected {name!r} {list(shape)}, received {list(tensor.shape)}")
