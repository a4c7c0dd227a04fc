"""A run with layers of chunks: trained, evaluated, made small, looked at; bad input refused."""

import json

import pytest
import tiny

import mdnn
from mdnn.cli import main
from mdnn.cli.chunk_view import shaded, visible
from mdnn.runs.chunk_report import agreement

LAYER = """[[backbone.layer]]
kind = "chunks"
width = 12
shortest = 3
longest = 8
[[backbone.layer.block]]
kind = "mix"
gate = "silu"
[[backbone.layer.block.mixer]]
wiring = "causal+shift"
groups = 2
[[backbone.layer]]
kind = "ngrams"
lengths = [2, 3]
rows = 64
width = 4
[[backbone.layer]]
kind = "feedforward"
"""


def load(folder, *settings, text=tiny.TEXT):
    path = tiny.write_config(folder, text)
    words = path.read_text(encoding="utf-8").replace("grid = [8]", "grid = [2, 12]")
    head, _, tail = words.partition('[[backbone.layer]]\nkind = "feedforward"\n')
    path.write_text(head + LAYER + tail, encoding="utf-8")
    return mdnn.load_config(path, [*tiny.QUICK, *settings])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chunks")
    result = mdnn.train(load(folder, "train.steps=80"), folder / "run", show=False)
    return folder / "run", result


def test_it_learns_and_is_made_small(run):
    path, result = run
    assert result["loss"] < 1.5
    loss = mdnn.evaluate(path, tiny.TEXT)["loss"]
    small = mdnn.quantize(path, "int8", path.parent / "small")
    assert mdnn.evaluate(small, tiny.TEXT)["loss"] == pytest.approx(loss, abs=0.05)


def test_chunks_of_a_text(run):
    text = tiny.TEXT[:200]
    facts = mdnn.inspect_text(run[0], text)
    assert "".join(facts["chunks"]) == text
    assert facts["chunks"][:4] == ["The", " cat", " sat", " on"]
    assert facts["strength"] == [1.0] * facts["count"]
    assert max(map(len, facts["chunks"])) <= 8
    most = facts["frequent"][0]
    assert most["count"] == facts["chunks"].count(most["chunk"])
    assert facts["words"]["precision"] == 1.0
    assert facts["vocabulary"] == len(set(facts["chunks"]))
    if facts["bpe"] is not None:
        assert 0 < facts["bpe"]["f1"] <= 1
    # Without spaces every chunk is full, and no cut is wanted.
    endless = mdnn.inspect_text(run[0], "abc" * 20)
    assert [len(chunk) for chunk in endless["chunks"]] == [8] * 7 + [4]
    assert endless["strength"][1:] == [0.0] * 7


def test_agreement():
    same = agreement([0, 3, 7, 9], [0, 3, 9])
    assert same == {"precision": 2 / 3, "recall": 1.0, "f1": pytest.approx(0.8)}
    assert agreement([0], [0])["f1"] == 0


def test_the_command(run, capsys, tmp_path):
    path, file = run[0], tmp_path / "book.txt"
    file.write_text(tiny.TEXT[:300], encoding="utf-8")
    assert main(["inspect", str(path), "--text", str(file)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("The| cat| sat| on| the| mat|. The| dog")
    assert "agreement with ends of words: 100.0% of the cuts" in out
    assert "·the" in out
    assert main(["inspect", str(path), "--text", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["characters_per_chunk"] > 3
    for words, said in (
        (["inspect", "text", "--text", str(file)], "--text: expected a run folder"),
        (["inspect", str(path), "--text", str(tmp_path / "none.txt")], "none.txt"),
    ):
        assert main(words) == 2
        assert said in capsys.readouterr().err
    with pytest.raises(mdnn.MdnnError, match="expected 2 to 1,000,000 characters, received 1"):
        mdnn.inspect_text(path, "a")
    plain = mdnn.build(tiny.load_config(tmp_path))
    with pytest.raises(mdnn.MdnnError, match="no layer of kind 'chunks'"):
        mdnn.inspect_text(plain, "a text")


def test_shades():
    shown = shaded(["The", " cat\n", "s"], [1.0, 0.2, 1.0])
    assert shown.count("\033[0m") == 4
    assert shown != shaded(["The", " cat\n", "s"], [1.0, 1.0, 1.0])
    assert shaded(["a"] * 2000, [1.0] * 2000, False).endswith("|a ...")
    assert visible(" a\n") == "·a⏎"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("backbone.layer.1.longest=25", "expected at most the 24 positions of context.grid"),
        ("backbone.layer.1.shortest=9", "expected at most longest = 8, received 9"),
        ("backbone.layer.1.cut=comma", "expected one of space, surprise, learned"),
        ("backbone.layer.1.width=0", "chunks need channels of a chunk"),
        ("backbone.layer.1.gate=silu", "not a key of kind = 'chunks'"),
        ("backbone.layer.0.shortest=5", "only a key of chunks, received kind = 'mix'"),
        ("backbone.layer.1.block.0.mixer.0.axes=[1]", "chunks have one axis"),
        ("backbone.layer.1.block.0.mixer.0.groups=5", "divisor of the chunks' width = 12"),
        ("refeed.steps=2", "'chunks' does not support refeeding"),
        ("train.objectives.parallel=1", "needs train.objectives.autoregressive alone"),
        ("context.layout=items", "cuts the text of context.layout = 'stream'"),
        ("backbone.layer.2.lengths=[2, 2]", "expected different numbers of characters"),
        ("backbone.layer.2.width=0", "n-grams need channels of a row"),
        ("backbone.layer.2.gate=silu", "not a key of kind = 'ngrams'"),
        ("backbone.layer.2.norm=layer", "not a key of kind = 'ngrams'"),
        ("backbone.layer.0.rows=5", "only a key of ngrams, received kind = 'mix'"),
    ],
)
def test_what_does_not_fit(tmp_path, setting, said):
    settings = [setting]
    if "parallel" in setting:
        settings.append("train.objectives.autoregressive=1")
    with pytest.raises(mdnn.MdnnError) as error:
        load(tmp_path, *settings)
    assert said in str(error.value)


def test_it_grows(run, tmp_path):
    """A longer text, a wider stream and wider chunks, with the state of training."""
    changes = ["context.grid=[4, 12]", "backbone.width=20", "backbone.layer.1.width=16"]
    facts = mdnn.grow(run[0], tmp_path / "large", changes)
    assert facts["difference"] < 1e-5
    before, after = (mdnn.inspect_text(path, tiny.TEXT[:99]) for path in (run[0], facts["run"]))
    assert after["chunks"] == before["chunks"]
    assert mdnn.evaluate(facts["run"], tiny.TEXT)["loss"] < 1.5


@pytest.mark.long
def test_served_as_it_generates(run, tmp_path):
    import tensorflow as tf

    path = mdnn.export(run[0], tmp_path / "served")
    answer = (
        tf.saved_model.load(str(path))
        .signatures["generate"](
            prompt=tf.constant(["The cat", "a"]),
            length=tf.constant(40),
            temperature=tf.constant(0.8),
            seed=tf.constant(3),
        )["text"]
        .numpy()
    )
    expected = mdnn.generate(
        run[0], "The cat", length=40, seed=3, temperature=0.8, top_k=0, top_p=1
    )
    assert answer[0].decode() == expected
