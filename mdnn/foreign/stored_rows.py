"""Matrices in rows of stored weights: float arrays, or codes with scales per group.

A matrix `[outputs, inputs]` is stored row by row, in groups of neighboring inputs. Rows can be
permuted and put one under another without being expanded.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class StoredRows:
    """A matrix `[rows, columns]` as a run folder stores it (see `mdnn.runs.quantization.Stored`).

    Args:
        dtype: `"float32"`, `"float16"`, `"int8"` or `"int4"`.
        columns: int, weights of a row.
        codes: the array `[rows, columns]` itself for floats; int8 `[rows, groups, group]`; of
            4 bits uint8 `[rows, groups, group / 2]`.
        scales: float16 or float32 `[rows, groups]`; `None` for floats.
        offsets: the same for codes that are not centred, whose weights are
            `code * scale + offset`; `None` otherwise.
    """

    dtype: str
    columns: int
    codes: np.ndarray
    scales: np.ndarray | None = None
    offsets: np.ndarray | None = None

    @property
    def shape(self):
        return len(self.codes), self.columns

    def parts(self):
        """Returns the arrays that it has, a list."""
        return [part for part in (self.codes, self.scales, self.offsets) if part is not None]

    def with_parts(self, parts):
        """Returns the same with other arrays in the order of `parts`."""
        parts = iter(parts)
        names = ("codes", "scales", "offsets")
        found = {n: None if getattr(self, n) is None else next(parts) for n in names}
        return dataclasses.replace(self, **found)

    def taken(self, rows):
        """Returns the rows of these indices."""
        return self.with_parts([part[rows] for part in self.parts()])

    @np.errstate(all="ignore")
    def values(self):
        """Returns the weights, float32 `[rows, columns]`; damaged ones may not be finite."""
        if self.scales is None:
            return self.codes.astype("float32")
        codes = self.codes
        if self.dtype == "int4":
            codes = np.concatenate([codes & 15, codes >> 4], axis=-1)
        codes = codes.astype("float32")
        scales = self.scales.astype("float32")[..., None]
        if self.offsets is not None:
            codes = codes * scales + self.offsets.astype("float32")[..., None]
        else:
            codes = (codes - 8 if self.dtype == "int4" else codes) * scales
        return codes.reshape(self.shape)


def joined_rows(matrices):
    """Puts matrices of one width under one another; as float32 if they are stored differently."""
    first = matrices[0]
    form = [(m.dtype, [(p.dtype, p.shape[1:]) for p in m.parts()]) for m in matrices]
    if any(other != form[0] for other in form[1:]):
        values = np.concatenate([matrix.values() for matrix in matrices])
        return StoredRows("float32", first.columns, values)
    parts = zip(*(matrix.parts() for matrix in matrices), strict=True)
    return first.with_parts([np.concatenate(part) for part in parts])
