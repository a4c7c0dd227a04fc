"""Identities: learned, used, merged, served side by side, and refused."""

import json

import keras
import numpy as np
import pytest
from streaming import position_by_position

import mdnn
import mdnn.generation.text_stream
from mdnn.cli import main
from mdnn.generation.text_stream import TextStream
from mdnn.identity.adapted_network import specification, with_identity
from mdnn.identity.identity_file import Identity, fingerprint_of, read_identity
from mdnn.identity.identity_table import identity_table
from mdnn.models.incremental import IncrementalDecoder
from mdnn.runs.origin import read_origin

OTHER = "zwei drei vier! " * 160
STEPS = ["--steps", "30", "--learning-rate", "0.05"]


pytestmark = pytest.mark.usefixtures("decoded_without_xla")


@pytest.fixture(scope="module")
def run(opened_tiny):
    return opened_tiny


@pytest.fixture(scope="module")
def adapted(tiny_run, tmp_path_factory):
    """The folder of an identity of the tiny network, and what `mdnn adapt` said."""
    folder = tmp_path_factory.mktemp("identity")
    (folder / "other.txt").write_text(OTHER, encoding="utf-8")
    before = (tiny_run / "model.safetensors").read_bytes()
    facts = mdnn.adapt(
        tiny_run,
        str(folder / "other.txt"),
        folder / "other.safetensors",
        steps=30,
        learning_rate=0.05,
        show=False,
    )
    assert (tiny_run / "model.safetensors").read_bytes() == before
    return folder, facts


def random_identity(run, kind="offset", rank=0, seed=0):
    """An identity of a run with random numbers, some of them large."""
    rng = np.random.default_rng(seed)
    arrays = {
        name: (float(start == "ones") + rng.normal(size=shape)).astype("float32")
        for name, (shape, start) in specification(run.model, kind, rank).items()
    }
    return Identity(kind, arrays, fingerprint_of(run))


def test_an_identity_learns(adapted, run, tiny_run):
    folder, facts = adapted
    network = mdnn.load(tiny_run)
    assert facts["loss"] < facts["loss_before"] - 0.1
    assert facts["numbers"] == sum(
        np.prod(shape) for shape, _ in specification(network, "offset").values()
    )
    assert facts["share"] == facts["numbers"] / network.count_params()
    assert facts["steps"] == 30
    # The loss is that of `evaluate`, the old text is as before without the identity.
    losses = [
        mdnn.evaluate(tiny_run, OTHER, sliding=False, identity=identity)["loss"]
        for identity in (None, facts["identity"])
    ]
    assert losses[1] < losses[0] - 0.1
    identity = read_identity(facts["identity"])
    assert identity.network == fingerprint_of(run)
    assert identity.about["source"] == str(folder / "other.txt")


def test_generate_inspect_and_merge(adapted, run, tiny_run, tmp_path, capsys):
    _, facts = adapted
    file = facts["identity"]
    words = ["--prompt", "zwei ", "--length", "12", "--temperature", "0"]
    assert main(["generate", str(tiny_run), *words, "--identity", file]) == 0
    text = capsys.readouterr().out
    out = str(tmp_path / "merged")
    assert main(["adapt", str(tiny_run), "--merge", file, "--out", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run": out}
    merged = mdnn.load(tmp_path / "merged")
    network = with_identity(run, file).model
    for one, other in zip(merged.weights, network.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    assert read_origin(tmp_path / "merged")["how"] == "merged"
    assert text.startswith("zwei ")
    assert main(["inspect", file, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["kind"], shown["numbers"]) == ("offset", facts["numbers"])
    assert main(["inspect", file]) == 0
    assert "offset" in capsys.readouterr().out


def test_rows_with_identities_of_their_own(run):
    """A batch whose rows have different identities computes what each merged network does."""
    identities = [random_identity(run, seed=seed) for seed in (1, 2)]
    tables = identity_table(run, identities)
    tokens = run.tokenizer.tokens(run.tokenizer.ids("The cat "))[None].repeat(3, axis=0)
    network = run.model.with_options(causal=True)
    decoder = IncrementalDecoder(network)
    chosen = {
        block: {name: keras.ops.convert_to_tensor(table) for name, table in own.items()}
        for block, own in tables.items()
    }
    prepare = decoder.prepare_weights
    decoder.prepare_weights = lambda: prepare(chosen)
    found = position_by_position(decoder, tokens)
    for row, identity in enumerate([None, *identities]):
        own = with_identity(run, identity).model
        expected = np.asarray(own.hidden(tokens[:1], causal=True))[0]
        np.testing.assert_allclose(found[row], expected, atol=1e-4 * abs(expected).max())


@pytest.mark.long
def test_streams_with_identities(adapted, run):
    """What the server streams for a named identity is what `generate` writes with it."""
    _, facts = adapted
    stream = TextStream(run, identities={"other": facts["identity"]})
    pieces = list(stream.write(["zwei "] * 2, [12] * 2, [0.0] * 2, [0] * 2, ["other", ""]))
    texts = ["".join(each) for each in zip(*pieces, strict=True)]
    for text, identity in zip(texts, (facts["identity"], None), strict=True):
        assert text == mdnn.generate(run, "zwei ", length=12, temperature=0, identity=identity)
    assert texts[0] != texts[1]


@pytest.mark.long
def test_lora(run, adapted, tmp_path):
    folder, _ = adapted
    facts = mdnn.adapt(
        run, str(folder / "other.txt"), tmp_path / "a.safetensors", steps=6, lora=2, show=False
    )
    assert facts["loss"] < facts["loss_before"]
    assert facts["numbers"] == sum(
        np.prod(shape) for shape, _ in specification(run.model, "lora", 2).values()
    )
    merged = with_identity(run, tmp_path / "a.safetensors").model
    assert merged.count_params() == run.model.count_params()
    identity = read_identity(tmp_path / "a.safetensors")
    name = run.model.blocks[0].name
    kernels = [np.asarray(model.blocks[0].dense_in.kernel) for model in (run.model, merged)]
    change = identity.arrays[f"{name}.dense_in.a"] @ identity.arrays[f"{name}.dense_in.b"]
    np.testing.assert_allclose(kernels[1] - kernels[0], change, atol=1e-5)
    # Keras' own layer makes the same kernel of these numbers.
    dense = keras.layers.Dense(kernels[0].shape[1], use_bias=False)
    dense.build((None, kernels[0].shape[0]))
    dense.kernel.assign(kernels[0])
    dense.enable_lora(2)
    dense.lora_kernel_a.assign(identity.arrays[f"{name}.dense_in.a"])
    dense.lora_kernel_b.assign(identity.arrays[f"{name}.dense_in.b"])
    np.testing.assert_allclose(np.asarray(dense.kernel), kernels[1], atol=1e-6)
    with pytest.raises(mdnn.MdnnError, match="served alone"):
        identity_table(run, [identity])


def test_bad_input(adapted, tiny_run, words_run, tmp_path, capsys):
    folder, facts = adapted
    file, text = facts["identity"], str(folder / "other.txt")
    (tmp_path / "no.safetensors").write_bytes(b"nothing")
    one = ["--prompt", "a", "--length", "1"]
    new = str(tmp_path / "new.safetensors")
    for words, message in [
        (["generate", words_run, *one, "--identity", file], "belongs to another network"),
        (["generate", tiny_run, *one, "--identity", tmp_path / "no.safetensors"], "not a readable"),
        (
            ["generate", tiny_run, *one, "--identity", tiny_run / "model.safetensors"],
            "not an identity",
        ),
        (["generate", tiny_run, *one, "--identity", file, "--density", "0.5"], "whole network"),
        (["adapt", tiny_run, "--data", text, "--out", file], "already exists"),
        (["adapt", tiny_run, "--data", text, "--out", tmp_path / "a.bin"], "NAME.safetensors"),
        (["adapt", tiny_run, "--out", new], "expected --data SOURCE"),
        (["adapt", tiny_run, "--merge", file, "--out", tmp_path / "m", "--lora", "2"], "no --lora"),
        (["adapt", tiny_run, "--data", text, "--out", new, "--minutes", "0"], "train.minutes"),
        (["generate", tiny_run, *one, "--identity", "gone"], "identity: no such file: gone"),
        (["adapt", tiny_run, "--data", tmp_path / "gone.txt", "--out", new], "gone.txt"),
        (["adapt", tiny_run, "--data", text, "--out", new, "--lora", "99"], "expected a rank"),
        (["adapt", tiny_run, "--data", text, "--out", new, "--learning-rate", "-1"], "above 0"),
        (
            ["adapt", tiny_run, "--data", text, "--out", new, "--set", "backbone.depth=2"],
            "keys of data and train alone",
        ),
        (["adapt", words_run, "--merge", file, "--out", tmp_path / "m"], "another network"),
        (["serve", tiny_run, "--identity", "other"], "expected NAME=FILE"),
    ]:
        assert main([str(word) for word in words]) == 2, words
        error = capsys.readouterr().err
        assert message in error, error
        assert error.count("\n") == 1
    assert not (tmp_path / "new.safetensors").exists()
    assert not (tmp_path / "m").exists()
