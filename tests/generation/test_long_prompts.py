"""Long contexts are read in pieces: texts and losses are those of whole contexts."""

import csv

import numpy as np
import pytest
from tiny import TEXT

import mdnn
from mdnn.cli import main
from mdnn.generation.batch_groups import BatchGroups
from mdnn.generation.engines import keras_texts
from mdnn.generation.text_decoder import TextDecoder
from mdnn.generation.windows import encode_prompts
from mdnn.tokens.characters import TextTokenizer

SMALL = ["context.grid=[4,2,4]", "backbone.width=8", "backbone.depth=1", "backbone.layer.1.width=8"]
SMALL += ["backbone.layer.0.mixer.0.groups=2", "backbone.layer.0.mixer.0.init_std=0.5"]


def network(slab):
    return mdnn.build(mdnn.load_config("long", [*SMALL, f"backbone.slab={slab}"]))


@pytest.fixture(scope="module")
def networks():
    """The same network read at once and in four pieces."""
    whole, pieces = network(0), network(8)
    assert (whole.decoder().piece, pieces.decoder().piece) == (0, 8)
    pieces.set_weights(whole.get_weights())
    return whole, pieces


def decoded(model, prompts, count, progress=None):
    decoder = TextDecoder(model, 32, xla=False)
    window, filled = encode_prompts(TextTokenizer(), prompts, decoder.positions)
    ones = np.ones(len(prompts))
    settings = {
        "seed": np.arange(len(prompts), dtype="int32"),
        "temperature": ones.astype("float32"),
        "top_k": 0 * ones.astype("int32"),
        "top_p": ones.astype("float32"),
    }
    groups = BatchGroups(decoder, window, filled, settings, progress=progress)
    return groups.decode(count)


@pytest.mark.long
def test_texts_behind_long_prompts(networks):
    # Contexts of 32 positions overflow, and are begun anew with 16, read in two pieces.
    fractions, prompts = [], [TEXT[:21]]
    whole = decoded(networks[0], prompts, 32, fractions.append)
    assert fractions == []
    pieces = decoded(networks[1], prompts, 32, fractions.append)
    np.testing.assert_array_equal(whole[0], pieces[0])
    np.testing.assert_allclose(fractions, [0, 1 / 3, 2 / 3, 1])
    fractions.clear()
    decoded(networks[1], [TEXT[:8]], 1, fractions.append)
    assert fractions == []


def test_losses_of_long_texts(networks):
    text, fractions = TEXT[:81], []
    whole, pieces = (
        mdnn.evaluate(model, text, by_position=True, progress=tell)
        for model, tell in zip(networks, (None, fractions.append), strict=True)
    )
    for name in ("loss", "loss_sliding"):
        assert pieces[name] == pytest.approx(whole[name], rel=1e-5)
    for one, other in zip(whole["by_position"], pieces["by_position"], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
    assert fractions == sorted(fractions)
    # Four pieces of all windows, twice.
    assert len(set(np.round(fractions, 9))) == 8
    assert fractions[-1] == pytest.approx(1)


def test_a_curve_by_position(networks, tmp_path, capfd):
    mdnn.save(networks[1], tmp_path / "run")
    source, out = tmp_path / "text.txt", tmp_path / "curve.csv"
    source.write_text(TEXT[:81], encoding="utf-8")
    words = ["evaluate", str(tmp_path / "run"), "--data", str(source), "--plot"]
    assert main([*words, str(out)]) == 0
    assert "positions" in capfd.readouterr().out
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    expected = mdnn.evaluate(networks[0], TEXT[:81], by_position=True)["by_position"]
    assert [(int(r["first"]), int(r["last"])) for r in rows] == [(0, 15), (16, 31)]
    assert {row["network"] for row in rows} == {"run"}
    losses = [row["loss"] for row in expected]
    np.testing.assert_allclose([float(r["loss"]) for r in rows], losses, rtol=1e-5)
    picture = tmp_path / "curve.png"
    assert main([*words, str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main([*words, str(tmp_path / "curve.gif")]) == 2
    assert "--plot: expected a file .png or .csv" in capfd.readouterr().err
    assert main([*words, str(tmp_path / "none" / "curve.png")]) == 2
    assert "--plot: there is no folder" in capfd.readouterr().err


def test_ctrl_c_while_a_prompt_is_read(networks, tmp_path, monkeypatch, capfd):
    mdnn.save(networks[1], tmp_path / "run")
    keras_texts.cache_clear()

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("mdnn.training.progress.Ticker.__call__", interrupt)
    assert main(["generate", str(tmp_path / "run"), "--prompt", TEXT[:30]]) == 130
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err
