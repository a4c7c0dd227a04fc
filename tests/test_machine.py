"""How many cores a process may use: affinity and the quotas of control groups."""

import os

import pytest

from mdnn import machine


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """24 cores; returns a function that writes files of control groups, texts by path."""
    monkeypatch.setattr(machine, "CGROUPS", tmp_path / "fs")
    monkeypatch.setattr(machine, "OWN_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(24)), raising=False)

    def write(own, files):
        (tmp_path / "cgroup").write_text(own)
        for name, text in files.items():
            file = tmp_path / "fs" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    return write


V1 = "4:memory:/docker/ab\n3:cpu,cpuacct:/docker/ab\n1:name=systemd:/\n"


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, 24),
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "1000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "9900000 100000\n"}, 24),
        ("0::/\n", {"cpu.max": "nonsense\n"}, 24),
        ("0::/\n", {}, 24),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "400000 100000"}, 4),
        # The host's path, seen from inside a container.
        ("0::/kubepods/pod1/x\n", {"cpu.max": "300000 100000"}, 3),
        (V1, {"cpu/docker/ab/cpu.cfs_quota_us": "-1", "cpu/docker/ab/cpu.cfs_period_us": "1"}, 24),
        (V1, {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        (
            V1,
            {
                "cpu,cpuacct/docker/ab/cpu.cfs_quota_us": "400000",
                "cpu,cpuacct/docker/ab/cpu.cfs_period_us": "100000",
            },
            4,
        ),
        ("", {}, 24),
        ("no colon\n", {}, 24),
    ],
)
def test_quotas_of_control_groups(groups, own, files, expected):
    groups(own, files)
    assert machine.cores() == expected


def test_systems_without_affinity_and_control_groups(groups, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    assert machine.cores() == 12
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine.cores() == 1
