"""Packs weights for the native library: float32, float16, and codes of 8 and 4 bits."""

import ctypes
import dataclasses

import numpy as np

from mdnn.kernels import structures as c
from mdnn.kernels.panel_packing import (
    bundled,
    bundled_rows,
    pack_halves,
    pack_int4,
    pack_int8,
    single_codes,
)
from mdnn.kernels.weight_memory import aligned_zeros


@dataclasses.dataclass(frozen=True)
class Codes:
    """A weight as codes with scales: `codes * scale (+ minimum)`.

    Args:
        codes: int8 `[outer, inner]`; uint8 with one code of 4 bits per byte; or, `paired`, with two
            as weights files hold them, `[outer, inner / 2]`.
        scales: float16 or float32 `[outer, inner / group]`.
        bits: int, 8 or 4.
        offset: float, subtracted from codes of 4 bits.
        minima: the same for the values added to the products, or `None`.
        turned: bool, whether the weight `[inputs, outputs]` is the transpose of the codes:
            groups are then of inputs, otherwise of outputs.
        paired: bool, see `codes`.
    """

    codes: np.ndarray
    scales: np.ndarray
    bits: int
    offset: float = 0.0
    minima: np.ndarray | None = None
    turned: bool = False
    paired: bool = False

    @property
    def _inner(self):
        return self.codes.shape[1] * (2 if self.paired else 1)

    @property
    def group(self):
        """Number of codes with a common scale, an int."""
        return self._inner // self.scales.shape[1]

    @property
    def shape(self):
        """Shape of the weight, `(inputs, outputs)`."""
        shape = len(self.codes), self._inner
        return shape[::-1] if self.turned else shape

    @property
    def transposed(self):
        """The transpose of the weight."""
        return dataclasses.replace(self, turned=not self.turned)

    def single(self):
        """Returns the codes one per byte, `[outer, inner]`."""
        return single_codes(self.codes, self.group) if self.paired else self.codes

    def values(self):
        """Returns the weight as float32 `[inputs, outputs]`."""
        wide = np.repeat(self.scales.astype("float32"), self.group, axis=1)
        values = (self.single().astype("float32") - (self.offset if self.bits == 4 else 0)) * wide
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
        out = aligned_zeros(
            (-(-len(values) // c.PANEL) * c.PANEL if pad else len(values),), "float32"
        )
        out[: len(values)] = values
        return self.pointer(out)

    def array(self, values):
        """Returns the address of a contiguous float32 copy of an array."""
        out = aligned_zeros(np.shape(values), "float32")
        out[...] = values
        return self.pointer(out)

    def structure(self, value):
        """Keeps a structure and returns its address."""
        self.kept.append(value)
        return ctypes.addressof(value)

    def matrix(self, weight):
        """Packs a weight `[inputs, outputs]` for products.

        Args:
            weight: float32 or float16 array `[inputs, outputs]`, or `Codes` of this shape.

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
            weight: float array `[rows, width]`, or `Codes` of this shape.

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
        kind = c.INT4 if weight.bits == 4 else c.INT8
        if weight.paired and turned:
            packed = pack_halves(weight.codes, group)
        else:
            codes = weight.single()
            packed = (pack_int4 if weight.bits == 4 else pack_int8)(codes.T if turned else codes)
        address = self.pointer(packed)
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
        return bundled_rows(scales.astype(dtype, copy=False))
    out = aligned_zeros(scales.T.shape, dtype)
    out[...] = scales.T
    return out
