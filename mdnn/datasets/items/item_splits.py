"""Sources of items: the digits inside scikit-learn, a folder with a manifest, a TFDS set."""

import collections.abc
import dataclasses
import functools
import os
import pathlib
from dataclasses import dataclass

from mdnn.datasets.items.digits import digit_lines
from mdnn.datasets.items.example import Example, FileItem, load_item
from mdnn.datasets.items.manifest import read_manifest
from mdnn.datasets.items.train_validation_split import split_lines
from mdnn.datasets.text.text_sources import DIGITS, MANIFEST, PYTHON_DOCS, TFDS
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.tokens.items import accepted_item, check_kind

__all__ = ["DatasetSplits", "Example", "FileItem", "load_item", "open_dataset"]


@dataclass(frozen=True, eq=False)
class DatasetSplits:
    """The training and validation examples of a source.

    Args:
        source: str, the argument of `open_dataset`.
        train: sequence of the training `Example`s.
        validation: sequence of the validation `Example`s: other lines, or the same ones with
            other alternatives (see `mdnn.datasets.items.train_validation_split.split_lines`).
    """

    source: str
    train: collections.abc.Sequence[Example]
    validation: collections.abc.Sequence[Example]

    def contents(self):
        """Yields what was found, for `mdnn.datasets.fingerprint.fingerprint`."""
        for line in self.train.lines:
            for entry in (entry for part in line.parts for entry in part.entries):
                if isinstance(entry, FileItem):
                    yield from map(pathlib.Path, entry.paths)
                else:
                    yield entry.value


def open_dataset(
    source, validation=0.1, seed=0, rate=None, kinds=None, convert=False, encoding="utf-8"
):
    """Opens a source of items and splits it.

    Args:
        source: str or path:

            - `"digits"`: scikit-learn's digits, ten lines: the word, and the 8x8 pictures.
            - a folder with a `manifest.jsonl`, or a `.jsonl` file: see
              `mdnn.datasets.items.manifest.read_manifest`.
            - `"tfds:NAME"`: a TFDS set, each example a line: see
              `mdnn.datasets.tfds.tfds_items.example_lines`.
        validation: float, the share that validates where the source does not say what does.
        seed: int, chooses that share.
        rate: int, samples per second that sounds are resampled to; `None`: their own.
        kinds: Kinds of items (`mdnn.tokens.items`) that are taken, such as a network's
            modalities; an item of another kind is an error. `None`: all.
        convert: bool, whether files are converted where that loses something (see
            `mdnn.datasets.media.media_files.read_item`).
        encoding: str, the encoding of text files.

    Returns:
        A `DatasetSplits`. Files have been looked for, and are read when first needed.

    Raises:
        MdnnError: there is no such source, its manifest is wrong or names a file that is not
            there, or a side of the split has nothing.

    Example:

    >>> splits = open_dataset("digits", validation=0.2, seed=1)
    >>> items, answer = splits.train[7].draw(bits, "any")
    """
    name = os.fspath(source)
    kinds = None if kinds is None else tuple(kinds)
    if name == DIGITS:
        lines = digit_lines()
    elif name.startswith(TFDS):
        # imported late: TensorFlow takes seconds to import
        from mdnn.datasets.tfds.tfds_items import example_lines

        take = None if kinds is None else functools.partial(_of_kinds, kinds=kinds)
        lines = example_lines(name[len(TFDS) :], rate, take=take)
    else:
        lines = read_manifest(_manifest(name), rate, kinds, convert, encoding)
    if kinds is not None and isinstance(lines, list):
        # a manifest and a set look at their own
        lines = [_of_kinds(line, kinds) for line in lines]
    train, held = split_lines(lines, validation, seed, repr(name))
    return DatasetSplits(name, train, held)


def _of_kinds(line, kinds):
    """Returns a line whose items are of accepted kinds; refuses others."""
    parts = []
    for part in line.parts:
        entries = tuple(accepted_item(entry, kinds) for entry in part.entries)
        for entry in entries:
            check_kind(entry.kind, kinds, entry.name or line.name)
        parts.append(dataclasses.replace(part, entries=entries))
    return dataclasses.replace(line, parts=tuple(parts))


def _manifest(name):
    """Returns the path of a source's manifest."""
    expected = f"{DIGITS}, {TFDS}NAME, a folder with a {MANIFEST} or a .jsonl file"
    if not name.strip():
        raise MdnnError(f"expected a source of items: {expected}; received {name!r}")
    path = as_path(name, "source")
    if path.is_dir():
        if not (path / MANIFEST).is_file():
            raise MdnnError(
                f"the folder {name!r} needs a {MANIFEST} that says which of its files belong "
                'together, a line such as {"items": [{"text": "seven"}, {"image": "a.png"}]}'
            )
        return path / MANIFEST
    if path.suffix == ".jsonl" and path.is_file():
        return path
    if name == PYTHON_DOCS or path.is_file():
        raise MdnnError(
            f"expected a source of items: {expected}; {name!r} is a text (layout = 'stream')"
        )
    raise MdnnError(f"expected a source of items: {expected}; received {name!r}")
