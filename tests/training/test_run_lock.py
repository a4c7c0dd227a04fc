"""A run folder is trained by one process at a time, on systems with other locks, too."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import lock_systems
import pytest

from mdnn.errors import MdnnError
from mdnn.training import run_lock
from mdnn.training.run_lock import lock_file, locked

PROGRAM = """
import sys, time
sys.path.insert(0, {tests!r})
import lock_systems
from mdnn.training.run_lock import locked
lock_systems.emulate({system!r})
with locked({folder!r}):
    print("held", flush=True)
    time.sleep(60)
"""
TESTS = str(Path(__file__).parents[1])


@pytest.fixture
def system(request, monkeypatch, tmp_path):
    """The name of a system whose locks this process has, and its own temporary folder."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    for module in ("fcntl", "msvcrt"):
        monkeypatch.setattr(run_lock, module, getattr(run_lock, module))
    lock_systems.emulate(request.param)
    return request.param


def each(*names):
    return pytest.mark.parametrize("system", names, indirect=True)


@each("posix", "windows", "network")
def test_the_lock_dies_with_its_process(system, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    program = PROGRAM.format(tests=TESTS, system=system, folder=str(folder))
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(MdnnError, match="by another process"), locked(folder):
            pass
        process.kill()
        process.wait()
        with locked(folder):
            pass
    assert os.listdir(folder) == []


@each("posix", "windows", "network")
def test_a_lock_is_taken_and_given_back(system, tmp_path):
    folder, other = tmp_path / "run", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    (tmp_path / "link").symlink_to(folder)
    for _ in range(2):
        with locked(folder), locked(other):
            # Another name of the same folder.
            for name in ("run", "other/../run", "link"):
                with pytest.raises(MdnnError, match="by another process"), locked(tmp_path / name):
                    pass
    left = os.listdir(tmp_path / "temporary")
    assert len(left) == (0 if system == "posix" else 2)
    assert os.listdir(folder) == []


@each("none")
def test_training_goes_on_without_any_lock(system, tmp_path):
    with locked(tmp_path), locked(tmp_path):
        pass


@each("windows")
def test_a_temporary_folder_that_cannot_be_written_to(system, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with locked(tmp_path):
        pass


@each("windows")
def test_a_lock_file_that_is_a_link_is_not_followed(system, tmp_path):
    victim = tmp_path / "victim"
    lock_file(tmp_path).symlink_to(victim)
    with locked(tmp_path):
        pass
    assert not victim.exists()
