"""Text sets of TensorFlow Datasets (TFDS), with one clear line where they cannot be had."""

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
import time

import numpy as np

from mdnn.errors import MdnnError

PATIENCE = 20.0
"""Seconds without a sign of life after which a download is given up."""

SPLITS = ("train", "validation", "test")
"""Splits that are read, in this order; a set with none of them gives all its splits."""


def read_tfds(name, data_dir=None):
    """Returns the text of a TFDS set; downloads and prepares the set if it is not on disk.

    The examples' text feature is read: the one named "text", or else the first of type `Text`,
    or else the first string. Splits come in the order train, validation, test. A set whose
    splits hold one example each is one text cut into splits (`tiny_shakespeare`): its parts
    are put together again with nothing between. All other examples are joined by empty lines.

    Args:
        name: String, as `tfds.load` takes it: `NAME`, `NAME/CONFIG` or `NAME:VERSION`.
        data_dir: Folder of prepared sets; `None` for TFDS' own, which the environment
            variable `TFDS_DATA_DIR` sets.

    Returns:
        String.

    Raises:
        MdnnError: If TFDS is not installed, there is no such set, it has no text, or it is
            not on disk and cannot be downloaded. The last takes no longer than about half a
            minute without a network.
    """
    # the variable as it is now: TFDS reads it only when it is imported
    data_dir = data_dir or os.environ.get("TFDS_DATA_DIR")
    options = {"data_dir": os.path.expanduser(data_dir)} if data_dir else {}
    with _quiet():
        tfds = _import_tfds(name)
        builder = _builder(tfds, name, options)
        key = _text_feature(tfds, name, builder.info.features)
        if not builder.is_prepared():
            _prepare(name, builder)
            builder = _builder(tfds, name, options)
        return _read(tfds, name, builder, key)


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
    """Keeps TFDS' warnings about sets that are not there yet off the terminal."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


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


def _read(tfds, name, builder, key):
    """Returns the text of a prepared set's feature."""
    available = [split for split in SPLITS if split in builder.info.splits]
    parts = [
        _examples(tfds, name, builder, split, key)
        for split in available or sorted(builder.info.splits)
    ]
    between = "" if all(len(part) == 1 for part in parts) else "\n\n"
    return between.join(text for part in parts for text in part)


def _text_feature(tfds, name, features):
    """Returns the key of the feature to read; `None` if an example is the text itself."""
    is_text = tfds.features.Text
    if isinstance(features, is_text):
        return None
    keys = list(features) if hasattr(features, "keys") else []
    texts = [key for key in keys if isinstance(features[key], is_text)]
    strings = [
        key
        for key in keys
        if features[key].shape == () and np.dtype(features[key].np_dtype) == np.dtype(object)
    ]
    for key in (*(key for key in texts if key == "text"), *texts, *strings):
        return key
    raise MdnnError(f"tfds:{name} has no text; its features are: {', '.join(keys) or features}")


def _examples(tfds, name, builder, split, key):
    """Returns the texts of a split's examples, in the set's own order."""
    _leave_the_accelerator()
    texts = []
    dataset = builder.as_dataset(split=split, shuffle_files=False)
    for number, example in enumerate(tfds.as_numpy(dataset)):
        raw = example if key is None else example[key]
        try:
            texts.append(raw.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise MdnnError(
                f"tfds:{name}: example {number} of split {split!r} is not UTF-8 text: byte "
                f"0x{raw[error.start]:02x} at offset {error.start}"
            ) from None
    return texts


def _leave_the_accelerator():
    """Keeps TensorFlow, which only reads here, from taking the memory another backend needs."""
    import keras
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        # refused once TensorFlow has started: then it has taken what it takes
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
