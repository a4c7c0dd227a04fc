"""Files on systems that lack something, each emulated by functions that refuse as it does."""

import errno
import fcntl
import os
import pathlib
import time

import numpy as np
import pytest

from mdnn import file_systems
from mdnn.errors import MdnnError
from mdnn.file_systems import append_text, as_path, rename, sync_file, temporary_name
from mdnn.files import making, replacing, write_text


def refusal(number, *path):
    return OSError(number, os.strerror(number), *map(str, path))


def writable(handle):
    return fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY


def windows(patch):
    """No sync of what is open for reading, no open folder; a scanner holds each file for a while.

    Nothing is renamed over a folder.
    """
    fsync, replace, opened, held = os.fsync, os.replace, os.open, {}

    def refusing_fsync(handle):
        if not writable(handle):
            raise refusal(errno.EBADF)
        fsync(handle)

    def refusing_replace(source, target):
        held[str(target)] = held.get(str(target), 2) - 1
        if held[str(target)] > 0 or os.path.isdir(target):
            raise refusal(errno.EACCES, source)
        replace(source, target)

    def refusing_open(path, *args, **options):
        if os.path.isdir(path):
            raise refusal(errno.EACCES, path)
        return opened(path, *args, **options)

    patch.setattr(os, "fsync", refusing_fsync)
    patch.setattr(os, "replace", refusing_replace)
    patch.setattr(os, "open", refusing_open)


def exfat(patch):
    """No mode bits, no links, no sync of folders."""
    fsync = os.fsync

    def refusing_fsync(handle):
        if not writable(handle):
            raise refusal(errno.EINVAL)
        fsync(handle)

    def refuse(*args, **options):
        raise refusal(errno.EPERM)

    patch.setattr(os, "fsync", refusing_fsync)
    for name in ("chmod", "link", "symlink"):
        patch.setattr(os, name, refuse)


def network_disk(patch):
    """Busy files, no rename over a file that is there, no locks."""
    replace, busy = os.replace, []

    def refusing_replace(source, target):
        if os.path.isfile(target):
            raise refusal(errno.EEXIST, source)
        if len(busy) < 2:
            busy.append(target)
            raise refusal(errno.EBUSY, source)
        replace(source, target)

    def refuse(*args):
        raise refusal(errno.ENOTSUP)

    patch.setattr(os, "replace", refusing_replace)
    patch.setattr(fcntl, "flock", refuse)


def object_store(patch):
    """No rename, no sync, no mode bits, nothing is appended to or changed in place."""
    real = open

    def refuse(*args, **options):
        raise refusal(errno.ENOSYS)

    def refusing_open(path, mode="r", *args, **options):
        if "a" in mode or "+" in mode:
            raise refusal(errno.ENOTSUP, path)
        return real(path, mode, *args, **options)

    for name in ("replace", "rename", "fsync", "chmod", "link", "symlink"):
        patch.setattr(os, name, refuse)
    patch.setattr(file_systems, "open", refusing_open, raising=False)
    patch.setattr(fcntl, "flock", refuse)


SYSTEMS = (windows, exfat, network_disk, object_store)


@pytest.fixture(params=SYSTEMS, ids=lambda system: system.__name__)
def system(request, monkeypatch):
    monkeypatch.setattr(file_systems, "PAUSES", (0.0, 0.0))
    request.param(monkeypatch)
    return request.param


@pytest.mark.usefixtures("system")
def test_files_are_replaced(tmp_path):
    for text in ("old\n", "new\n", "ä\n"):
        write_text(tmp_path / "a.txt", text)
        assert (tmp_path / "a.txt").read_bytes() == text.encode()
    append_text(tmp_path / "a.txt", "more\n")
    assert (tmp_path / "a.txt").read_bytes() == "ä\nmore\n".encode()
    assert os.listdir(tmp_path) == ["a.txt"]

    def write_half():
        with replacing(tmp_path / "a.txt") as part:
            part.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        write_half()
    assert (tmp_path / "a.txt").read_bytes() == "ä\nmore\n".encode()
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.usefixtures("system")
def test_folders_are_made(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("a/b", "empty"):
        with making(tmp_path / name) as part:
            (part / "inner").mkdir()
            (part / "inner" / "c").write_text("new")
        assert (tmp_path / name / "inner" / "c").read_text() == "new"
    assert sorted(os.listdir(tmp_path)) == ["a", "empty"]
    assert os.listdir(tmp_path / "a") == ["b"]


@pytest.mark.usefixtures("system")
def test_checkpoints_metrics_and_locks(tmp_path):
    from mdnn.training import checkpoint
    from mdnn.training.metrics_log import Metrics, read_metrics, sync
    from mdnn.training.run_lock import locked

    class Variable:
        def __init__(self, value):
            self.value, self.dtype, self.shape = np.array(value), "float32", (2,)

        def __array__(self, dtype=None, copy=None):
            return self.value

        def assign(self, value):
            self.value = value

    parts = {"model": {"a": Variable(np.float32([1, 2]))}}
    with locked(tmp_path):
        metrics = Metrics(tmp_path, ["step", "train_loss"], 0)
        for step in (1, 2, 3):
            parts["model"]["a"].value = np.float32([step, 2])
            metrics.write({"step": str(step), "train_loss": "2.0", "seconds": "1.0"})
            sync(tmp_path)
            checkpoint.write_checkpoint(tmp_path, parts, checkpoint.Progress(step=step), keep=2)
    assert len(list((tmp_path / checkpoint.FOLDER).iterdir())) == 2
    assert read_metrics(tmp_path)["step"] == [1, 2, 3]
    parts["model"]["a"].value = None
    assert checkpoint.restore(tmp_path, parts).step == 3
    assert parts["model"]["a"].value.tolist() == [3, 2]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_real_trouble_is_told(tmp_path, monkeypatch, number):
    write_text(tmp_path / "a.txt", "old")

    def refuse(*args):
        raise refusal(number)

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, refuse)
            with pytest.raises(OSError, match=r"a\.txt") as error:
                write_text(tmp_path / "a.txt", "new")
        assert error.value.errno == number
        assert (tmp_path / "a.txt").read_text() == "old"
        assert os.listdir(tmp_path) == ["a.txt"]


def test_a_file_that_stays_open_elsewhere(tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)

    def refuse(*args):
        raise refusal(errno.EACCES)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        write_text(tmp_path / "a.txt", "new")
    assert waited == list(file_systems.PAUSES)
    assert os.listdir(tmp_path) == []


def test_an_old_checkpoint_that_is_open_elsewhere(tmp_path, monkeypatch):
    from mdnn.training import checkpoint

    for step in (1, 2, 3):
        if step == 3:

            def refuse(self, missing_ok=False):
                raise refusal(errno.EACCES, self)

            monkeypatch.setattr(pathlib.Path, "unlink", refuse)
        checkpoint.write_checkpoint(tmp_path, {}, checkpoint.Progress(step=step), keep=1)
    assert checkpoint.newest(tmp_path).name == "step-000000003.safetensors"


def test_rename_keeps_folders(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    with pytest.raises(OSError, match="not empty"):
        rename(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a" / "a").exists()
    assert os.listdir(tmp_path / "b") == ["b"]


def test_sync_of_what_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        sync_file(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["a", "ä" * 120, "文" * 80, "x" * 250, "😀" * 60, "a b$%'\""])
def test_temporary_names_fit(tmp_path, name):
    part = temporary_name(tmp_path / name)
    assert part.parent == tmp_path
    assert len(os.fsencode(part.name)) <= 143
    assert part.name.startswith(".")
    write_text(tmp_path / name, "new")
    assert os.listdir(tmp_path) == [name]


def test_paths_of_people(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert as_path("~/runs/x/") == tmp_path / "runs" / "x"
    assert as_path("~") == tmp_path
    assert as_path(pathlib.Path("~/a b")) == tmp_path / "a b"
    for same in ("a~b", "./~", "~nobody-of-that-name/x", "$HOME/%d/'\"", "日本/ж/é", "a//b"):
        assert as_path(same) == pathlib.Path(same)
    for bad in ("", None, 3, b"bytes", "a\0b", ["a"]):
        with pytest.raises(MdnnError, match="--out: expected a path, received"):
            as_path(bad, "--out")
