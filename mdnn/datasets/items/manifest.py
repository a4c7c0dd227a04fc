"""A manifest: JSON lines that say which files and texts belong together, in which order."""

import os
import pathlib
import stat

from mdnn.datasets.items.example import ORDERS, ByteBudget, FileItem
from mdnn.datasets.items.manifest_lines import ManifestLines, decoded
from mdnn.datasets.items.train_validation_split import SPLITS, SourceExample, SourcePart
from mdnn.datasets.text.text_sources import TFDS
from mdnn.errors import MdnnError, did_you_mean, shown
from mdnn.file_systems import as_path
from mdnn.strict_json import parse_json
from mdnn.tokens.items import Item, accepted_item, check_kind
from mdnn.tokens.modalities import item_kinds, modality
from mdnn.tokens.modalities.text_modality import checked_text

MAX_BYTES = 1 << 28
"""Bytes that a manifest may have."""

_LINE_KEYS = ("items", "split", "name", "order", "convert")
_PART_KEYS = ("label", "split", "convert")


def read_manifest(path, rate=None, kinds=None, convert=False, encoding="utf-8"):
    """Returns the lines of a manifest; its files are looked for and not yet read.

    Each line is a JSON object: `"items"`, a list of parts in their order, and optionally
    `"split"`, `"train"` or `"validation"`, `"name"`, `"order"`, the line's own order whatever
    `data.order` says (see `mdnn.datasets.items.example.Example.draw`), and `"convert"`, whether its
    files are converted where that loses something, whatever `data.convert` says (see
    `mdnn.datasets.media.media_files.read_item`). A part is an object with one of

    - `"text"`: a text,
    - `"text_file"`: a `.txt` file,
    - `"image"`: a picture file (`mdnn.datasets.media.suffixes.PICTURES`),
    - `"audio"`: a sound file (`mdnn.datasets.media.suffixes.SOUNDS`), also
      where the network has sounds as grids,
    - `"video"`: a list of picture files, the film's frames, or one animated picture,
    - the `inline_key` or `file_key` of a registered modality (`mdnn.tokens.modalities`),

    or a list of such, of which one is drawn each time; `"image"`, `"audio"` or `"video"` may
    also be `"tfds:NAME"`: all of that kind in a TFDS set, or those of one `"label"` (a number or
    the label's name). A part with a `"split"` is there on that side only; its own `"convert"` goes
    before the line's. Paths are relative to the manifest's folder and stay within it. Empty lines
    count for nothing.

    Args:
        path: path of the manifest, UTF-8.
        rate: int, samples per second that sounds are resampled to; `None`: their own.
        kinds: tuple of the kinds of items that are taken; `None`: all.
        convert: bool, as `mdnn.datasets.media.media_files.read_item` takes it.
        encoding: str, the encoding of `.txt` files; the manifest itself is UTF-8.

    Returns:
        Sequence of `SourceExample`, a `mdnn.datasets.items.manifest_lines.ManifestLines`.

    Raises:
        MdnnError: the manifest cannot be read or has no line, and for a line that is not such an
            object or names a file that is missing or outside the folder; it names file and line.

    Example:

    >>> {"items": [{"text": "seven"}, {"image": ["a.png", "b.png"]}], "split": "train"}
    """
    path = as_path(path, "manifest")
    # looked at without reading: a pipe would wait for ever
    if path.exists() and not path.is_file():
        raise MdnnError(f"cannot read {str(path)!r}: it is not a file")
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise MdnnError(
                f"{str(path)!r}: expected at most {MAX_BYTES:,} bytes, received {size:,}"
            )
        folder = os.path.realpath(path.parent, strict=True)
        reader = _ManifestReader(path, folder, rate, kinds, convert, encoding)
        # only line feeds end a line: JSON's strings may hold Unicode's other separators
        lines = ManifestLines(path.read_bytes(), reader.read)
        reader.checked = True
    except OSError as error:
        raise MdnnError(f"cannot read {str(path)!r}: {error.strerror}") from None
    if not lines:
        raise MdnnError(f"{str(path)!r} is empty: expected a JSON object on each line")
    return lines


class _ManifestReader:
    """Turns a manifest's JSON objects into lines.

    Args:
        manifest: path of the manifest.
        folder: str, the manifest's folder, without links.
        rate, kinds, convert, encoding: As `read_manifest` takes them.
    """

    def __init__(self, manifest, folder, rate, kinds, convert, encoding):
        self.manifest = manifest
        self.folder = folder
        # whether all lines were read: their files are there
        self.checked = False
        self.room = ByteBudget()
        self.rate = rate
        self.kinds = kinds
        self.convert = convert
        self.encoding = encoding
        # the label in error messages of the items of the line that is being read
        self.called = ""
        # TFDS sets that were read, by name
        self.sets = {}

    def read(self, line, number):
        """Returns the `SourceExample` of a line, bytes; `None` for an empty line."""
        text = decoded(line, self.manifest, number)
        where = f"{self.manifest}:{number}"
        return self.line(parse_json(text, where), where) if text else None

    def line(self, table, where):
        """Returns the `SourceExample` of an object."""
        if not isinstance(table, dict):
            raise MdnnError(
                f'{where}: expected an object such as {{"items": [...]}}, received {shown(table)}'
            )
        _check_keys(table, _LINE_KEYS, where)
        items = table.get("items")
        if not isinstance(items, list) or not items:
            received = shown(items) if "items" in table else "none"
            raise MdnnError(f"{where}: items: expected a list of parts, received {received}")
        name = table.get("name", "")
        if not isinstance(name, str):
            raise MdnnError(f"{where}: name: expected a string, received {shown(name)}")
        side = _split(table, f"{where}: split")
        order = table.get("order")
        if "order" in table and order not in ORDERS:
            raise MdnnError(
                f"{where}: order: expected {', '.join(ORDERS)}, received {shown(order)}"
            )
        # one string for the line and all its texts: a manifest may have millions
        self.called = f"{where} {name}".rstrip()
        convert = _boolean(table, "convert", self.convert, where)
        parts = []
        for number, part in enumerate(items, 1):
            here = f"{where}: item {number}"
            parts.append(self.part(part, here, convert))
            if side is not None and parts[-1].split not in (None, side):
                raise MdnnError(
                    f"{here}: split: expected {side!r} as the line has it, received "
                    f"{parts[-1].split!r}"
                )
        return SourceExample(tuple(parts), self.called, side, order)

    def part(self, table, where, convert):
        """Returns the `SourcePart` of an object; `convert` is the line's."""
        keys = _value_keys()
        present = [key for key in keys if key in table] if isinstance(table, dict) else []
        if isinstance(table, dict):
            _check_keys(table, (*keys, *_PART_KEYS), where)
        if len(present) != 1:
            received = " and ".join(present) if present else shown(table)
            raise MdnnError(
                f"{where}: expected an object with one of {', '.join(keys)}, received {received}"
            )
        key, value = present[0], table[present[0]]
        form = keys[key]
        where = f"{where}: {key}"
        convert = _boolean(table, "convert", convert, where.rsplit(":", 1)[0])
        # whether a picture is grey shows when it is read
        if form.key not in [modality(name).key for name in self.kinds or (form.key,)]:
            check_kind(form.key, self.kinds, where)
        split = _split(table, f"{where}: split")
        if isinstance(value, str) and value.startswith(TFDS) and form.inline_key is None:
            return self.set(form.key, value, table.get("label"), split, where)
        if "label" in table:
            raise MdnnError(f"{where}: a label needs {TFDS}NAME, received {shown(value)}")
        inline = key == form.inline_key
        # A film's pictures, or numbers: one entry is a list, several are a list of lists.
        lists = form.list_entries and isinstance(value, list) and value
        if lists and not isinstance(value[0], list):
            value = [value]
        values = value if isinstance(value, list) else [value]
        if not values:
            raise MdnnError(f"{where}: expected at least one, received []")
        entries, seen = [], set()
        options = (self.rate, self.kinds, convert, self.encoding, self.room)
        for one in values:
            if inline:
                entry = Item(form.name, form.inline(one, where), name=self.called)
                paths = str(one)
            else:
                paths = self.paths(one, form, where)
                entry = FileItem(form.key, paths, *options)
            if paths in seen:
                raise MdnnError(f"{where}: {shown(one)} occurs twice")
            seen.add(paths)
            entries.append(entry)
        return SourcePart(tuple(entries), split)

    def paths(self, entry, form, where):
        """Returns the paths of an entry's files, a tuple; several for a film's pictures."""
        if not form.list_entries:
            return (self.path(entry, form.read_suffixes, where),)
        names = [entry] if isinstance(entry, str) else entry
        if not isinstance(names, list) or not names:
            raise MdnnError(
                f"{where}: expected a film's pictures, a list of paths, received {shown(entry)}"
            )
        return tuple(self.path(name, form.read_suffixes, where) for name in names)

    def path(self, name, suffixes, where):
        """Returns the path of a file, which must be a file within the folder."""
        text = checked_text(name, where)
        if not text.lower().endswith(suffixes):
            raise MdnnError(
                f"{where}: expected a file {' '.join(suffixes)}, received {shown(text)}"
            )
        outside = f"{where}: {shown(text)} is outside the manifest's folder"
        if os.path.isabs(text) or ".." in pathlib.PurePath(text).parts:
            raise MdnnError(outside)
        path = os.path.normpath(os.path.join(self.folder, text))
        if self.checked:
            return path
        # looked at without reading: a pipe would wait for ever
        try:
            target = os.path.realpath(path, strict=True)
            is_file = stat.S_ISREG(os.stat(target).st_mode)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise MdnnError(f"{where}: no file {shown(text)} in the folder: {reason}") from None
        if os.path.commonpath((self.folder, target)) != self.folder:
            raise MdnnError(f"{outside}: it is a link to {target!r}")
        if not is_file:
            raise MdnnError(f"{where}: {shown(text)} is not a file")
        return path

    def set(self, kind, source, label, split, where):
        """Returns the part of a TFDS set's items of one kind."""
        # imported late: TensorFlow takes seconds to import
        from mdnn.datasets.tfds.tfds_items import read_items

        try:
            if source not in self.sets:
                self.sets[source] = read_items(source[len(TFDS) :], self.rate)
            entries, splits = self.sets[source].of(kind, label)
            entries = tuple(accepted_item(entry, self.kinds) for entry in entries)
            for entry in entries:
                check_kind(entry.kind, self.kinds, entry.name)
        except MdnnError as error:
            raise MdnnError(f"{where}: {error}") from None
        return SourcePart(entries, split, splits if any(splits) else None)


def _value_keys():
    """Returns the keys under which a part has its values, a dict to the modalities of these."""
    keys = {}
    for form in map(modality, item_kinds()):
        if form.inline_key is not None:
            keys.setdefault(form.inline_key, form)
        if form.read_suffixes:
            keys.setdefault(form.file_key, form)
    return keys


def _check_keys(table, known, where):
    """Refuses a key that is not known, and offers the nearest."""
    for key in table:
        if key not in known:
            hint = did_you_mean(key, known) or f"; known: {', '.join(known)}"
            raise MdnnError(f"{where}: unknown key {shown(key)}{hint}")


def _split(table, where):
    """Returns an object's side, or `None`."""
    split = table.get("split")
    if "split" in table and split not in SPLITS:
        raise MdnnError(f"{where}: expected {' or '.join(SPLITS)}, received {shown(split)}")
    return split


def _boolean(table, key, default, where):
    """Returns the boolean of a key, or a default."""
    value = table.get(key, default)
    if not isinstance(value, bool):
        raise MdnnError(f"{where}: {key}: expected true or false, received {shown(value)}")
    return value
