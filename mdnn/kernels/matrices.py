"""Packs weights for the native library: float32, float16, and codes of 8 and 4 bits."""

import ctypes
import dataclasses

import numpy as np

from mdnn.kernels import structures as c
from mdnn.kernels.native_library import native_library, octets
from mdnn.kernels.weight_memory import aligned


@dataclasses.dataclass(frozen=True)
class Codes:
    """A weight as codes with scales: `codes * scale (+ minimum)`.

    Args:
        codes: int8 `[outer, inner]`, or uint8 with one code of 4 bits per byte.
        scales: float16 or float32 `[outer, inner / group]`.
        bits: int, 8 or 4.
        offset: float, subtracted from codes of 4 bits.
        minima: the same for the values added to the products, or `None`.
        turned: boolean, whether the weight `[inputs, outputs]` is the transpose of the codes:
            groups are then of inputs, otherwise of outputs.
    """

    codes: np.ndarray
    scales: np.ndarray
    bits: int
    offset: float = 0.0
    minima: np.ndarray | None = None
    turned: bool = False

    @property
    def group(self):
        """Number of codes with a common scale, an int."""
        return self.codes.shape[1] // self.scales.shape[1]

    @property
    def shape(self):
        """Shape of the weight, `(inputs, outputs)`."""
        return self.codes.shape[::-1] if self.turned else self.codes.shape

    @property
    def transposed(self):
        """The transpose of the weight."""
        return dataclasses.replace(self, turned=not self.turned)

    def values(self):
        """Returns the weight as float32 `[inputs, outputs]`."""
        wide = np.repeat(self.scales.astype("float32"), self.group, axis=1)
        values = (self.codes.astype("float32") - (self.offset if self.bits == 4 else 0)) * wide
        if self.minima is not None:
            values += np.repeat(self.minima.astype("float32"), self.group, axis=1)
        return values.T if self.turned else values


class Arrays:
    """Keeps the arrays and structures alive that a plan points to.

    Args:
        rounded: bool, whether products with codes whose groups are of inputs round their inputs to
            8 bits.

    Attributes:
        bytes: int, bytes of the arrays.
        roundings: int, number of matrices whose products round their inputs.
    """

    def __init__(self, rounded=False):
        self.kept, self.bytes, self.rounded, self.roundings = [], 0, rounded, 0

    def pointer(self, array):
        """Returns the address of a contiguous array, which is kept."""
        self.kept.append(array)
        self.bytes += array.nbytes
        return array.ctypes.data

    def vector(self, values, pad=True):
        """Returns the address of a float32 copy of a vector, padded to whole panels."""
        values = np.asarray(values, "float32").reshape(-1)
        out = aligned((-(-len(values) // c.PANEL) * c.PANEL if pad else len(values),), "float32")
        out[: len(values)] = values
        return self.pointer(out)

    def array(self, values):
        """Returns the address of a contiguous float32 copy of an array."""
        out = aligned(np.shape(values), "float32")
        out[...] = values
        return self.pointer(out)

    def structure(self, value):
        """Keeps a structure and returns its address."""
        self.kept.append(value)
        return ctypes.addressof(value)

    def matrix(self, weight):
        """Packs a weight `[inputs, outputs]` for products.

        Args:
            weight: float32 or float16 array, or `Codes`.

        Returns:
            `CMatrix`.
        """
        if isinstance(weight, Codes):
            packed = self._codes(weight)
            if packed is not None:
                return packed
            weight = weight.values()
        n_in, n_out = weight.shape
        half = weight.dtype == np.float16
        dtype = "float16" if half else "float32"
        out = bundled(weight, dtype)
        kind = c.FLOAT16 if half else c.FLOAT32
        return c.CMatrix(kind=kind, n_in=n_in, n_out=n_out, codes=self.pointer(out))

    def table(self, weight):
        """Packs a table `[rows, width]` whose rows are looked up.

        Args:
            weight: float array or `Codes`.

        Returns:
            `CMatrix` of `width` inputs and `rows` outputs.
        """
        if isinstance(weight, Codes):
            rows, width = weight.shape
            # A small table is faster as floats, a large one takes less memory as codes.
            if rows * width > 1 << 20:
                return self.matrix(weight.transposed)
            weight = weight.values()
        rows, width = weight.shape
        return c.CMatrix(kind=c.ROWS, n_in=width, n_out=rows, codes=self.array(weight))

    def _codes(self, weight):
        """Packs codes; returns `None` where the groups do not fit the layout."""
        n_in, n_out = weight.shape
        group, turned = weight.group, weight.turned
        if weight.minima is not None and not turned:
            return None
        if group % c.PANEL or (n_in if turned else n_out) % group:
            return None
        codes = weight.codes.T if turned else weight.codes
        if weight.bits == 4:
            address, kind = self.pointer(pack_int4(codes)), c.INT4
        else:
            address, kind = self.pointer(pack_int8(codes)), c.INT8
        scaling = c.SCALES_BY_INPUT if turned else c.SCALES_BY_OUTPUT
        factors = [weight.scales] + ([] if weight.minima is None else [weight.minima])
        wide = any(each.dtype != np.float16 for each in factors)
        scales, *minima = (
            self.pointer(_scales(each, turned, "float32" if wide else "float16"))
            for each in factors
        )
        rounded = self.rounded and turned
        self.roundings += rounded
        return c.CMatrix(
            kind=kind,
            n_in=n_in,
            n_out=n_out,
            rounded=int(rounded),
            scaling=scaling,
            group=group,
            wide=int(wide),
            offset=weight.offset,
            codes=address,
            scales=scales,
            minima=minima[0] if minima else None,
        )


def _scales(scales, turned, dtype):
    """Lays out scales as source/plan.h says, from `[outer, groups]`."""
    if turned:
        return bundled(scales.T, dtype)
    out = aligned(scales.T.shape, dtype)
    out[...] = scales.T
    return out


def bundled(values, dtype):
    """Lays out `[lines, outputs]` as bundles `[lines, panels, 16]` one after another, flat."""
    lines, outputs = values.shape
    panels = -(-outputs // c.PANEL)
    out = aligned((panels * lines * c.PANEL,), dtype)
    for first in range(0, panels, c.BUNDLE):
        width = min(c.BUNDLE, panels - first) * c.PANEL
        some = values[:, first * c.PANEL : first * c.PANEL + width]
        start = first * lines * c.PANEL
        bundle = out[start : start + lines * width].reshape(lines, width)
        bundle[:, : some.shape[1]] = some
    return out


def pack_int8(codes):
    """Packs codes of 8 bits `[inputs, outputs]`, int8, into words of 4 inputs, flat."""
    n_in, n_out = codes.shape
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
    words = aligned((-(-n_out // c.PANEL) * -(-n_in // 8) * c.PANEL,), "uint32")
    address = words.ctypes.data_as(library.mdnn_pack_int4.argtypes[3])
    library.mdnn_pack_int4(octets(codes), n_in, n_out, address)
    return words
