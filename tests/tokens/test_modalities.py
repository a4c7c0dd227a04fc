"""The registry of modalities."""

import importlib.metadata

import numpy as np
import pytest

from mdnn.errors import MdnnError
from mdnn.tokens import modalities
from mdnn.tokens.items import Item, as_item
from mdnn.tokens.modalities import (
    MAX_MODALITIES,
    MODALITIES,
    ItemModality,
    Modality,
    item_kinds,
    item_modalities,
    kinds_of,
    modality,
    modality_at,
    register_modality,
)

BUILT_IN = {"padding", "text", "word", "image", "grey", "video", "grey_video", "audio"}
BUILT_IN |= {"blank", "end", "symbol", "subword", "weather", "spectrum"}


@pytest.fixture(autouse=True)
def table(monkeypatch):
    """The registry as it is after the test."""
    monkeypatch.setattr(
        modalities.modality_registry, "MODALITIES", dict(modalities.modality_registry.MODALITIES)
    )


def test_numbers_and_names_are_unique():
    rows = list(MODALITIES.values())
    assert [row.name for row in rows] == list(MODALITIES)
    assert [row.index for row in rows][:11] == list(range(11))
    assert len({row.index for row in rows}) == len(rows) <= MAX_MODALITIES
    assert all(len(row.bytes) <= 3 and len(row.coordinates) <= 3 for row in rows)
    assert set(MODALITIES) <= BUILT_IN


def test_known_modalities():
    assert modality("padding") == Modality("padding", 0)
    assert modality("text").bytes == (17, 256, 256)
    assert modality("word").bytes == (256, 256)
    assert modality_at(7) is modality("audio")
    assert modality_at(13) is None
    assert modality_at(14) is modality("spectrum")
    assert modality_at(15) is modality("subword")
    assert modality("text").whole_values == 17 * 65_536
    assert modality("audio").whole_values == 65_536


def test_kinds_of_items():
    assert item_modalities()[:3] == ("text", "word", "image")
    assert item_kinds()[:6] == ("text", "image", "grey", "video", "grey_video", "audio")
    assert kinds_of(("text", "word", "grey", "end")) == ("text", "grey")


def test_unknown_modality_names_the_known_ones():
    with pytest.raises(
        MdnnError, match=r"unknown modality 'txt' \(did you mean 'text'\?\); known: "
    ):
        modality("txt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Note", 12), "expected a name of lower-case letters, received 'Note'"),
        (("note", 16), "'note': expected a number from 0 to 15, received 16"),
        (("note", 7), "'note': 'audio' with the number 7 is already registered"),
        (("audio", 12), "'audio': 'audio' with the number 7 is already registered"),
        (("seed", 12), "'seed': the name is reserved for an input of SavedModels"),
        (("note", 12, (2, 2, 2, 2)), "at most three bytes and three coordinates"),
        (("note", 12, (257,)), r"expected 2 to 256 values of each byte, received \[257\]"),
    ],
)
def test_what_cannot_be_registered_is_refused(arguments, message):
    with pytest.raises(MdnnError, match=message):
        register_modality(Modality(*arguments))


def test_a_modality_is_registered_once():
    note = Modality("note", 12, (128,), ("offset",))
    assert register_modality(note) is note
    assert register_modality(Modality("note", 12, (128,), ("offset",))) is not None
    assert modality("note") is note


def test_a_package_offers_a_modality_by_an_entry_point(monkeypatch):
    class Entry:
        def load(self):
            register_modality(ItemModality("note", 12, (128,), ("offset",)))

    asked = []

    def entry_points(**group):
        asked.append(group)
        return [Entry()]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    assert modality("note").kind == "note"
    assert asked == [{"group": "mdnn.modalities", "name": "note"}]


def test_a_modality_without_files_says_so():
    note = register_modality(ItemModality("note", 12, (128,), ("offset",)))
    with pytest.raises(MdnnError, match="items of the kind note are not written to files"):
        note.encode(None)
    with pytest.raises(MdnnError, match=r"a\.note: items of the kind note are not read from files"):
        note.read("a.note", None)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("a", "text"),
        (np.zeros((2, 3), "uint8"), "grey"),
        (np.zeros((2, 3, 3), "uint8"), "image"),
        (np.zeros((2, 3, 3, 3), "uint8"), "video"),
        (np.zeros(2, "int16"), "audio"),
    ],
)
def test_the_kind_of_a_value(value, kind):
    item = as_item(value)
    assert item.kind == kind
    assert modality(kind).token_shape(value) == np.shape(value)[
        : len(modality(kind).coordinates)
    ] or (kind == "text")


def test_an_item_of_an_unknown_kind_is_refused():
    with pytest.raises(MdnnError, match=r"unknown kind 'vidio' \(did you mean 'video'\?\)"):
        Item("vidio", "a")
