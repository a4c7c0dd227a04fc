"""Several contexts continued at once: in groups, which a computer's cores compute side by side."""

import concurrent.futures
import functools

import keras
import numpy as np

from mdnn.machine import cores

# Contexts of a group. Few sizes, because each is compiled; 16 at most, because two groups keep two
# cores busy as no single one does: 64 texts of text.toml at once 24,000 to 26,000 characters/s
# on 2 cores, two groups of 16 side by side 48,000.
SIZES = (1, 4, 8, 16)


class Together:
    """Contexts that are continued at once; each is written as it would be alone.

    They are put in groups of like length. On TensorFlow several groups are computed at the same
    time.

    Args:
        writer: `mdnn.generation.stream.StreamWriter`.
        window: int32 `[rows, positions, 4]`, contexts as `mdnn.generation.writer.start_window`
            makes them.
        filled: int32 `[rows]`, units that each of them holds.
        settings: dict of `seed`, int32, `temperature`, float32, `top_k`, int32, and `top_p`,
            float32, each `[rows]`.
    """

    def __init__(self, writer, window, filled, settings):
        order = np.argsort(filled, kind="stable")
        size = group_size(len(filled))
        self.groups = [
            _Group(writer, order[start : start + size], window, filled, settings)
            for start in range(0, len(order), size)
        ]

    def write(self, count, wanted=None):
        """Continues the contexts.

        Args:
            count: int, units, at most the writer's `chunk`.
            wanted: booleans `[rows]`; a group of which no row is wanted is left as it is.

        Returns:
            List of int32 arrays `[n, 4]`, what was written of each row: `count` units, of a row
            with a longer prompt than others of its group fewer at first, none of a group that was
            left.
        """
        rows = sum(len(group.rows) for group in self.groups)
        found = [np.zeros((0, 4), "int32")] * rows
        groups = [g for g in self.groups if wanted is None or any(wanted[row] for row in g.rows)]
        if len(groups) > 1 and keras.backend.backend() == "tensorflow":
            written = _pool().map(lambda group: group.write(count), groups)
        else:
            # Keras' `predict_on_batch` on JAX sets the model's variables: one after another.
            written = (group.write(count) for group in groups)
        for group, units in zip(groups, written, strict=True):
            for row, own in zip(group.rows, units, strict=True):
                found[row] = own
        return found


class _Group:
    def __init__(self, writer, rows, window, filled, settings):
        self.writer, self.rows = writer, rows
        # The longest context fills the group up: nobody is kept waiting by it.
        size = _fitting(len(rows))
        rows = np.concatenate([rows, np.repeat(rows[-1:], size - len(rows))])
        filled = filled[rows]
        self.waits, self.done = filled - filled.min(), 0
        self.settings = {name: values[rows] for name, values in settings.items()}
        self.state, self.begun = {"window": window[rows], "filled": filled}, False

    def write(self, count):
        if not self.begun:
            self.state["written"] = np.zeros_like(self.state["filled"])
            self.state, self.begun = self.writer.predict_on_batch(self.state), True
        asked = {"count": np.array([count], "int32")}
        state = self.writer.predict_on_batch(self.state | self.settings | asked)
        units = np.asarray(state.pop("units"))[:count]
        self.state, done = state, self.done
        self.done += count
        # What a context has before its own turn comes is its prompt.
        return [units[max(0, self.waits[k] - done) :, k] for k in range(len(self.rows))]


def group_size(rows):
    """Contexts of a group of so many rows: there are two groups at least, or one row."""
    return _fitting(-(-rows // 2))


def _fitting(rows):
    return next((size for size in SIZES if size >= rows), SIZES[-1])


@functools.cache
def _pool():
    """Threads, one for each core that this process may use."""
    return concurrent.futures.ThreadPoolExecutor(cores(), thread_name_prefix="mdnn-write")
