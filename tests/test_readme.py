"""What people paste from README and docs: every snippet of Python runs, every command parses."""

import gc
import re
import shlex
from pathlib import Path

import keras
import pytest
import tiny

from mdnn.cli.parser import parser

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Shorter trainings and texts, and the sizes of the tests' own network of items.
SHORTER = {
    r"train\.minutes=[\d.]+": "train.steps=3",
    r"\bsteps=\d+": "steps=2",
    r"\blength=300\b": "length=20",
    r"tf\.constant\(300\)": "tf.constant(20)",
    r"8x8": "4x4",
}


def blocks(page, language):
    """The code blocks of a page in one language; `""`: those without a word."""
    return [text for name, text in BLOCK.findall(page.read_text("utf-8")) if name == language]


def commands():
    """Pairs of a page and a command line of mdnn in its blocks."""
    for page in PAGES:
        for block in blocks(page, ""):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("mdnn "):
                    yield pytest.param(line, id=f"{page.name}: {line[:50]}")


@pytest.mark.parametrize("line", list(commands()))
def test_commands_parse(line):
    words = shlex.split(line, comments=True)[1:]
    options = parser().parse_args(words)
    assert options.run_command


@pytest.fixture
def desk(tmp_path, monkeypatch, items_run):
    """A working directory as README's reader has it, with small configs and files."""
    from mdnn.datasets.media.media_files import write_item
    from mdnn.tokens.items import Item

    monkeypatch.chdir(tmp_path)
    # Thread pools are the process's, and shared with other tests.
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    text = tiny.write_config(tmp_path).read_text("utf-8").replace("grid = [8]", "grid = [64]")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "text.toml").write_text(text.replace("steps = 300", "steps = 3"))
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "digits").symlink_to(items_run)
    write_item(Item("audio", tiny.sound("seven"), rate=1000), "seven.wav")
    write_item(Item("grey", tiny.picture("seven")), "seven.png")
    return tmp_path


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="it exports a SavedModel")
def test_pythons_snippets_run_in_their_order(desk, capsys):
    signatures = 0
    for number, block in enumerate(blocks(ROOT / "README.md", "python")):
        for pattern, short in SHORTER.items():
            block = re.sub(pattern, short, block)
        names = {"__name__": "__main__"}
        exec(compile(block, f"README.md, block {number + 1}", "exec"), names)
        if ".signatures[" in block:
            signatures += 1
            _use_elsewhere(names["generate"])
    assert signatures
    assert (desk / "runs" / "mine" / "model.safetensors").is_file()
    assert capsys.readouterr().out


def _use_elsewhere(generate):
    """The signature as other people paste it: inside tf.data, tf.function and a Keras layer."""
    import tensorflow as tf

    gc.collect()
    settings = {"length": tf.constant(5), "temperature": tf.constant(0.0), "seed": tf.constant(1)}
    alone = generate(prompt=tf.constant(["The "]), **settings)["text"].numpy().tolist()
    prompts = tf.data.Dataset.from_tensor_slices(["The "]).batch(1)
    mapped = prompts.map(lambda prompt: generate(prompt=prompt, **settings)["text"])
    assert [text.numpy().tolist() for text in mapped] == [alone]
    function = tf.function(lambda prompt: generate(prompt=prompt, **settings)["text"])
    assert function(tf.constant(["The "])).numpy().tolist() == alone
