"""Weights of other projects compute what an independent numpy network computes from them."""

import importlib.util
import pathlib

import foreign_files
import keras
import numpy as np
import pytest

import mdnn
from mdnn import cli
from mdnn.foreign.gguf_header import read_header
from mdnn.foreign.gguf_model import GgufModel
from mdnn.foreign.gguf_weights import read_rows
from mdnn.generation import text_decoder
from mdnn.runs.run_folder import open_run

ROOT = pathlib.Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"

_spec = importlib.util.spec_from_file_location("numpy_llama", ROOT / "benchmarks/numpy_llama.py")
numpy_llama = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(numpy_llama)

SIZES = {
    "heads": foreign_files.HEADS,
    "kv_heads": foreign_files.KV_HEADS,
    "base": foreign_files.BASE,
    "epsilon": foreign_files.EPSILON,
}
IDS = [1, 5, 267, 100, 260, 9, 270, 44]


def scores(run, ids):
    """The scores of a run's network for token ids, `[n, vocabulary]`."""
    run = open_run(run)
    tokens = np.zeros((1, run.config.context.positions, 8), "int32")
    tokens[0, : len(ids)] = run.tokenizer.tokens(np.array(ids))
    found = keras.ops.convert_to_numpy(run.model.scores(tokens))
    return found[0, : len(ids)]


@pytest.fixture(scope="module")
def f32(tmp_path_factory):
    """A GGUF file of float32 weights, its weights, and the run made of it."""
    folder = tmp_path_factory.mktemp("f32")
    weights = foreign_files.write_gguf(folder / "a.gguf")
    facts = mdnn.import_weights(folder / "a.gguf", folder / "run")
    return folder, weights, facts


def test_a_gguf_file_computes_the_same(f32):
    folder, weights, facts = f32
    right = numpy_llama.logits(weights, IDS, **SIZES)
    assert np.abs(scores(folder / "run", IDS) - right).max() < 1e-3
    run = open_run(folder / "run")
    assert facts["parameters"] == run.model.count_params()
    assert facts["dtype"] == "float32"
    assert facts["bytes"] == (folder / "run/model.safetensors").stat().st_size


def test_the_reader_of_the_package_reads_the_same(f32):
    folder, weights, _ = f32
    read, sizes = numpy_llama.read_gguf(folder / "a.gguf")
    assert sizes == pytest.approx(SIZES)
    assert all(np.array_equal(read[name], weights[name]) for name in weights)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K"])
def test_every_tensor_type_is_read_as_the_package_reads_it(kind, tmp_path):
    """Codes of all types are those of the package `gguf`, to the last bit of a weight."""
    width = 256 if "K" in kind else foreign_files.WIDTH
    weights = foreign_files.write_gguf(tmp_path / "a.gguf", kind, width=width)
    tensors = read_header(tmp_path / "a.gguf").tensors
    for name, right in weights.items():
        rows = read_rows(tmp_path / "a.gguf", tensors[f"{name}.weight"])
        np.testing.assert_allclose(rows.values().reshape(right.shape), right, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", ["Q4_1", "Q8_0", "Q6_K"])
def test_codes_stay_codes(kind, tmp_path):
    """4-bit and 8-bit files keep their codes; a network computes exactly from them."""
    width = 256 if kind == "Q6_K" else foreign_files.WIDTH
    weights = foreign_files.write_gguf(tmp_path / "a.gguf", kind, tied=False, width=width)
    facts = mdnn.import_weights(tmp_path / "a.gguf", tmp_path / "run")
    assert facts["dtype"] == {"Q4_1": "int4", "Q8_0": "int8", "Q6_K": "int8"}[kind]
    assert facts["bytes"] < 1.6 * (tmp_path / "a.gguf").stat().st_size
    right = numpy_llama.logits(weights, IDS, **SIZES)
    error = np.abs(scores(tmp_path / "run", IDS) - right).max()
    assert error < 1e-3 * max(1, np.abs(right).max() / 10)


def test_a_llama2c_file_computes_the_same(tmp_path):
    weights = foreign_files.write_llama2c(tmp_path / "a.bin", tmp_path / "tokenizer.bin")
    mdnn.import_weights(tmp_path / "a.bin", tmp_path / "run", context=12)
    run = open_run(tmp_path / "run")
    assert run.config.context.grid == (12,)
    right = numpy_llama.logits(weights, IDS, **SIZES | {"base": 10_000.0})
    assert np.abs(scores(run, IDS) - right).max() < 1e-3
    assert run.tokenizer.text(run.tokenizer.ids("the cat")) == " the cat"
    ids = run.tokenizer.ids("the cat")
    words = [*foreign_files.TOKENS]
    assert [words[number] for number in ids] == ["<s>", "▁the", "▁cat"]


def test_a_hugging_face_folder_computes_the_same(f32, tmp_path):
    folder, *_ = f32
    vocabulary = GgufModel(folder / "a.gguf").vocabulary
    weights = foreign_files.write_hugging_face(tmp_path, vocabulary)
    mdnn.import_weights(tmp_path, tmp_path / "run")
    right = numpy_llama.logits(weights, IDS, **SIZES)
    assert np.abs(scores(tmp_path / "run", IDS) - right).max() < 1e-3


def test_an_imported_run_writes_and_is_evaluated(f32):
    """Decoding with caches gives the likeliest tokens of the whole network."""
    folder, weights, _ = f32
    run = open_run(folder / "run")
    ids = list(run.tokenizer.ids("the cat"))
    for _ in range(6):
        ids.append(int(numpy_llama.logits(weights, ids, **SIZES)[-1].argmax()))
    right = run.tokenizer.text(ids[3:])
    written = mdnn.generate(run, "the cat", length=len(right), temperature=0)
    assert written == right
    facts = mdnn.evaluate(run, "the cat sat on the mat. " * 3, sliding=False)
    assert facts["characters"] == 72 + 1  # the space before the text
    assert facts["loss"] > 0


@pytest.mark.long
def test_a_long_context_is_read_no_further_than_the_prompt_needs_it(f32, monkeypatch):
    run = open_run(f32[0] / "run")
    whole = mdnn.generate(run, "the cat", length=20, temperature=0)
    monkeypatch.setattr(text_decoder, "SHORT_CONTEXT", 4)
    assert mdnn.generate(open_run(run.path), "the cat", length=20, temperature=0) == whole


def test_to_other_formats(f32, tmp_path):
    folder, weights, _ = f32
    facts = mdnn.import_weights(folder / "a.gguf", tmp_path / "run", to="float16")
    assert facts["dtype"] == "float16"
    right = numpy_llama.logits(weights, IDS, **SIZES)
    assert np.abs(scores(tmp_path / "run", IDS) - right).max() < 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"general.architecture": "gpt2"}, "unknown architecture 'gpt2'; known: llama"),
        ({"tokenizer.ggml.model": "bert"}, "unknown tokenizer 'bert'; known: gpt2, llama"),
        ({"llama.expert_count": 4}, "networks of experts"),
        ({"llama.rope.scaling.type": "yarn"}, "unknown llama.rope.scaling.type 'yarn'"),
        ({"llama.attention.head_count": 5}, "expected heads of an even size"),
        ({"llama.block_count": 3}, "lacks the tensor 'blk.2.attn_norm.weight'"),
        ({"llama.block_count": 1}, "with the tensor 'blk.1.attn_k.weight' is not known"),
        ({"llama.block_count": None}, "expected one number as llama.block_count, received None"),
    ],
)
def test_what_is_not_known_is_named(changes, message, tmp_path):
    architecture = changes.pop("general.architecture", None)
    foreign_files.write_gguf(tmp_path / "a.gguf", changes=changes)
    if architecture:
        data = (tmp_path / "a.gguf").read_bytes()
        old = b"\x05\0\0\0\0\0\0\0llama"
        new = len(architecture).to_bytes(8, "little") + architecture.encode()
        (tmp_path / "a.gguf").write_bytes(data.replace(old, new, 1))
    with pytest.raises(mdnn.MdnnError, match=message):
        mdnn.import_weights(tmp_path / "a.gguf", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt_neox"}, "unknown model_type 'gpt_neox'"),
        ({"hidden_act": "gelu"}, "unknown hidden_act 'gelu'"),
        ({"rope_scaling": {"rope_type": "llama3"}}, "unknown rope_scaling 'llama3'"),
        ({"vocab_size": "many"}, "expected a vocabulary of 1 to"),
        ({"num_hidden_layers": 10**9}, "expected a blocks of 1 to"),
    ],
)
def test_other_hugging_face_networks_are_named(changes, message, f32, tmp_path):
    vocabulary = GgufModel(f32[0] / "a.gguf").vocabulary
    foreign_files.write_hugging_face(tmp_path, vocabulary, changes)
    with pytest.raises(mdnn.MdnnError, match=message):
        mdnn.import_weights(tmp_path, tmp_path / "run")


@pytest.mark.long
@pytest.mark.skipif(not (DATA / "stories260K.bin").exists(), reason="not there")
def test_the_stories_of_260_000_weights(tmp_path):
    mdnn.import_weights(DATA / "stories260K.bin", tmp_path / "run")
    text = mdnn.generate(tmp_path / "run", "Once upon a time", length=200, temperature=0)
    assert text.startswith(", there was a little")


def test_a_question_in_the_chat_template(f32, capsys):
    """`--chat` asks in the template of the file; the command and its Python twin say the same."""
    run = open_run(f32[0] / "run")
    prompt = mdnn.chat_prompt(run, "the cat")
    assert prompt == "[user]the cat\n[assistant]"
    messages = [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]
    assert mdnn.chat_prompt(run, messages) == "[system]a\n[user]b\n[assistant]"
    words = ["--chat", "--prompt", "the cat", "--length", "5", "--greedy"]
    assert cli.main(["generate", str(f32[0] / "run"), *words]) == 0
    answer = mdnn.generate(run, prompt, length=5, temperature=0)
    assert capsys.readouterr().out == f"the cat\n{answer}\n"


def test_the_command(f32, tmp_path, capsys):
    path = f32[0] / "a.gguf"
    assert cli.main(["import", str(path), "--out", str(tmp_path / "run"), "--context", "8"]) == 0
    assert "2 blocks of width 32, 288 subwords, 8 positions" in capsys.readouterr().out
    assert cli.main(["import", str(path), "--out", str(tmp_path / "run")]) == 2
    assert cli.main(["import", str(path), "--out", str(tmp_path / "b"), "--context", "999"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 2
    assert "context: expected 1 to 24" in error
    assert not (tmp_path / "b").exists()
