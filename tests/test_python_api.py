"""The functions of the package on a network that `fit` trained, a run and a path alike."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tiny
from backends import JIT

import mdnn
from mdnn.runs.run_folder import run_of


@pytest.fixture(scope="module")
def trained(tmp_path_factory, thorough):
    """A network that `fit` trained, with XLA in `make test-long`, and the folder with its text."""
    folder = tmp_path_factory.mktemp("fit")
    config = tiny.load_config(folder)
    splits = mdnn.open_text(str(folder / "text.txt"))
    model = mdnn.build(config)
    jit = "auto" if thorough else JIT
    model.compile(keras.optimizers.AdamW(1e-2), loss=mdnn.TokenCrossEntropy(), jit_compile=jit)
    batches = mdnn.TextBatches(
        splits.train, splits.tokenizer, length=8, batch_size=8, seed=1, steps=20
    )
    model.fit(batches, verbose=0)
    return model, folder


def test_what_fit_trained_is_used_at_once(trained):
    model, folder = trained
    text = mdnn.generate(model, "The ", length=12, seed=2)
    assert len(text) == 12
    path = mdnn.save(model, folder / "run")
    model.save(folder / "fit.keras")
    for same in (path, str(path), folder / "fit.keras", mdnn.load(path)):
        assert mdnn.generate(same, "The ", length=12, seed=2) == text
    loss = mdnn.evaluate(model, tiny.TEXT)["loss"]
    assert mdnn.evaluate(path, tiny.TEXT)["loss"] == pytest.approx(loss, rel=1e-5)
    assert mdnn.evaluate(model)["loss"] < np.log(256)
    small = mdnn.quantize(model, "int8", folder / "small")
    assert mdnn.evaluate(small, tiny.TEXT)["loss"] == pytest.approx(loss, abs=0.1)


def test_further_training_is_seen(trained):
    model, _ = trained
    before = mdnn.evaluate(model, tiny.TEXT)["loss"]
    kept = model.get_weights()
    model.set_weights([0.5 * values for values in kept])
    assert mdnn.evaluate(model, tiny.TEXT)["loss"] != pytest.approx(before, rel=1e-3)
    model.set_weights(kept)
    assert mdnn.evaluate(model, tiny.TEXT)["loss"] == pytest.approx(before, rel=1e-5)


def test_what_save_wrote_is_replaced_when_it_is_asked_for(trained):
    model, folder = trained
    path = mdnn.save(model, folder / "twice")
    kept = model.get_weights()
    model.set_weights([0.5 * values for values in kept])
    with pytest.raises(mdnn.MdnnError, match="already exists"):
        mdnn.save(model, path)
    assert mdnn.save(model, path, overwrite=True) == path
    np.testing.assert_array_equal(mdnn.load(path).get_weights()[0], 0.5 * kept[0])
    model.set_weights(kept)
    assert [entry.name for entry in folder.iterdir() if entry.name.startswith(".twice")] == []
    # What a training left is not replaced, nor what somebody put there.
    for name in ("metrics.csv", "notes.txt"):
        (path / name).touch()
        with pytest.raises(mdnn.MdnnError, match="already exists"):
            mdnn.save(model, path, overwrite=True)
        (path / name).unlink()


def test_export_of_a_network_in_memory(trained):
    import tensorflow as tf

    model, folder = trained
    path = mdnn.export(model, folder / "served")
    answer = tf.saved_model.load(str(path)).signatures["generate"](
        prompt=tf.constant(["The "]),
        length=tf.constant(12),
        temperature=tf.constant(0.8),
        seed=tf.constant(2),
    )
    assert answer["text"].numpy()[0].decode() == mdnn.generate(
        model, "The ", length=12, temperature=0.8, seed=2
    )


def test_what_has_no_config_is_refused(trained):
    model, folder = trained
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    for call in (
        lambda: mdnn.generate(other, "The "),
        lambda: mdnn.evaluate(other, "The cat"),
        lambda: mdnn.save(other, folder / "other"),
    ):
        with pytest.raises(mdnn.MdnnError, match=r"expected a network made by mdnn\.build"):
            call()
    with pytest.raises(mdnn.MdnnError, match="out: expected a new folder"):
        mdnn.quantize(model, "int8")
    with pytest.raises(mdnn.MdnnError):
        mdnn.save(model, folder)
    with pytest.raises(mdnn.MdnnError, match="already exists"):
        mdnn.save(model, folder, overwrite=True)
    assert not (folder / "other").exists()


def test_a_network_in_memory_is_let_go(tmp_path):
    config = tiny.load_config(tmp_path)
    model = mdnn.build(config)
    expected = mdnn.evaluate(model, tiny.TEXT)
    assert run_of(model) is run_of(model)
    # Nobody but the call holds this one.
    assert mdnn.evaluate(mdnn.build(config), tiny.TEXT) == expected
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
