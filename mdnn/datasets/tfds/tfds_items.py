"""Items of TensorFlow Datasets (TFDS): pictures, films, sounds and texts of a set by its name."""

from dataclasses import dataclass

import numpy as np

from mdnn.datasets.items.train_validation_split import SourceExample, SourcePart
from mdnn.datasets.tfds.tfds_sets import examples, open_set
from mdnn.errors import MdnnError, did_you_mean
from mdnn.tokens.items import Item, pixel_item
from mdnn.tokens.modalities import modality

MOST_BYTES = 2**33
"""Bytes of pictures and sounds of one set that are held in memory; more are refused."""

# sides of TFDS' own splits; other splits are left out where there is a "train"
_SIDES = {"train": "train", "validation": "validation", "test": "validation"}


@dataclass(frozen=True, eq=False)
class TfdsExample:
    """One example of a set.

    Args:
        items: Tuple of `Item`, its pictures, films, sounds and texts in the order of the set.
        label: Integer or `None`.
        side: `"train"`, `"validation"` or `None`: the side that the set itself says.
    """

    items: tuple[Item, ...]
    label: int | None
    side: str | None


@dataclass(frozen=True, eq=False)
class ItemSet:
    """The examples of a set.

    Args:
        name: String, the set's.
        labels: Tuple of the labels' names; `None` if the set has no labels.
        examples: List of `TfdsExample`.
    """

    name: str
    labels: tuple[str, ...] | None
    examples: list[TfdsExample]

    def of(self, kind, label=None):
        """Returns the items of a kind and a label.

        Args:
            kind: `"image"`, `"video"`, `"audio"` or `"text"`; grey pictures are `"image"`.
            label: Integer, a label's number, or its name; `None`: all of them.

        Returns:
            `(items, sides)`: tuples, the side each that the set itself says, or `None`.

        Raises:
            MdnnError: If the set has no such label or no such items.
        """
        if label is not None:
            label = self._number(label)
        found = [
            (item, example.side)
            for example in self.examples
            if label is None or example.label == label
            for item in example.items
            if modality(item.kind).key == kind
        ]
        if not found:
            which = "" if label is None else f" with the label {self.labels[label]!r}"
            raise MdnnError(f"tfds:{self.name} has no item of the kind {kind}{which}")
        return tuple(zip(*found, strict=True))

    def _number(self, label):
        if self.labels is None:
            raise MdnnError(f"tfds:{self.name} has no labels; received {label!r}")
        if isinstance(label, str) and label in self.labels:
            return self.labels.index(label)
        if type(label) is int and 0 <= label < len(self.labels):
            return label
        hint = did_you_mean(str(label), self.labels, 0.6)
        raise MdnnError(
            f"tfds:{self.name}: expected a label's name or a number from 0 to "
            f"{len(self.labels) - 1}, received {label!r}{hint}"
        )


def example_lines(name, rate=None, data_dir=None):
    """Returns a TFDS set as lines, one for each example.

    The words come first: the name of the example's label, or its text where the set has no
    label or nothing else; then its pictures, films and sounds.

    Args:
        name: String, as `tfds.load` takes it.
        rate: Integer, samples per second that sounds are resampled to; `None`: their own.
        data_dir: Folder of prepared sets; `None`: TFDS' own.

    Returns:
        List of `SourceExample`, with the sides as `read_items` has them.

    Raises:
        MdnnError: As `read_items` does.
    """
    found = read_items(name, rate, data_dir)
    lines = []
    for example in found.examples:
        texts = [item for item in example.items if item.kind == "text"]
        others = [item for item in example.items if item.kind != "text"]
        where = example.items[0].name
        words = []
        if example.label is not None:
            words = [Item("text", found.labels[example.label], name=f"{where}, its label")]
        if not words or not others:
            words += texts
        parts = tuple(SourcePart((item,)) for item in (*words, *others))
        lines.append(SourceExample(parts, where, example.side))
    return lines


def read_items(name, rate=None, data_dir=None):
    """Returns the items of a TFDS set; downloads and prepares the set if it is not on disk.

    Features at the top of the set are read: of type `Image` and `Video` (uint8, one or three
    channels), `Audio` (one channel of 16-bit samples; without a rate of its own it is taken to
    have the network's), and `Text` (the one named "text", or else the first). The label is the
    feature of type `ClassLabel` named "label", or else the first. All of it is held in memory.

    The set's split "train" trains and "validation", or else "test", validates; a set that has
    no such two splits does not say what validates, and gives all its splits.

    Args:
        name: String, as `tfds.load` takes it: `NAME`, `NAME/CONFIG` or `NAME:VERSION`.
        rate: Integer, samples per second that sounds are resampled to; `None`: their own.
        data_dir: Folder of prepared sets; `None`: TFDS' own.

    Returns:
        An `ItemSet`.

    Raises:
        MdnnError: If the set cannot be had (as `mdnn.datasets.tfds.tfds_sets.open_set`), has
            nothing that makes an item, or is larger than `MOST_BYTES`.
    """
    with open_set(name, data_dir, check=_features) as (tfds, builder):
        features = builder.info.features
        keys, label = _features(tfds, name, features)
        sides = _sides(builder.info.splits)
        found, size = [], 0
        for split, side in sides.items():
            for number, example in enumerate(examples(tfds, builder, split)):
                where = f"tfds:{name} {split} {number}"
                items = []
                for key, kind in keys.items():
                    item = _item(kind, example[key], features[key], f"{where} {key}", rate)
                    size += len(item.value) if kind == "text" else item.value.nbytes
                    items.append(item)
                # a text may be empty, and is then no item
                items = tuple(item for item in items if len(item.value))
                value = -1 if label is None else int(example[label])
                # -1 stands for no label, as in test splits whose labels are kept back
                value = value if value >= 0 else None
                if items:
                    found.append(TfdsExample(items, value, side))
                if size > MOST_BYTES:
                    raise MdnnError(
                        f"tfds:{name} is too large to be held in memory: more than "
                        f"{MOST_BYTES / 2**30:g} GiB"
                    )
    if not found:
        raise MdnnError(f"tfds:{name} has no example")
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
