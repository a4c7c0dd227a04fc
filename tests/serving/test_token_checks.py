"""Token rows that no table has, given to what is served."""

from types import SimpleNamespace

import keras
import numpy as np
import puzzle_networks
import pytest
import tensorflow as tf
import tiny

import mdnn
from mdnn.runs.run_files import write_run
from mdnn.serving.export.exported_network import ExportedNetwork
from mdnn.serving.export.token_checks import validate_tokens
from mdnn.serving.server.served_models import open_served_model

if keras.backend.backend() != "tensorflow":
    pytest.skip("what is served is TensorFlow's", allow_module_level=True)

TEXT, WORD, GREY, AUDIO, BLANK, END = 1, 2, 4, 7, 8, 9
OWN = ("text", "word", "grey", "blank", "end")
WORDS = 300
KNOWN = "modality: expected padding, text, word, grey, blank, end (0, 1, 2, 4, 8, 9), received "


def told(rows, words=WORDS, own=OWN):
    """What is said of the second row of a batch with these first rows; nothing where it is fine."""
    tokens = np.zeros((2, 4, 8), "int32")
    tokens[1, : len(rows)] = rows
    check = tf.function(lambda tokens: validate_tokens(tokens, own, words))
    try:
        np.testing.assert_array_equal(check(tf.constant(tokens)), tokens)
    except tf.errors.InvalidArgumentError as error:
        (line,) = [line for line in error.message.splitlines() if "tokens: " in line]
        return line
    return ""


@pytest.mark.parametrize(
    "row",
    [
        (TEXT, 16, 255, 255, 2**31 - 1, 0, 0, 2**31 - 1),
        (WORD, 0, 255, 0, 0, 0, 0, 0),
        (WORD, 1, 43, 0, 0, 0, 0, 0),
        (GREY, 255, 0, 0, 7, 8, 0, 3),
        (BLANK, 15, 0, 0, 1, 2, 3, 0),
        (END, 7, 0, 0, 0, 0, 0, 0),
    ],
)
def test_rows_of_the_tables(row):
    assert told([row]) == ""


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((10, 0, 0, 0, 0, 0, 0, 0), KNOWN + "10"),
        ((-1, 0, 0, 0, 0, 0, 0, 0), KNOWN + "-1"),
        ((2**31 - 1, 0, 0, 0, 0, 0, 0, 0), KNOWN + "2147483647"),
        # Of mdnn's modalities, but not of the network's.
        ((AUDIO, 999, 0, 0, 0, 0, 0, 0), KNOWN + "7"),
        ((TEXT, 17, 0, 0, 0, 0, 0, 0), "byte_1: expected 0 to 16, received 17"),
        ((TEXT, 0, 0, 256, 0, 0, 0, 0), "byte_3: expected 0 to 255, received 256"),
        ((TEXT, 0, -1, 0, 0, 0, 0, 0), "byte_2: expected 0 to 255, received -1"),
        ((WORD, 2, 0, 0, 0, 0, 0, 0), "byte_1: expected 0 to 1, received 2"),
        ((WORD, 1, 44, 0, 0, 0, 0, 0), "byte_2: expected 0 to 43, received 44"),
        ((GREY, 0, 0, 256, 0, 0, 0, 0), "byte_3: expected 0 to 255, received 256"),
        ((BLANK, 16, 0, 0, 0, 0, 0, 0), "byte_1: expected 0 to 15, received 16"),
        ((TEXT, 0, 0, 0, 0, -5, 0, 0), "place_2: expected 0 to 2147483647, received -5"),
        ((0, 0, 0, 0, 0, 0, 0, -1), "item: expected 0 to 2147483647, received -1"),
    ],
)
def test_rows_that_no_table_has(row, message):
    assert f"tokens: row 2, position 3: {message}" in told(
        [(TEXT, 0, 0, 97, 0, 0, 0, 0)] * 2 + [row]
    )


def test_no_rows_at_all():
    assert validate_tokens(tf.zeros([0, 4, 8], tf.int32), OWN).shape == (0, 4, 8)


def test_a_network_refuses_what_it_has_no_tables_for(tmp_path):
    words = ("The", "cat", "sat")
    model = mdnn.build(tiny.load_config(tmp_path, *tiny.WORDS, "tokens.words=3"), words)
    run = SimpleNamespace(model=model, words=words, dtype="float32", config=model.config)
    served = ExportedNetwork(run).signatures()["serving_default"]
    tokens = np.zeros((1, 8, 8), "int32")
    tokens[0, 0, :3] = WORD, 0, len(run.words) - 1
    assert served(tf.constant(tokens))["unit"].shape == (1, 8, 4)
    for row in ((WORD, 0, len(run.words)), (GREY, 0, 0)):
        tokens[0, 5, :3] = row
        with pytest.raises(tf.errors.InvalidArgumentError, match="tokens: row 1, position 6: "):
            served(tf.constant(tokens))


def test_a_network_of_puzzles_is_not_served(tmp_path):
    config, folder = puzzle_networks.load_sudoku(tmp_path), tmp_path / "run"
    folder.mkdir()
    write_run(folder, config, (), mdnn.build(config))
    with pytest.raises(mdnn.MdnnError, match="has no signatures to export or serve"):
        mdnn.export(folder, tmp_path / "served")
    assert not (tmp_path / "served").exists()
    with pytest.raises(mdnn.MdnnError, match="has no signatures to export or serve"):
        open_served_model(folder)
