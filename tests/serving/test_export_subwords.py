"""Subwords outside Python: a SavedModel that takes token ids, and the server's streams of text."""

import json

import keras
import numpy as np
import pytest
import tiny

import mdnn
from mdnn.generation.text_stream import TextStream
from mdnn.runs import quantization_search
from mdnn.runs.run_folder import open_run

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="SavedModels are TensorFlow's"
)
PROMPTS = ("The cat sat", "ate the")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A network of subwords whose large weights are codes of 4 bits."""
    folder = tmp_path_factory.mktemp("exported")
    subwords = ('tokens.modalities=["subword"]', "tokens.subwords=320", "tokens.tied=true")
    config = tiny.load_config(folder, *tiny.QUICK, "backbone.width=64", *subwords)
    mdnn.train(config, folder / "run", show=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantization_search, "LEAST_CODES", 4096)
        small = open_run(mdnn.quantize(folder / "run", "int4"))
        return small.holding(small.model).path, small


def with_end(run, token):
    """The run with a token that ends answers, as a tokenizer's special token."""
    table = json.loads(run.words[0])
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    content = next(t for t, n in table["model"]["vocab"].items() if n == token)
    table["added_tokens"] = [{"id": token, "content": content, "special": True} | flags]
    words = (json.dumps(table), json.dumps({"eos_token": content}))
    other = type(run)(run.path, run.config, words)
    vars(other).update(model=run.model, dtype=run.dtype)
    return other


def test_a_saved_model_takes_token_ids(run, tmp_path):
    _, run = run
    path = mdnn.export(run, tmp_path / "saved")
    tf = pytest.importorskip("tensorflow")
    loaded = tf.saved_model.load(str(path))
    generate = loaded.signatures["generate_from_ids"]
    ids = [run.tokenizer.ids(prompt) for prompt in PROMPTS]
    rows = np.full((2, max(map(len, ids))), -1, "int32")
    for row, own in zip(rows, ids, strict=True):
        row[: len(own)] = own
    options = {"temperature": tf.constant([0.7, 0.0]), "seed": tf.constant([3, 4])}
    found = generate(prompt_ids=tf.constant(rows), length=tf.constant([20, 9]), **options)
    texts = [text.decode() for text in found["text"].numpy()]
    right = [
        mdnn.generate(run, PROMPTS[0], length=20, temperature=0.7, seed=3),
        mdnn.generate(run, PROMPTS[1], length=9, temperature=0, seed=4),
    ]
    assert texts == right
    codes = [v for v in loaded.held if getattr(v, "dtype", None) in (tf.uint32, tf.uint8)]
    assert len(codes) >= 5
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected numbers below 320"):
        generate(prompt_ids=tf.constant([[320], [5]]), length=tf.constant([1, 1]), **options)


def test_streams_end_where_the_network_ends_a_text(run):
    _, run = run
    whole = mdnn.generate(run, PROMPTS[0], length=30, temperature=0)
    third = int(run.tokenizer.ids(PROMPTS[0] + whole)[len(run.tokenizer.ids(PROMPTS[0])) + 2])
    other = with_end(run, third)
    text = mdnn.generate(other, PROMPTS[0], length=30, temperature=0)
    assert whole.startswith(text)
    assert len(text) < len(whole)
    pieces = list(TextStream(other).write([PROMPTS[0]], [30], [0.0], [0]))
    assert "".join(piece[0] or "" for piece in pieces) == text
    assert pieces[-1] == [None]
