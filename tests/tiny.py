"""Networks that train in seconds, for tests: one of text, one of words, pictures and sounds."""

import json

import numpy as np

import mdnn
from mdnn.datasets.media.media_files import write_item
from mdnn.tokens.items import Item

TEXT = "The cat sat on the mat. The dog ate the rat. Ça va, naïve café? \n" * 40

CONFIG = """
seed = 3
[tokens]
coordinates = true
digits = 2
[context]
grid = [8]
[backbone]
width = 16
depth = 1
[[backbone.layer]]
kind = "mix"
gate = "silu"
[[backbone.layer.mixer]]
wiring = "causal+shift"
groups = 2
[[backbone.layer]]
kind = "feedforward"
gate = "silu"
[train]
steps = 300
batch_size = 8
num_evaluations = 2
sample = 20
[train.optimizer]
learning_rate = 2e-2
warmup_steps = 5
"""

WORDS = ('tokens.modalities=["text", "word"]', "tokens.words=20", "context.grid=[2, 4]")
"""What makes it a network of words, on two axes."""

QUICK = ("train.num_evaluations=0", "train.sample=0", "train.steps=20")
"""What makes its training as short as it can be."""


def write_config(folder, text=TEXT):
    """Writes text.txt and tiny.toml into a folder; returns the config's path."""
    source, path = folder / "text.txt", folder / "tiny.toml"
    source.write_text(text, encoding="utf-8")
    path.write_text(f"data.source = {json.dumps(str(source))}\n{CONFIG}", encoding="utf-8")
    return path


def load_config(folder, *settings, text=TEXT):
    """The tiny `mdnn.Config` with `KEY=VALUE` settings; its text lies in the folder."""
    return mdnn.load_config(write_config(folder, text), settings)


ITEMS = """
seed = 3
data.validation = 0.25
data.order = "pairs"
[tokens]
modalities = ["text", "grey", "audio"]
table_init = "ordered"
coordinates = true
items = true
base = 8
digits = 2
sample_rate = 1000
[context]
layout = "items"
grid = [5, 8]
pad_to_multiple_of = 8
padding = "random"
[backbone]
width = 24
depth = 1
[[backbone.layer]]
kind = "fold"
width = 32
[[backbone.layer.block]]
kind = "mix"
gate = "silu"
[[backbone.layer.block.mixer]]
wiring = "causal"
[[backbone.layer]]
kind = "mix"
gate = "silu"
[[backbone.layer.mixer]]
axes = [2]
groups = 2
[[backbone.layer]]
kind = "feedforward"
gate = "silu"
[train]
steps = 300
batch_size = 16
num_evaluations = 2
sample = 0
[train.objectives]
autoregressive = 2
parallel = 1
masked_diffusion = 1
[train.optimizer]
learning_rate = 1e-2
warmup_steps = 5
weight_decay = 1.0
"""

DIGITS = {
    "one": (("0100", "0100", "0100", "0100"), "++++----"),
    "two": (("1110", "0010", "0100", "1111"), "+-+-+-"),
    "seven": (("1111", "0001", "0010", "0100"), "++--+"),
}
"""Words with the picture, 4x4, and the sound of each."""

VERSIONS = range(4)
"""Pictures and sounds of each word: 0 as above, others with one pixel or sample the other way; a
fourth of them validates."""

LOUD = 20_000


def picture(word, version=0):
    """A grey picture of a word, uint8 `[4, 4]`."""
    rows = np.array([[int(pixel) for pixel in row] for row in DIGITS[word][0]])
    if version:
        rows[version, 0] = 1 - rows[version, 0]
    return (rows * 255).astype("uint8")


def sound(word, version=0):
    """A sound of a word, int16 `[5]` to `[8]`."""
    samples = np.array([LOUD if sample == "+" else -LOUD for sample in DIGITS[word][1]])
    if version:
        samples[version] = -samples[version]
    return samples.astype("int16")


def write_items(folder):
    """Writes manifest.jsonl with pictures and sounds, and items.toml; returns the config's path."""
    lines = []
    for word in DIGITS:
        parts = {"image": [], "audio": []}
        for version in VERSIONS:
            parts["image"].append(f"{word}-{version}.png")
            write_item(Item("grey", picture(word, version)), folder / parts["image"][-1])
            parts["audio"].append(f"{word}-{version}.wav")
            write_item(Item("audio", sound(word, version), rate=1000), folder / parts["audio"][-1])
        lines.append({"name": word, "items": [{"text": word}, *({k: v} for k, v in parts.items())]})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "manifest.jsonl").write_text(text, encoding="utf-8")
    path = folder / "items.toml"
    path.write_text(f'data.source = "{folder}"\n{ITEMS}', encoding="utf-8")
    return path


def load_items(folder, *settings):
    """The tiny `mdnn.Config` of words, pictures and sounds, with `KEY=VALUE` settings."""
    return mdnn.load_config(write_items(folder), settings)
