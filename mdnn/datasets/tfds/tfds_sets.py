"""Sets of TensorFlow Datasets (TFDS), with one clear line where they cannot be had."""

import contextlib
import difflib
import json
import logging
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time

from mdnn.errors import MdnnError

PATIENCE = 20.0
"""Seconds without a sign of life after which a download is given up."""


@contextlib.contextmanager
def open_set(name, data_dir=None, check=None):
    """A context with a TFDS set on disk; downloads and prepares the set if it is not there.

    Within the context TFDS keeps its warnings to itself.

    Args:
        name: String, as `tfds.load` takes it: `NAME`, `NAME/CONFIG` or `NAME:VERSION`.
        data_dir: Folder of prepared sets; `None` for TFDS' own, which the environment
            variable `TFDS_DATA_DIR` sets.
        check: Function of the module `tensorflow_datasets`, the name and the set's features,
            called before the set is downloaded; raises an error for features of no use.

    Yields:
        `(tensorflow_datasets, builder)`.

    Raises:
        MdnnError: If TFDS is not installed, there is no such set, or it is not on disk and
            cannot be downloaded. The last takes no longer than about half a minute without a
            network.
    """
    # the variable as it is now: TFDS reads it only when it is imported
    data_dir = data_dir or os.environ.get("TFDS_DATA_DIR")
    options = {"data_dir": os.path.expanduser(data_dir)} if data_dir else {}
    with _quiet():
        tfds = _import_tfds(name)
        builder = _builder(tfds, name, options)
        if check is not None:
            check(tfds, name, builder.info.features)
        if not builder.is_prepared():
            _prepare(name, builder)
            builder = _builder(tfds, name, options)
        yield tfds, builder


def examples(tfds, builder, split):
    """Returns an iterator of a split's examples as numpy values, in the set's own order."""
    _leave_the_accelerator()
    return iter(tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False)))


def _import_tfds(name):
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise MdnnError(
            f"tfds:{name} needs TensorFlow Datasets ({error}): pip install 'mdnn[tfds]'"
        ) from None
    return tfds


@contextlib.contextmanager
def _quiet():
    """Keeps TFDS' warnings about sets that are not there yet off the terminal.

    Records of this thread alone are left out: the logger is the caller's.
    """
    logger, thread = logging.getLogger("absl"), threading.get_ident()

    def told(record):
        return record.levelno >= logging.ERROR or record.thread != thread

    logger.addFilter(told)
    try:
        yield
    finally:
        logger.removeFilter(told)


def _builder(tfds, name, options):
    """Returns the set's builder; asks no network."""
    # TFDS would take a namespace, too ("huggingface:NAME"), and look it up in the network.
    if not re.fullmatch(r"\w+(/[\w.-]+)?(:[\d.*]+)?", name):
        raise MdnnError(
            f"expected tfds:NAME, tfds:NAME/CONFIG or tfds:NAME:VERSION; received 'tfds:{name}'"
        )
    try:
        return tfds.builder(name, **options)
    except Exception as error:
        if type(error).__name__ != "DatasetNotFoundError":
            reason = re.sub(r'^Failed to construct .*builder_kwargs "{.*}": ', "", str(error))
            raise MdnnError(f"TFDS cannot open {name!r}: {_first_line(reason)}") from None
        known = re.findall(r"^\s*- (\w+)$", str(error), re.MULTILINE)
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean 'tfds:{near[0]}'?" if near else ""
        raise MdnnError(f"TFDS knows no set {name!r}{hint}") from None


def _first_line(message):
    """Returns a message's first line that says something, at most 200 characters."""
    return next((line.strip() for line in message.splitlines() if line.strip()), "")[:200]


def _prepare(name, builder):
    """Downloads and prepares a set in a process of its own, which can be given up."""
    root = pathlib.Path(builder.data_dir_root)
    folders = (root / "downloads", root / builder.name)
    before, there = _paths(folders), root.is_dir()
    program = pathlib.Path(__file__).with_name("tfds_prepare.py")
    # -P: the modules beside the program are not to be found by their bare names
    process = subprocess.Popen(
        [sys.executable, "-P", str(program), name, str(root)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    done = False
    try:
        reason = _wait(process, folders, PATIENCE, f"tfds:{name}: downloading into {root}")
        done = not reason
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
        if not done:
            _remove_unfinished(_paths(folders) - before, root / builder.name)
            if not there:
                with contextlib.suppress(OSError):
                    root.rmdir()
    if not done:
        raise MdnnError(
            f"tfds:{name} is not in {str(root)!r} and could not be prepared ({reason}); where "
            f'there is a network run python -c "import tensorflow_datasets as t; '
            f"t.load({name!r}, data_dir='sets')\" and copy sets/{builder.name} into that folder"
        )


def _wait(process, folders, patience, notice):
    """Waits for the program; returns what went wrong, or an empty string.

    Bytes written below the folders and processor time are signs of life: a slow download goes
    on as long as it takes, one that hangs is given up after `patience` seconds. The notice is
    printed once something has come.
    """
    life, since = _signs_of_life(process, folders), time.monotonic()
    size = life[0]
    while True:
        try:
            output, _ = process.communicate(timeout=0.5)
        except subprocess.TimeoutExpired:
            now = _signs_of_life(process, folders)
            if notice and now[0] > size + 2**20:
                print(notice, file=sys.stderr)
                notice = None
            if now != life:
                life, since = now, time.monotonic()
            elif time.monotonic() - since > patience:
                return f"no answer for {patience:g} s"
            continue
        if process.returncode == 0:
            return ""
        try:
            return json.loads(output.splitlines()[-1])["error"]
        except (ValueError, IndexError, KeyError, TypeError):
            return f"the program that prepares it ended with status {process.returncode}"


def _signs_of_life(process, folders):
    """Returns what changes while a set is downloaded or prepared: bytes and processor time."""
    import psutil  # TFDS needs it, too

    size = 0
    for path in _paths(folders):
        with contextlib.suppress(OSError):
            if path.is_file():
                size += path.stat().st_size
    seconds = 0.0
    with contextlib.suppress(psutil.Error):
        seconds = sum(psutil.Process(process.pid).cpu_times()[:2])
    # Waiting costs a little processor time, too: full seconds only.
    return size, int(seconds)


def _paths(folders):
    """Returns everything below the folders, and the folders themselves where they exist."""
    paths = set()
    for folder in folders:
        if folder.is_dir():
            paths.add(folder)
            with contextlib.suppress(OSError):
                paths.update(folder.rglob("*"))
    return paths


def _remove_unfinished(paths, folder):
    """Removes what a download that failed has left: parts of files, and empty folders.

    Files that came whole stay: TFDS takes them the next time. `folder` is the set's own.
    """
    for path in sorted(paths, key=lambda path: len(path.parts), reverse=True):
        if ".tmp." in path.name or "incomplete" in path.name:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        elif path.is_dir():
            with contextlib.suppress(OSError):
                path.rmdir()
    # TFDS writes down where a set came from before there is one.
    if folder.is_dir() and all(".config" in path.parts for path in folder.rglob("*")):
        shutil.rmtree(folder, ignore_errors=True)


def _leave_the_accelerator():
    """Keeps TensorFlow, which only reads here, from taking the memory another backend needs."""
    import keras
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        # refused once TensorFlow has started: then it has taken what it takes
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
