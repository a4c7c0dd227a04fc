"""Lays out weights in panels of 16 outputs as the native library reads them; see source/plan.h."""

import numpy as np

from mdnn.kernels import structures as c
from mdnn.kernels.native_library import byte_pointer, native_library
from mdnn.kernels.weight_memory import aligned_zeros
from mdnn.machine import cores

LARGE = 1 << 20
"""Bytes from which on packing is divided among threads."""


def bundled(values, dtype):
    """Lays out `[lines, outputs]` as bundles `[lines, panels, 16]` one after another, flat."""
    lines, outputs = values.shape
    panels = -(-outputs // c.PANEL)
    out = aligned_zeros((panels * lines * c.PANEL,), dtype)
    for first in range(0, panels, c.BUNDLE):
        width = min(c.BUNDLE, panels - first) * c.PANEL
        some = values[:, first * c.PANEL : first * c.PANEL + width]
        start = first * lines * c.PANEL
        bundle = out[start : start + lines * width].reshape(lines, width)
        bundle[:, : some.shape[1]] = some
    return out


def bundled_rows(rows):
    """Lays out `[outputs, lines]` of items of 2 or 4 bytes as `bundled` does their transpose."""
    library = native_library()
    if library is None:
        return bundled(rows.T, rows.dtype)
    rows = np.ascontiguousarray(rows)
    outputs, lines = rows.shape
    out = aligned_zeros((-(-outputs // c.PANEL) * lines * c.PANEL,), rows.dtype)
    places = rows.ctypes.data, rows.itemsize, lines, outputs, out.ctypes.data
    library.mdnn_pack_lines(*places, _threads(rows))
    return out


def pack_int8(codes):
    """Packs codes of 8 bits `[inputs, outputs]`, int8, into words of 4 inputs, flat."""
    n_in, n_out = codes.shape
    if n_in % 4 == 0 and codes.T.flags.c_contiguous:
        return bundled_rows(codes.T.view("uint32"))
    padded = np.zeros((-(-n_in // 4) * 4, n_out), "uint8")
    padded[:n_in] = codes.view("uint8")
    words = np.zeros((len(padded) // 4, n_out), "uint32")
    for k in range(4):
        words |= padded[k::4].astype("uint32") << np.uint32(8 * k)
    return bundled(words, "uint32")


def pack_int4(codes):
    """Packs codes of 4 bits `[inputs, outputs]`, a byte each, into words of 8 inputs, flat."""
    codes = np.ascontiguousarray(codes, "uint8")
    n_in, n_out = codes.shape
    library = native_library()
    if library is None:
        padded = np.zeros((-(-n_in // 8), 8, n_out), "uint32")
        padded.reshape(-1, n_out)[:n_in] = codes
        shifts = np.arange(0, 32, 4, dtype="uint32")[:, None]
        return bundled(np.bitwise_or.reduce(padded << shifts, axis=1), "uint32")
    words = aligned_zeros((-(-n_out // c.PANEL) * -(-n_in // 8) * c.PANEL,), "uint32")
    address = words.ctypes.data_as(library.mdnn_pack_int4.argtypes[3])
    library.mdnn_pack_int4(byte_pointer(codes), n_in, n_out, address)
    return words


def pack_halves(codes, group):
    """Packs codes of 4 bits as weights files hold them into words of 8 inputs, flat.

    Args:
        codes: uint8 `[outputs, inputs / 2]`, see `mdnn.runs.quantization.Stored`.
        group: int, inputs of a group, a multiple of 16.
    """
    library = native_library()
    if library is None:
        return pack_int4(single_codes(codes, group).T)
    codes = np.ascontiguousarray(codes)
    n_out, n_in = codes.shape[0], 2 * codes.shape[1]
    words = aligned_zeros((-(-n_out // c.PANEL) * (n_in // 8) * c.PANEL,), "uint32")
    places = codes.ctypes.data, n_in, n_out, group, words.ctypes.data
    library.mdnn_pack_halves(*places, _threads(codes))
    return words


def single_codes(codes, group):
    """Returns codes of 4 bits a byte each, uint8 `[outer, inner]`, from `[outer, inner / 2]`."""
    pairs = codes.reshape(-1, group // 2)
    return np.concatenate([pairs & 15, pairs >> 4], axis=1).reshape(len(codes), -1)


def _threads(array):
    return cores() if array.nbytes >= LARGE else 1
