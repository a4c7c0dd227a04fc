"""Items of TensorFlow Datasets (TFDS): pictures, films, sounds and texts of a set by its name."""

import numpy as np

from mdnn.datasets.items.item_store import item_writer
from mdnn.datasets.tfds.item_set import ItemSet, SetExamples, SetLines
from mdnn.datasets.tfds.tfds_sets import examples, open_set
from mdnn.errors import MdnnError
from mdnn.tokens.items import Item, pixel_item

# sides of TFDS' own splits; other splits are left out where there is a "train"
_SIDES = {"train": "train", "validation": "validation", "test": "validation"}


def example_lines(name, rate=None, data_dir=None, take=None):
    """Returns a TFDS set as lines, one for each example.

    The words come first: the name of the example's label, or its text where the set has no
    label or nothing else; then its pictures, films and sounds.

    Args:
        name: str, as `tfds.load` takes it.
        rate: int, samples per second that sounds are resampled to; `None`: their own.
        data_dir: Folder of prepared sets; `None`: TFDS' own.
        take: function of a line that returns the line to take; `None`: as it is.

    Returns:
        `SetLines`, with the sides as `read_items` has them.

    Raises:
        MdnnError: as `read_items` does.
    """
    return SetLines(read_items(name, rate, data_dir), take)


def read_items(name, rate=None, data_dir=None):
    """Returns the items of a TFDS set; downloads and prepares the set if it is not on disk.

    Features at the top of the set are read: of type `Image` and `Video` (uint8, one or three
    channels), `Audio` (one channel of 16-bit samples; without a rate of its own it is taken to
    have the network's), and `Text` (the one named "text", or else the first). The label is the
    feature of type `ClassLabel` named "label", or else the first.

    Values are written into a temporary file as they are read and mapped from there (see
    `mdnn.datasets.items.item_store`): memory holds about 80 bytes for each item.

    The set's split "train" trains and "validation", or else "test", validates; a set that has
    no such two splits does not say what validates, and gives all its splits.

    Args:
        name: str, as `tfds.load` takes it: `NAME`, `NAME/CONFIG` or `NAME:VERSION`.
        rate: int, samples per second that sounds are resampled to; `None`: their own.
        data_dir: Folder of prepared sets; `None`: TFDS' own.

    Returns:
        An `ItemSet`.

    Raises:
        MdnnError: the set cannot be opened (as `mdnn.datasets.tfds.tfds_sets.open_set`), has
            nothing that makes an item, or its values cannot be written.
    """
    with open_set(name, data_dir, check=_features) as (tfds, builder):
        features = builder.info.features
        keys, label = _features(tfds, name, features)
        sides = _sides(builder.info.splits)
        called = f"tfds:{name}"
        found = SetExamples(called, sides, keys)
        with item_writer(called) as writer:
            for split in sides:
                for number, example in enumerate(examples(tfds, builder, split)):
                    where = f"{called} {split} {number}"
                    items = {
                        key: _item(kind, example[key], features[key], f"{where} {key}", rate)
                        for key, kind in keys.items()
                    }
                    # a text may be empty, and is then no item
                    items = {key: item for key, item in items.items() if len(item.value)}
                    # -1 stands for no label, as in test splits whose labels are kept back
                    value = -1 if label is None else int(example[label])
                    if items:
                        found.add(writer, split, number, items, value)
            if not len(found):
                raise MdnnError(f"{called} has no example")
            found.finish(writer)
    labels = None if label is None else tuple(features[label].names)
    return ItemSet(name, labels, found)


def _sides(splits):
    """Returns the splits to read, each with the side it is on."""
    held = next((split for split in ("validation", "test") if split in splits), None)
    if "train" in splits and held:
        return {split: _SIDES[split] for split in ("train", held)}
    return dict.fromkeys(sorted(splits))


def _features(tfds, name, features):
    """Returns the features that make items, by their kind, and the label's, if there is one."""
    kinds = tfds.features
    keys = list(features) if hasattr(features, "keys") else []
    found, reasons = {}, []
    for key in keys:
        feature = features[key]
        if isinstance(feature, (kinds.Image, kinds.Video)):
            film = isinstance(feature, kinds.Video)
            shape, dtype = feature.shape, np.dtype(feature.np_dtype)
            if dtype == np.uint8 and shape[-1] in (1, 3):
                found[key] = "video" if film else "image"
            else:
                reasons.append(f"{key}: {dtype} {list(shape)}")
        elif isinstance(feature, kinds.Audio):
            if len(feature.shape) == 1 and np.issubdtype(feature.np_dtype, np.integer):
                found[key] = "audio"
            else:
                reasons.append(f"{key}: {np.dtype(feature.np_dtype)} {list(feature.shape)}")
    texts = [key for key in keys if isinstance(features[key], kinds.Text)]
    if texts and (not found or "text" in texts or "caption" in texts):
        found[next((key for key in ("text", "caption") if key in texts), texts[0])] = "text"
    if not found:
        raise MdnnError(
            f"tfds:{name}: expected pictures or films (uint8, 1 or 3 channels), sounds (whole "
            "numbers, 1 channel) or texts, received "
            f"{'; '.join(reasons) or 'features ' + ', '.join(keys) or features}"
        )
    labels = [
        key
        for key in keys
        # without names its classes are numbers
        if isinstance(features[key], kinds.ClassLabel) and features[key].num_classes
    ]
    label = next((key for key in labels if key == "label"), labels[0] if labels else None)
    return found, label


def _item(kind, value, feature, name, rate):
    """Returns the item of a feature's value."""
    if kind == "text":
        try:
            return Item("text", value.decode("utf-8"), name=name)
        except UnicodeDecodeError as error:
            raise MdnnError(
                f"{name} is not UTF-8 text: byte 0x{value[error.start]:02x} at offset {error.start}"
            ) from None
    if kind == "audio":
        return _sound(value, feature, name, rate)
    return pixel_item(value, name)


def _sound(value, feature, name, rate):
    limits = np.iinfo(np.int16)
    if value.size and not limits.min <= value.min() <= value.max() <= limits.max:
        raise MdnnError(f"{name}: expected 16-bit samples, received {value.min()} to {value.max()}")
    samples, own = value.astype(np.int16), feature.sample_rate
    item = Item("audio", samples, own or rate, name)
    if own and rate and own != rate:
        # imported late: most sets need no resampling
        from mdnn.datasets.media.media_files import resample

        item = Item("audio", resample(samples, own, rate), rate, name)
    return item
