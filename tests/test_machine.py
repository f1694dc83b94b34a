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


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Files below a root of their own, on a machine of 64 processors and 32 GB."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64))

    def write(mounts, own, **files):
        files = {"proc/meminfo": MEMINFO, "proc/self/mounts": mounts, "proc/self/cgroup": own, **files}
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("mounts", "own", "files", "processors", "workers"),
    [
        ("", "", {}, 64, 32),  # 32 GB
        (V2, "0::/\n", {"cpu.max": "max 100000\n", "memory.max": "max\n"}, 64, 32),
        (V2, "0::/\n", {"cpu.max": "400000 100000\n"}, 4, 4),
        (V2, "0::/a/b\n", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, 2, 2),  # by the outer group
        (V2, "0::/a/b\n", {"a/cpu.max": "800000 100000", "a/b/cpu.max": "300000 100000"}, 3, 3),  # by the inner one
        (V2, "0::/elsewhere\n", {"cpu.max": "200000 100000"}, 2, 2),  # a container that sees its own group as the top
        (V2, "0::/\n", {"cpu.max": "5000 100000"}, 1, 1),
        (V2, "0::/\n", {"memory.max": "3500000000"}, 64, 3),
        (V2, "0::/\n", {"memory.max": "200000000"}, 64, 1),
        (V2, "0::/\n", {"cpu.max": "not a number"}, 64, 32),
        (BOTH_V1, "3:cpu:/x\n", {"cpu/x/cpu.cfs_quota_us": "200000", "cpu/x/cpu.cfs_period_us": "100000"}, 2, 2),
        (BOTH_V1, "3:cpu:/\n2:memory:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64, 32),
        (BOTH_V1, "3:cpu:/\n2:memory:/\n", {"memory/memory.limit_in_bytes": "5000000000"}, 64, 5),
        (BOTH_V1, "3:cpu:/\n2:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712"}, 64, 32),
    ],
)  # fmt: skip
def test_the_least_of_affinity_quota_and_memory(kernel, mounts, own, files, processors, workers):
    root = kernel(mounts, own, **{f"sys/fs/cgroup/{name}": text for name, text in files.items()})
    assert (machine.processors(root), machine.workers(root)) == (processors, workers)


def test_affinity_counts(kernel, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(3))
    assert machine.workers(kernel("", "")) == 3


def test_auto_and_plan_count_as_the_machine_does(tmp_path):
    """In a control group of one processor, as a container may be."""
    group = Path("/sys/fs/cgroup/cpu") / f"bumplab-{os.getpid()}"
    try:
        group.mkdir()
        (group / "cpu.cfs_quota_us").write_text("100000")
    except OSError:
        pytest.skip("this user may make no control group of version 1")
    inside = f'echo $$ > {group}/cgroup.procs && exec "$@"'
    code = "from bumplab import machine; print(machine.processors(), machine.workers())"
    claims = ["pytest", "claims", "-n", "auto", "--profile", "smoke", "-k", "overlap", "--runs-dir", tmp_path / "runs",
              "--report", tmp_path / "report.html"]  # fmt: skip
    try:
        for command, said in ((["-c", code], "1 1\n"), (["-m", *claims], "created: 1/1 worker\n")):
            done = subprocess.run(
                ["sh", "-c", inside, "sh", sys.executable, *map(str, command)],
                cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False,
                env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")},
            )  # fmt: skip
            assert said in done.stdout, done.stdout + done.stderr
    finally:
        group.rmdir()
