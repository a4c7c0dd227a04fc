"""Defines `Spectrum`: a sound as a grid of bytes, moments x frequencies."""

import dataclasses

import numpy as np

from mdnn.errors import MdnnError
from mdnn.option_field import option
from mdnn.tokens.lapped_transform import lapped, unlapped

FULL_SCALE = 32_768
"""The amplitude of 16-bit samples that counts as 1."""

ZERO = 128
"""The byte of a coefficient of 0: silence."""


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """Settings of sounds as grids of moments and frequencies; the config table `[tokens.spectrum]`.

    The coefficients of a lapped transform (`mdnn.tokens.lapped_transform`) on the companded scale
    of mu-law (ITU-T G.711): `sign(c) ln(1 + mu |c| / limit) / ln(1 + mu)` in equal
    levels, one byte each. A coefficient of 0 is the byte 128 and stays 0.
    """

    # Number of frequencies, the columns of the grid; a moment has as many samples.
    bands: int = option(32, least=2, most=1024)
    # Number of moments, the rows of the grid: longer sounds are cut, shorter ones are followed by
    # silence. 0: as many as a sound takes.
    moments: int = option(32, least=0, most=65_536)
    # The largest coefficient, in terms of that of a tone of the largest amplitude; larger ones are
    # clipped.
    limit: float = option(1.0, least=0.001, most=100.0)
    # How much finer the levels are near 0; and number of levels on either side of 0.
    mu: float = option(255.0, least=0.001, most=1e6)
    levels: int = option(127, least=1, most=127)

    def rows(self, samples):
        """Returns the number of moments of a sound of `samples` samples."""
        return self.moments or -(-samples // self.bands)

    @property
    def loudest(self):
        """float, the largest coefficient of samples from -1 to 1."""
        return self.limit * np.sqrt(self.bands / 2)

    def encode(self, samples):
        """Converts samples to the bytes of a grid.

        Args:
            samples: int16 `[samples]`.

        Returns:
            uint8 `[moments, bands]`.
        """
        count = self.rows(len(samples)) * self.bands
        values = np.zeros(count)
        values[: len(samples)] = samples[:count] / FULL_SCALE
        return self.companded(lapped(values, self.bands))

    def decode(self, grid):
        """Converts the bytes of a grid to samples: the inverse of `encode` but for rounding.

        Args:
            grid: ints `[moments, bands]`, from 0 to 255.

        Returns:
            int16 `[moments * bands]`.
        """
        samples = np.rint(unlapped(self.expanded(grid)) * FULL_SCALE)
        return np.clip(samples, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)

    def companded(self, coefficients):
        """Returns the bytes of coefficients, uint8 of the same shape."""
        size = np.minimum(np.abs(coefficients) / self.loudest, 1.0)
        level = np.rint(np.log1p(self.mu * size) / np.log1p(self.mu) * self.levels)
        return (ZERO + np.sign(coefficients) * level).astype(np.uint8)

    def expanded(self, grid):
        """Returns the coefficients of bytes, float64 of the same shape."""
        level = np.asarray(grid, np.int64) - ZERO
        size = np.minimum(np.abs(level) / self.levels, 1.0)
        return np.sign(level) * np.expm1(size * np.log1p(self.mu)) / self.mu * self.loudest

    def check(self):
        """Refuses a table whose sizes do not go together.

        Raises:
            MdnnError: an odd number of bands.
        """
        if self.bands % 2:
            raise MdnnError(
                f"tokens.spectrum.bands: expected an even number, received {self.bands}"
            )
