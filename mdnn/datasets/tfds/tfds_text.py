"""Text sets of TensorFlow Datasets (TFDS)."""

import numpy as np

from mdnn.datasets.tfds.tfds_sets import examples, open_set
from mdnn.errors import MdnnError

SPLITS = ("train", "validation", "test")
"""Splits that are read, in this order; a set with none of them gives all its splits."""


def read_tfds(name, data_dir=None):
    """Returns the text of a TFDS set; downloads and prepares the set if it is not on disk.

    The examples' text feature is read: the one named "text", or else the first of type `Text`,
    or else the first string. Splits come in the order train, validation, test. A set whose
    splits hold one example each is one text cut into splits (`tiny_shakespeare`): its parts
    are put together again with nothing between. All other examples are joined by empty lines.

    Args:
        name: str, as `tfds.load` takes it: `NAME`, `NAME/CONFIG` or `NAME:VERSION`.
        data_dir: Folder of prepared sets; `None` for TFDS' own, which the environment
            variable `TFDS_DATA_DIR` sets.

    Returns:
        str.

    Raises:
        MdnnError: TFDS is not installed, there is no such set, it has no text, or it is
            not on disk and cannot be downloaded. The last takes no longer than about half a
            minute without a network.
    """
    with open_set(name, data_dir, check=_text_feature) as (tfds, builder):
        key = _text_feature(tfds, name, builder.info.features)
        return _read(tfds, name, builder, key)


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
    texts = []
    for number, example in enumerate(examples(tfds, builder, split)):
        raw = example if key is None else example[key]
        try:
            texts.append(raw.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise MdnnError(
                f"tfds:{name}: example {number} of split {split!r} is not UTF-8 text: byte "
                f"0x{raw[error.start]:02x} at offset {error.start}"
            ) from None
    return texts
