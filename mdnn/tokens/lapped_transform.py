"""Defines a lapped transform: samples to a grid of moments and frequencies, and back.

The modified discrete cosine transform (MDCT) by time-domain aliasing cancellation (Princen and
Bradley 1986): blocks of `n` samples, in windows of `2 n` samples that overlap by half, with a sine
window. It has as many coefficients as samples, and it is orthonormal: the inverse is the transpose,
and an error of the coefficients is an error of the same energy in the samples.

Here each boundary between two blocks is one rotation of the `n / 2` samples on either side, and a
block is then transformed by a discrete cosine transform of type IV. The outer ends have no
neighbor and are not rotated, so `m` blocks are exactly `m n` samples.
"""

import functools

import numpy as np


@functools.cache
def cosines(size):
    """Returns the orthonormal discrete cosine transform of type IV, which is its own inverse.

    Args:
        size: int, number of samples of a block.

    Returns:
        float64 `[size, size]`.
    """
    half = np.arange(size) + 0.5
    matrix = np.sqrt(2 / size) * np.cos(np.pi / size * np.outer(half, half))
    matrix.flags.writeable = False
    return matrix


@functools.cache
def window(size):
    """Returns the sine window at a boundary, cosine and sine of the rotation of each pair.

    Args:
        size: int, number of samples of a block, even.

    Returns:
        float64 `[2, size / 2]`: the window at the samples after the boundary, nearest first, and
        at their mirror images before it. The squares add up to 1.
    """
    angle = np.pi / (2 * size) * (size / 2 + np.arange(size // 2) + 0.5)
    pair = np.stack([np.sin(angle), np.cos(angle)])
    pair.flags.writeable = False
    return pair


def _rotated(blocks, sign):
    """Rotates the halves of neighboring blocks against each other; `sign` -1 undoes it."""
    count, size = blocks.shape
    if count < 2:
        return blocks
    half = size // 2
    cosine, sine = window(size)
    blocks = blocks.copy()
    # Before each boundary, its nearest sample first; and after it.
    before, behind = blocks[:-1, : half - 1 : -1].copy(), blocks[1:, :half].copy()
    blocks[1:, :half] = cosine * behind + sign * sine * before
    blocks[:-1, : half - 1 : -1] = cosine * before - sign * sine * behind
    return blocks


def lapped(samples, size):
    """Transforms samples to coefficients.

    Args:
        samples: Floats `[samples]`, a multiple of `size`.
        size: int, samples of a block, even; also the number of frequencies.

    Returns:
        float64 `[samples / size, size]`: of each block the coefficients from low to high
        frequencies, coefficient `k` at `(k + 1/2) / size` times half the sample rate.

    Example:

    >>> np.allclose(unlapped(lapped(samples, 32)), samples)
    True
    """
    blocks = np.asarray(samples, np.float64).reshape(-1, size)
    return _rotated(blocks, 1) @ cosines(size)


def unlapped(coefficients):
    """Transforms coefficients to samples: the inverse of `lapped`.

    Args:
        coefficients: Floats `[blocks, size]`.

    Returns:
        float64 `[blocks * size]`.
    """
    coefficients = np.asarray(coefficients, np.float64)
    return _rotated(coefficients @ cosines(coefficients.shape[1]), -1).ravel()
