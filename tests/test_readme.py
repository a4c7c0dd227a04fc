"""The README: short, its links true, its Python blocks run as people paste them."""

import functools
import gc
import pathlib
import re

import keras
import pytest
import tiny

import mdnn
from mdnn.errors import MdnnError

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)


def test_it_is_short():
    assert len(README.splitlines()) <= 170


def test_every_link_leads_somewhere():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            if not link.startswith("http"):
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_every_benchmark_is_in_the_index():
    index = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert [f.name for f in (ROOT / "benchmarks").glob("*.py") if f.name not in index] == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a small config and text under the names that the README uses."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "configs").mkdir()
    path = tiny.write_config(folder, tiny.TEXT)
    text = path.read_text(encoding="utf-8")
    (folder / "configs" / "text.toml").write_text(text, encoding="utf-8")
    return folder


def test_the_blocks_run_one_after_another(folder, monkeypatch, capsys, thorough):
    monkeypatch.chdir(folder)
    # tests/serving/test_export.py has a SavedModel that XLA compiles.
    monkeypatch.setattr(mdnn, "export", functools.partial(mdnn.export, xla=thorough))
    assert len(BLOCKS) == 2
    first, second = BLOCKS
    # The manual of Python takes minutes to read in tests: a small text stands in for it.
    first = first.replace("python-docs", "text.txt").replace("length=64", "length=8")
    first = compile(first.replace("steps=100", "steps=3"), "README.md", "exec")
    if keras.backend.backend() != "tensorflow":
        # Only the last line, the export, and the block after it need TensorFlow.
        with pytest.raises(MdnnError, match="export needs the TensorFlow backend"):
            exec(first, {})
        assert (folder / "runs" / "mine" / "config.toml").is_file()
        return
    exec(first, {})
    written = capsys.readouterr().out
    assert (folder / "runs" / "mine" / "config.toml").is_file()
    names = {}
    exec(compile(second, "README.md", "exec"), names)
    assert capsys.readouterr().out.rstrip("\n") in written
    use_elsewhere(names["generate"])


def use_elsewhere(generate):
    """Calls the signature as other people paste it: inside tf.data and tf.function."""
    import tensorflow as tf

    gc.collect()
    settings = {"length": tf.constant(5), "temperature": tf.constant(0.0), "seed": tf.constant(1)}
    alone = generate(prompt=tf.constant(["The "]), **settings)["text"].numpy().tolist()
    prompts = tf.data.Dataset.from_tensor_slices(["The "]).batch(1)
    mapped = prompts.map(lambda prompt: generate(prompt=prompt, **settings)["text"])
    assert [text.numpy().tolist() for text in mapped] == [alone]
    function = tf.function(lambda prompt: generate(prompt=prompt, **settings)["text"])
    assert function(tf.constant(["The "])).numpy().tolist() == alone
