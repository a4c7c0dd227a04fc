"""The table of modalities."""

import pytest

from mdnn.errors import MdnnError
from mdnn.tokens import features as units


def test_a_row_has_eight_named_columns():
    assert units.WIDTH == len(units.COLUMNS) == 8
    assert units.COLUMNS[units.MODALITY] == "modality"
    assert units.COLUMNS[units.BYTES] == ("byte_1", "byte_2", "byte_3")
    assert units.COLUMNS[units.PLACES] == ("place_1", "place_2", "place_3")
    assert units.COLUMNS[units.ITEM] == "item"


def test_table_is_in_the_order_of_its_indices_and_names_are_unique():
    assert [row.index for row in units.MODALITIES] == list(range(len(units.MODALITIES)))
    assert len({row.name for row in units.MODALITIES}) == len(units.MODALITIES)
    assert all(len(row.bytes) <= 3 and row.places <= 3 for row in units.MODALITIES)


def test_known_modalities():
    assert units.modality("padding") == units.Modality("padding", 0, (), 0)
    assert units.modality("text").bytes == (17, 256, 256)
    assert units.modality("word").bytes == (256, 256)


def test_unknown_modality_names_the_known_ones():
    with pytest.raises(MdnnError, match=r"unknown modality 'txt'; known: padding, text, word"):
        units.modality("txt")
