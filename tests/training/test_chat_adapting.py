"""Networks of subwords learn conversations: imported ones by updates, others from nothing."""

import importlib
import json
import pathlib
import sys

import foreign_files
import keras
import numpy as np
import pytest
import tiny

import mdnn
from mdnn.cli import main
from mdnn.datasets.conversations.conversation_files import read_conversations
from mdnn.identity.adapted_network import with_identity
from mdnn.runs.run_folder import open_run
from mdnn.tasks.conversations.for_chat import for_chat
from mdnn.tasks.registry import task_for

pytestmark = pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="mdnn.adapt runs on TensorFlow and JAX"
)


WORDS = ("cat", "tea", "hat", "ace")


def talk(number):
    word = WORDS[number % 4]
    return [
        {"role": "user", "content": f"the {word}"},
        {"role": "assistant", "content": f"{word} at {word}"},
        {"role": "user", "content": "the"},
        {"role": "assistant", "content": "he"},
    ]


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    """An imported run, a file of conversations, and what `mdnn adapt --chat` said."""
    folder = tmp_path_factory.mktemp("chat-adapting")
    foreign_files.write_gguf(folder / "a.gguf", changes={"llama.context_length": 96})
    mdnn.import_weights(folder / "a.gguf", folder / "run")
    lines = [json.dumps({"messages": talk(number)}) for number in range(20)]
    (folder / "talk.jsonl").write_text("\n".join(lines), encoding="utf-8")
    facts = mdnn.adapt(
        folder / "run",
        str(folder / "talk.jsonl"),
        folder / "talk.safetensors",
        steps=25,
        lora=4,
        learning_rate=0.02,
        chat=True,
        overrides=["data.validation=0.2", "train.batch_size=2"],
        show=False,
    )
    return folder, facts


def test_an_imported_network_learns_conversations(adapted, capsys):
    folder, facts = adapted
    assert facts["loss"] < facts["loss_before"] - 0.3
    assert facts["kind"] == "lora"
    held_out = read_conversations(folder / "talk.jsonl")[16:]
    run = for_chat(open_run(folder / "run"))
    for loss, identity in ((facts["loss_before"], None), (facts["loss"], facts["identity"])):
        metrics = mdnn.evaluate(run, held_out, identity=identity)
        assert metrics["loss"] == pytest.approx(loss, rel=1e-4)
    words = ["--chat", "--data", str(folder / "talk.jsonl"), "--identity", facts["identity"]]
    assert main(["evaluate", str(folder / "run"), *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loss"] < facts["loss_before"] - 0.3
    # The run stays one of texts, whose network the update belongs to.
    assert open_run(folder / "run").config.context.layout == "stream"
    assert with_identity(open_run(folder / "run"), facts["identity"]).config.tokens.subwords


def test_the_loss_counts_the_assistants_turns(adapted):
    folder, _ = adapted
    run = for_chat(open_run(folder / "run"))
    examples = task_for(run.config, run.words).open_source(str(folder / "talk.jsonl"))
    assert len(examples) == 20
    first = slice(*examples.starts[:2])
    ids, counted = examples.ids[first], examples.trained[first]
    # The tokenizer puts `<s>` before a text, not before each piece.
    assert ids[0] == 1
    assert (ids == 1).sum() == 1
    text = run.tokenizer.text(ids[counted])
    assert text.replace(" ", "") == "catatcat\nhe\n"
    batch = task_for(run.config, run.words).open_source(str(folder / "talk.jsonl"))
    assert batch.evaluated.sum() == examples.trained.sum()


@pytest.mark.usefixtures("decoded_without_xla")
def test_a_network_of_subwords_learns_to_answer(tmp_path):
    lines = [json.dumps({"messages": talk(number)}) for number in range(40)]
    (tmp_path / "talk.jsonl").write_text("\n".join(lines), encoding="utf-8")
    config = tiny.load_config(
        tmp_path,
        'tokens.modalities=["subword"]',
        "tokens.subwords=280",
        "tokens.tied=true",
        "context.layout=chat",
        "context.grid=[64]",
        "train.steps=150",
        f"data.source={tmp_path / 'talk.jsonl'}",
        "train.num_evaluations=0",
        "train.sample=0",
    )
    result = mdnn.train(config, tmp_path / "run", show=False)
    run = open_run(tmp_path / "run")
    assert result["loss"] < 0.5
    assert run.tokenizer.size == 280
    answer = mdnn.generate(run, "the hat", length=12, temperature=0)
    # Which of four words was asked for is more than such a network learns in seconds.
    assert answer in {f"{word} at {word}" for word in WORDS}


def test_a_network_of_texts_has_no_conversations(tiny_run):
    with pytest.raises(mdnn.MdnnError, match="a chat template; this one continues texts"):
        for_chat(open_run(tiny_run))
    assert np.array_equal(
        open_run(tiny_run).tokenizer.ids("ab", begins=False), np.array([97, 98], "int32")
    )


@pytest.mark.usefixtures("decoded_without_xla")
def test_the_benchmark_of_dialogues(adapted, tmp_path, monkeypatch, capsys):
    """benchmarks/finetune.py learns from dialogues, and says loss, bytes and answers."""
    monkeypatch.syspath_prepend(pathlib.Path(__file__).parents[2] / "benchmarks")
    finetune = importlib.import_module("finetune")
    monkeypatch.setattr(finetune, "LENGTH", 4)
    speakers = {"user": "user", "assistant": "system"}
    turns = [{"speaker": speakers[m["role"]], "text": m["content"]} for m in talk(0)]
    for name in ("train", "dev"):
        (tmp_path / name).write_text(json.dumps({"turns": turns}) + "\n", encoding="utf-8")
    files = [f"--{name}={tmp_path / name}" for name in ("train", "dev", "json")]
    files.append(f"--out={tmp_path / 'out.safetensors'}")
    words = ["--minutes=0.01", "--rank=2", "--batch=1"]
    monkeypatch.setattr(sys, "argv", ["finetune.py", str(adapted[0] / "run"), *files, *words])
    assert finetune.main() == 0
    figures = json.loads((tmp_path / "json").read_text(encoding="utf-8"))
    assert (figures["dialogues"], figures["held_out"]) == (1, 1)
    assert figures["bytes"] == (tmp_path / "out.safetensors").stat().st_size
    assert figures["loss"] < figures["loss_before"]
    assert set(figures["answers"][0]) == {"user", "in the data", "before", "after"}
    assert "the update: rank 2" in capsys.readouterr().out
