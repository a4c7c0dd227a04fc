"""Truncated, damaged and hostile files of other projects are refused in one line."""

import os
import random
import struct
import time
import tracemalloc

import attacks
import foreign_files
import keras
import pytest

from mdnn.foreign.import_run import open_foreign, stored_arrays
from mdnn.foreign.llama2c_model import read_llama2c_tokenizer
from mdnn.tokens.subwords.subword_tokenizer import SubwordTokenizer

MEMORY = 64 << 20
HUGE = struct.pack("<Q", 1 << 62)

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="what is read does not depend on it"
)


def read_weights(path):
    model = open_foreign(path)
    SubwordTokenizer(model.vocabulary, model.shape.vocabulary)
    stored_arrays(model, None, lambda part: None)


def gguf_head(tensors=0, keys=0, body=b"", version=3):
    counts = struct.pack("<QQ", tensors, keys)
    return b"GGUF" + struct.pack("<I", version) + counts + body


def key(name, kind, body):
    return struct.pack("<Q", len(name)) + name + struct.pack("<I", kind) + body


def tensor(name=b"a", axes=(4,), kind=0, offset=0, rank=None):
    head = struct.pack("<Q", len(name)) + name
    head += struct.pack("<I", len(axes) if rank is None else rank)
    return head + struct.pack(f"<{len(axes)}QIQ", *axes, kind, offset)


BAD_GGUF = {
    "nothing": b"",
    "magic alone": b"GGUF",
    "version": gguf_head(version=9),
    "big endian": b"GGUF" + struct.pack(">I", 3) + bytes(16),
    "tensors": b"GGUF" + struct.pack("<I", 3) + HUGE + bytes(8),
    "keys": b"GGUF" + struct.pack("<I", 3) + bytes(8) + HUGE,
    "long name": gguf_head(keys=1, body=HUGE),
    "long string": gguf_head(keys=1, body=key(b"a", 8, HUGE)),
    "long array": gguf_head(keys=1, body=key(b"a", 9, struct.pack("<I", 4) + HUGE)),
    "long list of strings": gguf_head(keys=1, body=key(b"a", 9, struct.pack("<I", 8) + HUGE)),
    "arrays in arrays": gguf_head(keys=1, body=key(b"a", 9, struct.pack("<IQ", 9, 1) * 50_000)),
    "unknown value": gguf_head(keys=1, body=key(b"a", 77, bytes(64))),
    "a key twice": gguf_head(keys=2, body=key(b"a", 4, bytes(4)) * 2),
    "no axis": gguf_head(1, body=tensor(axes=()) + bytes(64)),
    "many axes": gguf_head(1, body=tensor(rank=1 << 31) + bytes(64)),
    "huge axes": gguf_head(1, body=tensor(axes=(1 << 33, 1 << 33)) + bytes(64)),
    "offset": gguf_head(1, body=tensor(offset=1 << 63) + bytes(64)),
    "crooked offset": gguf_head(1, body=tensor(offset=3) + bytes(64)),
    "part of a block": gguf_head(1, body=tensor(kind=3) + bytes(64)),
    "unknown type": gguf_head(1, body=tensor(kind=99) + bytes(64)),
    "a tensor twice": gguf_head(2, body=tensor() * 2 + bytes(128)),
    "alignment": gguf_head(keys=1, body=key(b"general.alignment", 4, bytes(4))),
    "no architecture": gguf_head(),
}


def kinds(folder):
    """The kinds of files, a dict from names to `attacks.Kind`."""
    foreign_files.write_gguf(folder / "a.gguf", "Q4_1")
    foreign_files.write_llama2c(folder / "a.bin", folder / "tokenizer.bin")
    gguf, weights = ((folder / name).read_bytes() for name in ("a.gguf", "a.bin"))
    tokens = (folder / "tokenizer.bin").read_bytes()
    vocabulary = open_foreign(folder / "a.gguf").vocabulary[0].encode()
    size = foreign_files.VOCABULARY

    def tokenizer_json(path):
        text = path.read_bytes().decode("utf-8", "replace")
        SubwordTokenizer((text, "{}"), size).ids("the cat")

    found = [
        attacks.Kind("a.gguf", gguf, read_weights, BAD_GGUF | {"cut": gguf[: len(gguf) // 2]}),
        attacks.Kind(
            "a.bin",
            weights,
            read_weights,
            {
                "nothing": b"",
                "head alone": weights[:28],
                "cut": weights[:-4],
                "longer": weights + b"\0",
                "negative": struct.pack("<7i", -64, 1, 1, 1, 1, 1, 1) + weights[28:],
                "huge": struct.pack("<7i", *[2**31 - 1] * 7),
                "no heads": struct.pack("<7i", 32, 64, 2, 0, 0, 288, 24) + weights[28:],
            },
        ),
        attacks.Kind(
            "tokenizer.bin",
            tokens,
            lambda path: read_llama2c_tokenizer(path, size),
            {
                "nothing": b"",
                "cut": tokens[:-1],
                "longer": tokens + b"\0",
                "negative length": tokens[:8] + struct.pack("<i", -5) + tokens[12:],
                "huge length": tokens[:8] + struct.pack("<i", 2**31 - 1) + tokens[12:],
                "NaN": tokens[:4] + struct.pack("<f", float("nan")) + tokens[8:],
            },
        ),
        attacks.Kind(
            "tokenizer.json",
            vocabulary,
            tokenizer_json,
            {"nothing": b"", "deep": b"[" * attacks.DEEP, "a list": b"[]", "cut": vocabulary[:-5]},
        ),
    ]
    return {kind.name: kind for kind in found}


NAMES = ("a.gguf", "a.bin", "tokenizer.bin", "tokenizer.json")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return kinds(tmp_path_factory.mktemp("made"))


def surroundings(files, folder):
    (folder / "tokenizer.bin").write_bytes(files["tokenizer.bin"].good)


@pytest.mark.parametrize("name", NAMES)
def test_bad_foreign_files_are_refused(files, name, tmp_path):
    kind, path = files[name], tmp_path / name
    surroundings(files, tmp_path)
    path.write_bytes(kind.good)
    assert attacks.refusal(kind, path) is None
    tracemalloc.start()
    try:
        for what, data in kind.bad.items():
            path.write_bytes(data)
            tracemalloc.reset_peak()
            start = time.process_time()
            assert attacks.refusal(kind, path), what
            assert time.process_time() - start < 5, what
            assert tracemalloc.get_traced_memory()[1] < MEMORY, what
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", NAMES)
def test_changed_foreign_files(files, name, tmp_path):
    surroundings(files, tmp_path)
    assert attacks.fuzz(files[name], tmp_path / name, random.Random(f"fast {name}"), 25) > 0


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_changed_foreign_files_for_a_minute(files, name, tmp_path):
    surroundings(files, tmp_path)
    draw, end = random.Random(f"long {name}"), time.monotonic() + 60
    while time.monotonic() < end:
        attacks.fuzz(files[name], tmp_path / name, draw, 50)


def test_no_file_a_folder_a_pipe(files, tmp_path):
    path = tmp_path / "a.gguf"
    assert attacks.refusal(files["a.gguf"], path)
    path.mkdir()
    assert attacks.refusal(files["a.gguf"], path)
    path.rmdir()
    os.mkfifo(path)
    assert attacks.refusal(files["a.gguf"], path)
