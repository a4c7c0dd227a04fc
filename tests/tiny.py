"""A network that trains in a second, for tests: 8 slots, 16 channels, one block."""

import mdnn

TEXT = "The cat sat on the mat. The dog ate the rat. Ça va, naïve café? \n" * 40

CONFIG = """
seed = 3
[tokens]
places = true
digits = 2
[context]
grid = [8]
[backbone]
width = 16
depth = 1
[[backbone.branch]]
kind = "mix"
gate = "silu"
[[backbone.branch.mixer]]
wiring = "causal+shift"
groups = 2
[[backbone.branch]]
kind = "feedforward"
gate = "silu"
[train]
steps = 300
batch = 8
checks = 2
sample = 20
[train.optimizer]
rate = 2e-2
warmup = 5
"""

WORDS = ('tokens.modalities=["text", "word"]', "tokens.words=20", "context.grid=[2, 4]")
"""What makes it a network of words, on two axes."""

QUICK = ("train.checks=0", "train.sample=0", "train.steps=20")
"""What makes its training as short as it can be."""


def write_config(folder, text=TEXT):
    """Writes text.txt and tiny.toml into a folder; returns the config's path."""
    source, path = folder / "text.txt", folder / "tiny.toml"
    source.write_text(text, encoding="utf-8")
    path.write_text(f'data.source = "{source}"\n{CONFIG}', encoding="utf-8")
    return path


def load_config(folder, *settings, text=TEXT):
    """The tiny `mdnn.Config` with `KEY=VALUE` settings; its text lies in the folder."""
    return mdnn.load_config(write_config(folder, text), settings)
