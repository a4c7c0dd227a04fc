"""Building and finding the native library; what happens without it."""

import json
import os

import pytest

import mdnn
from mdnn import MdnnError
from mdnn.cli.parser import main
from mdnn.generation.item_generation import generate_items
from mdnn.generation.options import GenerationOptions
from mdnn.generation.puzzle_solving import solve_puzzles
from mdnn.kernels import native_library
from mdnn.native import native_build


@pytest.fixture
def no_library(monkeypatch, tmp_path):
    """An empty cache, and no library beside the package."""
    monkeypatch.setenv("MDNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(native_build, "packaged_libraries", list)
    return tmp_path / "cache"


def test_without_a_compiler(no_library, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert main(["build-native"]) == 2
    assert "found no C compiler" in capsys.readouterr().err
    assert native_library.native_library() is None


def test_a_compiler_that_fails(no_library, monkeypatch, tmp_path):
    false = tmp_path / "false-cc"
    false.write_text("#!/bin/sh\necho 'decoder.c:1: error: no' >&2\nexit 1\n", encoding="utf-8")
    false.chmod(0o755)
    monkeypatch.setenv("CC", str(false))
    with pytest.raises(MdnnError, match=r"failed: decoder\.c:1: error: no"):
        native_build.build_native()
    assert list(no_library.iterdir()) == []


def test_a_folder_that_cannot_be_made(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("MDNN_CACHE", str(tmp_path / "file"))
    if native_build.compiler() is None:
        pytest.skip("no C compiler")
    with pytest.raises(MdnnError, match="cannot be made"):
        native_build.build_native()


def test_texts_without_the_library(no_library, tiny_run):
    assert len(mdnn.generate(tiny_run, "The ", length=5)) == 5
    with pytest.raises(MdnnError, match="mdnn build-native"):
        mdnn.generate(tiny_run, "The ", length=5, engine="native")
    with pytest.raises(MdnnError, match=r"engine: unknown 'nativ'.*did you mean 'native'"):
        mdnn.generate(tiny_run, "The ", length=5, engine="nativ")


def test_a_library_of_other_sources_is_not_loaded(native, built_library, tmp_path, monkeypatch):
    monkeypatch.setenv("MDNN_CACHE", str(tmp_path))
    monkeypatch.setattr(native_build, "sources_number", lambda library="decoder": 7)
    os.link(built_library, native_build.library_path())
    assert native_library.native_library() is None
    native_build.library_path().unlink()
    native_build.library_path().write_bytes(b"no library")
    assert native_library.native_library() is None


def test_inspect_says_which_engine(native, tiny_run, capsys, monkeypatch, tmp_path):
    assert main(["inspect", str(tiny_run), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["texts"]
    assert facts["engine"] == "native"
    assert facts["instructions"] == native.mdnn_instruction_set().decode()
    monkeypatch.setenv("MDNN_CACHE", str(tmp_path))
    assert main(["inspect", str(tiny_run)]) == 0
    assert (
        "texts are continued by Keras: the native library is not built" in capsys.readouterr().out
    )


def test_items_and_puzzles_refuse_the_engine():
    options = GenerationOptions(engine="native")
    with pytest.raises(MdnnError, match="engine has no effect on item models"):
        generate_items(None, ["cat"], options)
    with pytest.raises(MdnnError, match="engine has no effect on puzzle models"):
        solve_puzzles(None, "1.", options)
