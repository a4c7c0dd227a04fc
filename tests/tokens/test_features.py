"""The integers of a token."""

from mdnn.tokens import features as units


def test_a_row_has_eight_named_columns():
    assert units.WIDTH == len(units.COLUMNS) == 8
    assert units.COLUMNS[units.MODALITY] == "modality"
    assert units.COLUMNS[units.BYTES] == ("byte_1", "byte_2", "byte_3")
    assert units.COLUMNS[units.PLACES] == ("place_1", "place_2", "place_3")
    assert units.COLUMNS[units.ITEM] == "item"
