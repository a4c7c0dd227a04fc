"""Learned slots of an identity: learned, used whole and streamed, merged, served, refused."""

import keras
import numpy as np
import pytest
from streaming import position_by_position
from test_identity import random_identity

import mdnn
import mdnn.generation.text_stream
from mdnn.cli import main
from mdnn.generation.text_stream import TextStream
from mdnn.identity.adapted_network import adapted_config, with_identity
from mdnn.identity.identity_file import SLOTS, Identity, read_identity
from mdnn.identity.identity_table import identity_table
from mdnn.models.head_options import decoding
from mdnn.models.incremental import IncrementalDecoder
from mdnn.models.loss import token_nll
from mdnn.runs.run_folder import open_run
from mdnn.tokens.context_slots import behind_slots, slot_tokens

OTHER = "zwei drei vier! " * 160
WORDS = {"length": 14, "temperature": 0}


pytestmark = pytest.mark.usefixtures("decoded_without_xla")


def with_slots(run, count, seed=0):
    """An identity with random offsets, gains and slots."""
    plain = random_identity(run, seed=seed)
    rng = np.random.default_rng(seed + 100)
    vectors = rng.normal(size=(count, run.model.width)).astype("float32")
    return Identity("offset", plain.arrays | {SLOTS: vectors}, plain.network)


@pytest.fixture(scope="module")
def run(opened_tiny):
    return opened_tiny


@pytest.fixture(scope="module")
def adapted(tiny_run, tmp_path_factory):
    """The file of an identity with two slots, and what `mdnn.adapt` said."""
    folder = tmp_path_factory.mktemp("slots")
    (folder / "other.txt").write_text(OTHER, encoding="utf-8")
    file = folder / "other.safetensors"
    options = {"steps": 30, "learning_rate": 0.05, "slots": 2, "show": False}
    return file, mdnn.adapt(tiny_run, str(folder / "other.txt"), file, **options)


def test_slots_are_learned(adapted, run, capsys):
    file, facts = adapted
    identity = read_identity(file)
    plain = random_identity(run)
    assert facts["numbers"] == plain.numbers + 2 * run.model.width
    assert facts["loss"] < facts["loss_before"] - 0.1
    # What they start from: the embeddings of the first characters.
    start = run.model.embedding(run.tokenizer.tokens(run.tokenizer.ids("zw"))[None])[0]
    assert np.abs(identity.arrays[SLOTS] - keras.ops.convert_to_numpy(start)).max() > 0.01
    before = mdnn.evaluate(run, OTHER, sliding=False)["loss"]
    metrics = mdnn.evaluate(run, OTHER, identity=file, by_position=True)
    assert metrics["loss"] < before - 0.1
    assert metrics["characters"] == len(OTHER) - 1
    assert main(["inspect", str(file)]) == 0
    assert "2 learned slots" in capsys.readouterr().out


def test_evaluated_windows(run):
    """The loss is that of the vectors before the characters, position by position."""
    identity = with_slots(run, 3)
    # The network with the identity but its slots, which are put before the characters by hand.
    plain = Identity("offset", random_identity(run).arrays, identity.network)
    network, options = with_identity(run, plain).model, decoding(run.config)
    ids = run.tokenizer.ids("The cat sat")
    total = 0.0
    for begin in range(0, len(ids) - 1, 5):
        window = ids[begin : begin + 5]
        tokens = run.tokenizer.tokens(window, first_place=3)[None]
        tokens = np.pad(tokens, [(0, 0), (0, 5 - tokens.shape[1]), (0, 0)])
        x = np.asarray(network.embedding(tokens))
        x = np.concatenate([identity.arrays[SLOTS][None], x], axis=1)
        hidden = network.read_out(network.backbone(x))[:, 3:]
        after = ids[begin + 1 : begin + 6]
        targets = np.zeros((1, 5, 8), "int32")
        targets[0, : len(after)] = run.tokenizer.tokens(after)
        nll, _ = token_nll(targets, network.heads(hidden, targets), **options)
        total += float(np.asarray(nll)[0, : len(after)].sum())
    found = mdnn.evaluate(run, "The cat sat", identity=identity, sliding=False)["loss"]
    np.testing.assert_allclose(found, total / (len(ids) - 1), rtol=1e-4)


def test_what_is_written(run):
    """Greedy characters, over several contexts, are those of whole passes with slots first."""
    identity = with_slots(run, 2)
    network = with_identity(run, identity).model.with_options(causal=True)
    window, text = list(run.tokenizer.ids("The ")), ""
    for _ in range(WORDS["length"]):
        tokens = behind_slots(run.tokenizer.tokens(np.array(window))[None], 2)
        tokens = np.pad(tokens, [(0, 0), (0, 8 - tokens.shape[1]), (0, 0)])
        hidden = network.hidden(tokens)[:, 1 + len(window)]
        token = network.heads.decode(hidden, lambda scores, _: keras.ops.argmax(scores, axis=-1))
        window += run.tokenizer.ids_from_tokens(np.asarray(token)).tolist()
        text += run.tokenizer.text(np.array(window[-1:]))
        if len(window) == 7:
            # Half a context: its slots and the last two characters.
            window = window[-2:]
    assert mdnn.generate(run, "The ", identity=identity, **WORDS) == text


def test_streamed_rows(run):
    """Rows with other slots, or none, compute what each network does in a whole pass."""
    identities = [with_slots(run, 3, seed=1), with_slots(run, 1, seed=2), random_identity(run)]
    tables = identity_table(run, identities)
    ids, rows = run.tokenizer.ids("The cat "), []
    for count in (0, 3, 1, 0):
        text = run.tokenizer.tokens(ids[: 8 - count])[None]
        rows.append(behind_slots(text, count))
    tokens = np.concatenate(rows)
    decoder = IncrementalDecoder(run.model.with_options(causal=True))
    prepare = decoder.prepare_weights
    chosen = keras.tree.map_structure(keras.ops.convert_to_tensor, tables)
    decoder.prepare_weights = lambda: prepare(chosen)
    found = position_by_position(decoder, tokens)
    for row, identity in enumerate([None, *identities]):
        own = with_identity(run, identity).model
        expected = np.asarray(own.hidden(tokens[row : row + 1], causal=True))[0]
        np.testing.assert_allclose(found[row], expected, atol=1e-4 * abs(expected).max())


@pytest.mark.long
def test_one_served_batch(run, tmp_path):
    files = {"three": tmp_path / "3.safetensors", "none": tmp_path / "0.safetensors"}
    with_slots(run, 3, seed=1).write(files["three"])
    random_identity(run, seed=2).write(files["none"])
    names = ["three", "", "none", "three"]
    stream = TextStream(run, identities=files)
    prompts = ["The cat sat on", "The ", "The ", "T"]
    pieces = list(stream.write(prompts, [14] * 4, [0.0] * 4, [0] * 4, names))
    texts = ["".join(each) for each in zip(*pieces, strict=True)]
    for text, prompt, name in zip(texts, prompts, names, strict=True):
        assert text == mdnn.generate(run, prompt, identity=files.get(name), **WORDS)


def test_merged(adapted, tiny_run, tmp_path, capsys):
    file, _ = adapted
    merged = tmp_path / "merged"
    assert main(["adapt", str(tiny_run), "--merge", str(file), "--out", str(merged)]) == 0
    assert open_run(merged).config.context.slots == 2
    text = "zwei drei"
    losses = [mdnn.evaluate(tiny_run, text, identity=file), mdnn.evaluate(merged, text)]
    assert losses[0] == losses[1]
    # An ordinary run: slots are weights like others, which larger and smaller networks have.
    mdnn.grow(merged, tmp_path / "grown", ["backbone.depth=2"])
    grown = mdnn.evaluate(tmp_path / "grown", text)["loss"]
    np.testing.assert_allclose(grown, losses[1]["loss"], rtol=1e-5)
    with pytest.raises(mdnn.MdnnError, match=r"context\.slots: growing keeps 2"):
        mdnn.grow(merged, tmp_path / "other", ["context.slots=3"])


def test_bad_input(adapted, run, tiny_run, tmp_path, capsys):
    file, _ = adapted
    text, new = str(file.parent / "other.txt"), str(tmp_path / "new.safetensors")
    adapt = ["--out", new, "--steps", "1"]
    for words, message in [
        (
            [tiny_run, "--data", text, *adapt, "--slots", "4"],
            "context.slots: expected fewer than 4",
        ),
        ([tiny_run, "--data", text, *adapt, "--slots", "-1"], "slots: expected a whole number"),
    ]:
        assert main(["adapt", *map(str, words)]) == 2, words
        error = capsys.readouterr().err
        assert message in error, error
        assert error.count("\n") == 1
    assert not (tmp_path / "new.safetensors").exists()
    with pytest.raises(mdnn.MdnnError, match="expected fewer than 4"):
        with_identity(run, with_slots(run, 5))
    for name, message in [
        ("digits", "context.slots: expected 0"),
        ("sudoku-4x4", "context.slots: expected 0"),
        ("instructions", "context.slots: expected 0"),
    ]:
        with pytest.raises(mdnn.MdnnError, match=message):
            adapted_config(mdnn.load_config(name), "offset", 1)


def test_slot_tokens():
    assert slot_tokens(0).shape == (0, 8)
    rows = np.zeros((1, 2, 8), "int32")
    rows[0, 0, :5] = [1, 0, 0, 97, 4]
    placed = behind_slots(rows, 2)
    assert placed.tolist() == [
        [
            [16, 0, 0, 0, 0, 0, 0, 0],
            [16, 1, 0, 0, 0, 0, 0, 0],
            [1, 0, 0, 97, 6, 0, 0, 0],
            [0] * 8,
        ]
    ]
    assert behind_slots(rows, 2, targets=True)[0, :2].sum() == 0


@pytest.mark.long
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="SavedModels are TensorFlow's")
def test_exported(run, tmp_path):
    """A SavedModel writes the same, and scores a request's tokens after its slots."""
    import tensorflow as tf

    identity = with_slots(run, 3)
    folder = mdnn.export(run, tmp_path / "saved", xla=False, identity=identity)
    loaded = tf.saved_model.load(str(folder))
    prompts = ["The ", "The cat sat on the mat. The dog"]
    found = loaded.signatures["generate"](
        prompt=tf.constant(prompts),
        length=tf.constant(14),
        temperature=tf.constant(0.0),
        seed=tf.constant(1),
    )["text"]
    expected = [mdnn.generate(run, prompt, identity=identity, **WORDS) for prompt in prompts]
    assert [text.decode() for text in found.numpy()] == expected
    tokens = run.tokenizer.tokens(run.tokenizer.ids("The c"))[None]
    scores = loaded.signatures["serving_default"](tokens=tf.constant(tokens))["scores"]
    network = with_identity(run, identity).model
    whole = np.asarray(network.scores(behind_slots(tokens, 3)))[:, 3:]
    np.testing.assert_allclose(scores, whole, atol=1e-4 * np.abs(whole[whole > -1e8]).max())
