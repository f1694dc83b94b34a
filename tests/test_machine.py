"""Processors and memory as a container grants them: files as the kernel writes them, and a real control group."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bumplab import machine

MEMINFO = "MemTotal: 99 kB\nMemFree: 1 kB\nMemAvailable:   32000000 kB\n"
V2, V1 = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", "cgroup /sys/fs/cgroup/{0} cgroup rw,{0} 0 0\n"
BOTH_V1 = V1.format("cpu") + V1.format("memory")


def kernel(root, mounts, group, **files):
    """The kernel's files below a root of their own, on a machine of 32 GB."""
    files = {"proc/meminfo": MEMINFO, "proc/self/mounts": mounts, "proc/self/cgroup": group, **files}
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


CASES = [
    # mounts, the process's groups, files, processors, workers
    ("", "", {}, 64, 32),  # 32 GB
    (V2, "0::/\n", {"cpu.max": "max 100000\n", "memory.max": "max\n"}, 64, 32),
    (V2, "0::/\n", {"cpu.max": "400000 100000\n"}, 4, 4),
    (V2, "0::/a/b\n", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, 2, 2),  # by the outer group
    (V2, "0::/a/b\n", {"a/cpu.max": "800000 100000", "a/b/cpu.max": "300000 100000"}, 3, 3),  # by the inner one
    (V2, "0::/elsewhere\n", {"cpu.max": "200000 100000"}, 2, 2),  # a container that sees its own group as the top
    (V2, "0::/\n", {"cpu.max": "5000 100000"}, 1, 1),
    (V2, "0::/\n", {"memory.max": "3500000000"}, 64, 3),
    (V2, "0::/\n", {"memory.max": "max", "memory.high": "2500000000"}, 64, 2),
    (V2, "0::/\n", {"memory.max": "200000000"}, 64, 1),
    (V2, "0::/\n", {"cpu.max": "not a number"}, 64, 32),
    (BOTH_V1, "3:cpu:/x\n", {"cpu/x/cpu.cfs_quota_us": "200000", "cpu/x/cpu.cfs_period_us": "100000"}, 2, 2),
    (BOTH_V1, "3:cpu:/\n2:memory:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64, 32),
    (BOTH_V1, "3:cpu:/\n2:memory:/\n", {"memory/memory.limit_in_bytes": "5000000000"}, 64, 5),
    (BOTH_V1, "3:cpu:/\n2:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712"}, 64, 32),
]  # fmt: skip


def test_the_least_of_affinity_quota_and_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64))
    for number, (mounts, group, files, processors, workers) in enumerate(CASES):
        case = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
        root = kernel(tmp_path / str(number), mounts, group, **case)
        assert (machine.processors(root), machine.workers(root)) == (processors, workers), (mounts, group, files)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(3))
    assert machine.workers(kernel(tmp_path / "affinity", "", "")) == 3


def test_a_real_control_group_limits_the_processors():
    """A group of one processor, as a container may be."""
    group = Path("/sys/fs/cgroup/cpu") / f"bumplab-{os.getpid()}"
    try:
        group.mkdir()
        (group / "cpu.cfs_quota_us").write_text("100000")
    except OSError:
        pytest.skip("this user may make no control group of version 1")
    inside = f'echo $$ > {group}/cgroup.procs && exec "$@"'
    code = "from bumplab import machine; print(machine.processors(), machine.workers())"
    try:
        ended = subprocess.run(
            ["sh", "-c", inside, "sh", sys.executable, "-c", code],
            cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.stdout == "1 1\n", ended.stderr
    finally:
        group.rmdir()
