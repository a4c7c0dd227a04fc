"""Opens run folders once and keeps them while their files are unchanged."""

import collections
import dataclasses
import threading

import keras

from mdnn.file_systems import as_path
from mdnn.runs.item_statistics import ITEMS
from mdnn.runs.run_files import (
    ABOUT,
    CONFIG,
    TOKENIZER,
    TOKENIZER_CONFIG,
    WEIGHTS,
    WORDS,
)
from mdnn.runs.run_folder import Run, open_run

MAX_OPENED = 4
"""Largest number of runs in the cache of `cached_run`; the least recently used is dropped."""


_OPENED = collections.OrderedDict()


_OPENED_LOCK = threading.Lock()


def cached_run(run):
    """Opens a run folder once and returns the same `Run` while its files are unchanged.

    All callers share the network of the run and its compiled functions: do not change its weights.
    `open_run` and `load` return a separate network.

    Args:
        run: a run folder; or a `Run` or `Network`, passed to `open_run`.

    Raises:
        MdnnError: the folder does not exist or holds no finished run.
    """
    if isinstance(run, (Run, keras.Model)):
        return open_run(run)
    try:
        path = as_path(run, "run").resolve()
    except (OSError, RuntimeError, ValueError):
        # Not a path: `open_run` raises the error.
        return open_run(run)
    with _OPENED_LOCK:
        state = _state_of(path)
        before, opened = _OPENED.pop(path, (None, None))
        if opened is None or before != state:
            # Errors name the path as given by the caller; the run holds the resolved path, which
            # stays valid when the process changes its working directory.
            opened = open_run(run)
            if opened.path is not None:
                opened = dataclasses.replace(opened, path=path)
        _OPENED[path] = state, opened
        while len(_OPENED) > MAX_OPENED:
            _OPENED.popitem(last=False)
    return opened


def _state_of(path):
    """Returns times, sizes and inodes of the files of a run folder, to detect changes."""
    state = []
    names = (CONFIG, WEIGHTS, WORDS, TOKENIZER, TOKENIZER_CONFIG, ITEMS, ABOUT)
    files = [path] if path.is_file() else [path / name for name in names]
    for file in files:
        try:
            about = file.stat()
        except OSError:
            state.append(None)
            continue
        state.append((about.st_mtime_ns, about.st_size, about.st_ino))
    return tuple(state)
