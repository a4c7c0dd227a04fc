"""Describes where each value of a grown weight comes from, and applies it to arrays."""

import dataclasses
from typing import Any

import numpy as np

NEW = -1
"""Index of a value that has no old one."""

FILLING = 15
"""Steps after which Adam's m of a new value is nearly full (`beta_1 = 0.9`)."""


def new_share(beta_2):
    """Returns the share of an old kernel's mean squared gradient that new values begin with.

    Adam divides by sqrt(v). From the old mean, values with far smaller gradients than the old ones
    (a far distance beside a near one; a block whose last kernel is zero) take far too small steps
    until v has decayed. From v = 0 they take steps
    of at most 2.1 times the learning rate with `beta_2 = 0.99`, 1.3 times after 100 steps. A larger
    `beta_2` fills v more slowly: what 15 steps at 0.99 would have gathered beyond it is there from
    the start.

    Args:
        beta_2: float, the decay of Adam's v.
    """
    return max(0.0, beta_2**FILLING - 0.99**FILLING)


@dataclasses.dataclass(frozen=True, eq=False)
class Origin:
    """Origin of the values of one weight of the larger network.

    Attributes:
        source: the old variable; `None` if every value is new.
        index: int64 array of the new shape: flat index of the old value, or `NEW`.
        fill: values where `index` is `NEW`: a number or an array that broadcasts to the new shape;
            `None` for the larger network's initial values.
        factor: float, by which old values are multiplied.
        parts: int, number of new weights among which the gradient of an old one is divided.
        fresh_state: bool, whether the optimizer's state is reset although values are copied.
    """

    source: Any
    index: Any
    fill: Any = None
    factor: float = 1.0
    parts: int = 1
    fresh_state: bool = False

    def values(self, old, initial):
        """Returns the new values.

        Args:
            old: array of the shape of `source`, its values; `None` without one.
            initial: array of the new shape, the larger network's initial values.

        Returns:
            Array of the new shape and the dtype of `initial`.
        """
        fill = initial if self.fill is None else self.fill
        fill = np.broadcast_to(np.asarray(fill, initial.dtype), initial.shape)
        if self.source is None:
            return np.array(fill)
        copied = self._taken(old) * np.asarray(self.factor, initial.dtype)
        return np.where(self.index == NEW, fill, copied).astype(initial.dtype)

    def first_moment(self, old, shape, dtype="float32"):
        """Returns the mean gradient (Adam's m, a momentum) of the new values.

        The gradient of a value that was multiplied by f is divided by f. Where an old value became
        `parts` new ones, each has its share of the gradient. New values begin with 0.

        Args:
            old: array of the shape of `source`, its m; `None` if there is none.
            shape: tuple of ints, the new shape.
            dtype: str, that of the result.
        """
        if self.source is None or self.fresh_state or old is None:
            return np.zeros(shape, dtype)
        scaled = self._taken(old) / np.asarray(self.factor * self.parts, dtype)
        return np.where(self.index == NEW, 0, scaled).astype(dtype)

    def second_moment(self, old, shape, share, dtype="float32"):
        """Returns the mean squared gradient (Adam's v) of the new values.

        For a value multiplied by f, it is divided by f squared. Of a gradient that is divided among
        `parts` weights, whose noise is independent, each has 1 / parts of the variance. New values
        begin with a share of the mean over the old kernel, see `new_share`.

        Args:
            old: array of the shape of `source`, its v; `None` if there is none.
            shape: tuple of ints, the new shape.
            share: float, see `new_share`.
            dtype: str, that of the result.
        """
        if self.source is None or old is None:
            return np.zeros(shape, dtype)
        scale = np.asarray(self.factor**2 * self.parts, dtype)
        mean = share * np.mean(old, dtype="float64") / scale
        if self.fresh_state:
            return np.full(shape, mean, dtype)
        return np.where(self.index == NEW, mean, self._taken(old) / scale).astype(dtype)

    def _taken(self, old):
        flat = np.asarray(old).reshape(-1)
        return flat[np.maximum(self.index, 0)]

    def with_fresh_state(self):
        """Returns a copy whose optimizer state is reset."""
        return dataclasses.replace(self, fresh_state=True)

    def silenced(self, shape):
        """Returns an origin of zeros in place of the values; the state is reset."""
        index = np.full(shape, NEW, "int64")
        return dataclasses.replace(self, index=index, fill=0.0, fresh_state=True)


def created(variable, fill=None):
    """Returns the origin of a weight that the old network lacks."""
    return Origin(None, np.full(tuple(variable.shape), NEW, "int64"), fill)


def placed(old, new, maps, fill=None, factor=1.0):
    """Returns the origin of a weight whose axes are mapped one by one.

    Args:
        old, new: variables of the same rank.
        maps: one int array per axis, of the new size: old indices or `NEW`; `None` for an axis that
            stays as it is.
        fill, factor: see `Origin`. `fill` may be a function of a tuple of boolean arrays, one per
            axis, that broadcast to the new shape and tell which indices are new.

    Raises:
        ValueError: an axis without a map has another size.
    """
    shape, strides = tuple(old.shape), _strides(tuple(old.shape))
    index, known, news = 0, True, []
    for axis, (size, stride) in enumerate(zip(shape, strides, strict=True)):
        source = np.arange(size) if maps[axis] is None else np.asarray(maps[axis])
        if len(source) != new.shape[axis]:
            raise ValueError(f"{new.path}: axis {axis} has {new.shape[axis]}, not {len(source)}")
        source = source.reshape([-1 if a == axis else 1 for a in range(len(shape))])
        news.append(source == NEW)
        index = index + np.maximum(source, 0) * stride
        known = known & (source != NEW)
    index = np.broadcast_to(np.where(known, index, NEW), tuple(new.shape)).astype("int64")
    return Origin(old, index, fill(tuple(news)) if callable(fill) else fill, factor)


def same(old, new):
    """Returns the origin of a weight that stays as it is."""
    return placed(old, new, [None] * len(old.shape))


def _strides(shape):
    return [int(np.prod(shape[axis + 1 :], dtype="int64")) for axis in range(len(shape))]
