"""The number of cores: what the affinity of the process and the quotas of its container leave."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from texsynth.cores import cores

HOST = 64


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 64 cores, all of which the process may use."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(HOST)), raising=False)


def system(root: Path, groups: str, files: dict[str, str]) -> Path:
    """What a system shows of control groups: `proc/self/cgroup`, and files below `sys/fs/cgroup`."""
    for name, text in {
        "proc/self/cgroup": groups,
        **{f"sys/fs/cgroup/{n}": t for n, t in files.items()},
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


V1 = "5:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n"
CASES = {
    "no control groups": ("", {}, HOST),
    "version 2, in a container": ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
    "version 2, without a limit": ("0::/a.slice\n", {"a.slice/cpu.max": "max 100000\n"}, HOST),
    "version 2, a group inside a smaller one": (
        "0::/a/b\n", {"a/b/cpu.max": "800000 100000\n", "a/cpu.max": "300000 100000\n"}, 3,
    ),
    "version 2, another group": ("0::/a\n", {"b/cpu.max": "100000 100000\n"}, HOST),
    "version 2, less than a core": ("0::/\n", {"cpu.max": "20000 100000\n"}, 1),
    "version 1, seen from outside": (
        V1, {"cpu,cpuacct/docker/1/cpu.cfs_quota_us": "400000\n",
             "cpu,cpuacct/docker/1/cpu.cfs_period_us": "100000\n"}, 4,
    ),
    "version 1, seen from inside": (
        V1, {"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2,
    ),
    "version 1, without a limit": (
        V1, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, HOST,
    ),
    "both versions": ("4:cpu:/\n0::/x\n", {"unified/x/cpu.max": "500000 100000\n"}, 5),
    "damaged": ("0::/\n:\n\nnonsense", {"cpu.max": "1 0\n"}, HOST),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_quotas_of_containers_count(case: str, tmp_path: Path) -> None:
    groups, files, expected = CASES[case]
    assert cores(system(tmp_path, groups, files)) == expected


def test_the_affinity_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert cores(system(tmp_path, "0::/\n", {"cpu.max": "400000 100000"})) == 2
    assert cores(system(tmp_path, "0::/\n", {"cpu.max": "100000 100000"})) == 1


def test_where_the_system_tells_nothing(tmp_path: Path) -> None:
    assert cores(tmp_path) == HOST
