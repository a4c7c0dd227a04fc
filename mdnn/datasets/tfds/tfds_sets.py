"""Opens sets of TensorFlow Datasets (TFDS); raises one clear line if that is impossible."""

import contextlib
import logging
import os
import re
import sys
import threading
import urllib.error
import urllib.request

from mdnn.errors import MdnnError, did_you_mean
from mdnn.runtime import quiet_logger

PATIENCE = 20.0
"""Seconds after which a server that does not answer counts as out of reach."""


@contextlib.contextmanager
def open_set(name, data_dir=None, check=None):
    """A context with a TFDS set on disk; downloads and prepares the set if it is not there.

    Within the context TFDS keeps its warnings to itself.

    Args:
        name: str, as `tfds.load` takes it: `NAME`, `NAME/CONFIG` or `NAME:VERSION`.
        data_dir: Folder of prepared sets; `None` for TFDS' own, which the environment
            variable `TFDS_DATA_DIR` sets.
        check: function of the module `tensorflow_datasets`, the name and the set's features,
            called before the set is downloaded; raises an error for features of no use.

    Yields:
        `(tensorflow_datasets, builder)`.

    Raises:
        MdnnError: TFDS is not installed, there is no such set, or it is not on disk and
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
    """Returns an iterator of a split's examples as numpy values, in the set's own order.

    Args:
        tfds: the module `tensorflow_datasets`.
        builder: the set's builder.
        split: str, the name of the split.
    """
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


def _quiet():
    """Keeps TFDS' warnings about sets that are not there yet off the terminal."""
    return quiet_logger("absl", logging.ERROR)


def _builder(tfds, name, options):
    """Returns the set's builder without network access."""
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
        hint = did_you_mean(name, known, 0.6, {each: f"tfds:{each}" for each in known})
        raise MdnnError(f"TFDS has no set {name!r}{hint}") from None


def _first_line(message):
    """Returns a message's first informative line, at most 200 characters."""
    return next((line.strip() for line in message.splitlines() if line.strip()), "")[:200]


def _prepare(name, builder):
    """Downloads and prepares a set, after checking that there is a network."""
    _leave_the_accelerator()
    root = builder.data_dir_root
    reason = _unreachable(next(iter(builder.url_infos or ()), None))
    if not reason:
        try:
            # TFDS says what it does on standard output, which is for results.
            with contextlib.redirect_stdout(sys.stderr):
                builder.download_and_prepare()
            return
        except Exception as error:  # sets raise whatever they like
            reason = _first_error(error)
    raise MdnnError(
        f"tfds:{name} is not in {str(root)!r} and could not be prepared ({reason}); where "
        f'there is a network run python -c "import tensorflow_datasets as t; '
        f"t.load({name!r}, data_dir='sets')\" and copy sets/{builder.name} into that folder"
    )


def _unreachable(url):
    """Returns why the server of a set's first file cannot be reached, or `None`.

    TFDS itself would try for minutes.
    """
    if url is None:
        return None
    reasons = [f"no answer for {PATIENCE:g} s"]

    def ask():
        try:
            request = urllib.request.Request(url, method="HEAD")
            # A new opener: the usual one keeps the proxies of its first use.
            with urllib.request.build_opener().open(request, timeout=PATIENCE):
                reasons.append(None)
        except urllib.error.HTTPError:
            reasons.append(None)  # an answer, whatever it says
        except (OSError, ValueError) as error:
            reasons.append(f"{getattr(error, 'reason', error)}")

    # Looking up a name takes as long as the system likes.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return reasons[-1]


def _first_error(error):
    """Returns the first line of the error at the beginning of a chain of errors."""
    seen = []
    while error is not None and error not in seen:
        seen.append(error)
        error = error.__cause__ or error.__context__
    line = _first_line(str(seen[-1]))
    return f"{type(seen[-1]).__name__}: {line}" if line else type(seen[-1]).__name__


def _leave_the_accelerator():
    """Keeps TensorFlow, which only reads here, from taking the memory another backend needs."""
    import keras
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        # refused once TensorFlow has started: then it has taken what it takes
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
