"""mdnn from a wheel, in an environment of its own, away from the repository."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
import tiny

import mdnn

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.long


def run(*words, cwd):
    """Runs a program without this process's paths; returns its standard output."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MDNN"))}
    done = subprocess.run(
        [*map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the repository."""
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "repository").mkdir()
    for name in ("LICENSE", "README.md", "pyproject.toml", "setup.cfg", "setup.py"):
        shutil.copy(ROOT / name, folder / "repository")
    for name in ("configs", "mdnn"):
        leave = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / "repository" / name, ignore=leave, symlinks=True)
    words = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, "./repository")
    run(sys.executable, *words, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """The programs of a new environment with the wheel; the other packages are this one's."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "venv", cwd=folder)
    programs = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    words = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel)
    run(programs / "python", *words, cwd=folder)
    where = run(
        programs / "python",
        "-c",
        "import sysconfig; print(sysconfig.get_path('purelib'))",
        cwd=folder,
    )
    others = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(where.strip()) / "others.pth").write_text("\n".join(others), encoding="utf-8")
    return programs


def test_what_the_wheel_holds(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for path in (ROOT / "configs").iterdir():
            assert archive.read(f"mdnn/configs/{path.name}") == path.read_bytes()
    for page in (ROOT / "mdnn" / "serving" / "server" / "page").iterdir():
        assert f"mdnn/serving/server/page/{page.name}" in names
    code = {p.relative_to(ROOT).as_posix() for p in (ROOT / "mdnn").rglob("*.py")}
    assert code <= names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "configs/"))]


def test_commands_of_the_wheel(environment, tmp_path):
    python, command = environment / "python", environment / "mdnn"
    found = run(python, "-c", "import mdnn; print(mdnn.__file__)", cwd=tmp_path).strip()
    assert Path(found).is_relative_to(environment.parent)
    assert run(command, "--version", cwd=tmp_path) == f"mdnn {mdnn.__version__}\n"
    assert run(python, "-m", "mdnn", "--help", cwd=tmp_path).startswith("usage: mdnn")
    shipped = len(list((ROOT / "configs").glob("*.toml")))
    assert run(command, "configs", cwd=tmp_path).count("command:") == shipped > 20
    text = run(python, "-m", "mdnn", "configs", "text", cwd=tmp_path)
    assert text == (ROOT / "configs" / "text.toml").read_text("utf-8")
    words = (
        "--set",
        "train.steps=2",
        "--set",
        "train.sample=0",
        "--set",
        "train.num_evaluations=0",
    )
    said = run(command, "train", "text", "--out", "run", *words, cwd=tmp_path)
    assert "saved in run\n" in said
    assert (
        run(command, "generate", "run", "--prompt", "-x", "--length", 5, cwd=tmp_path)[:2] == "-x"
    )


def test_the_demo_of_the_wheel(environment, tmp_path):
    config = tiny.write_config(tmp_path).read_text("utf-8")
    # A file of that name stands in for the shipped config, which trains for 3 minutes.
    (tmp_path / "text").write_text(config.replace("steps = 300", "steps = 30"), "utf-8")
    said = run(environment / "python", "-m", "mdnn", "demo", cwd=tmp_path)
    assert "What to try next" in said
    (made,) = (tmp_path / "runs").iterdir()
    assert (made / "served" / "1" / "saved_model.pb").is_file()
