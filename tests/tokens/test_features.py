"""The integers of a token."""

from mdnn.tokens import features as units


def test_a_row_has_eight_named_columns():
    assert units.NUM_FEATURES == len(units.TOKEN_FEATURES) == 8
    assert units.TOKEN_FEATURES[units.MODALITY] == "modality"
    assert units.TOKEN_FEATURES[units.BYTES] == ("byte_1", "byte_2", "byte_3")
    assert units.TOKEN_FEATURES[units.COORDINATES] == ("place_1", "place_2", "place_3")
    assert units.TOKEN_FEATURES[units.ITEM] == "item"
