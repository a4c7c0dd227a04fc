"""Calls in a loop leave nothing behind: memory is flat, by path and opened.

`make test` makes a few calls of each public function; `make test-long` makes 400
(`MDNN_LOOP_CALLS`), 40 of those that take seconds (`MDNN_SLOW_LOOP_CALLS`) and 8 of `search`, and
prints what stays of each.
"""

import contextlib
import ctypes
import gc
import inspect
import os
import time
from pathlib import Path

import keras
import pytest
from loop_calls import HEAVY, LIGHT, WITHOUT_WORK, Made

import mdnn
from mdnn.generation import engines

CALLS = int(os.environ.get("MDNN_LOOP_CALLS", "400"))
SLOW_CALLS = int(os.environ.get("MDNN_SLOW_LOOP_CALLS", str(max(8, CALLS // 10))))
"""Calls of those that take seconds each: they train, compile or write a whole folder."""

SEARCHES = 8
"""The most calls of `search`, whose trainings begin processes of their own."""

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc"),
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="measures TensorFlow's"),
]


def resident():
    """Megabytes that the process has in memory, without freed ones that malloc has kept."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_run, items_run):
    with pytest.MonkeyPatch.context() as patch:
        # XLA compiles in the first call, not once a network has written a thousand characters.
        patch.setattr(engines, "SHORT", 0)
        yield Made(tmp_path_factory.mktemp("loop"), tiny_run, items_run)


def growth(call, made, number, warm):
    """Megabytes that stay of a call, and its seconds: means over `number` calls after `warm`."""
    for k in range(warm):
        call(made, k)
    before, start = resident(), time.perf_counter()
    for k in range(warm, warm + number):
        call(made, k)
    seconds = time.perf_counter() - start
    return (resident() - before) / number, seconds / number


def test_every_public_name_is_called():
    """The names of calls say which functions they call."""
    modules = {name for name in mdnn.__all__ if inspect.ismodule(getattr(mdnn, name))}
    called = {word for name in LIGHT | HEAVY for word in name.split()}
    assert set(mdnn.__all__) - modules - WITHOUT_WORK == called & set(mdnn.__all__)


FEW = (
    "generate by path",
    "evaluate by path",
    "load by path",
    "generate puzzles by path",
    "inspect",
)
"""Calls that compile or read the most; `test_many_calls` has all."""


@pytest.mark.parametrize("name", FEW)
def test_a_few_calls(made, name):
    """What was compiled is compiled once: otherwise a call takes some 40 MB and seconds."""
    megabytes, _ = growth(LIGHT[name], made, 8, 2)
    assert megabytes < (4 if name.startswith("load") else 2)


COMPILED = ("evaluate new networks", "evaluate at other steps")
"""Calls that compile each time: 3 to 4 MB stay of each at first; malloc settles in 40 calls."""


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", LIGHT | HEAVY)
def test_many_calls(made, name):
    """Memory is flat: what stays of a call is below what any object of it would take."""
    number = CALLS if name in LIGHT else SLOW_CALLS
    number = min(number, SEARCHES) if name == "search" else number
    warm = 60 if name in COMPILED else max(4, min(number // 8, 20))
    megabytes, seconds = growth((LIGHT | HEAVY)[name], made, number, warm)
    print(f"\n{name}: {number} calls, {megabytes:.3f} MB stay of each, {1e3 * seconds:.0f} ms each")
    assert megabytes < (0.05 if name in LIGHT else 1 if name in COMPILED else 0.5)
