"""What this machine gives to a session: processors and memory, within the limits of its container."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

BYTES_A_WORKER = 10**9
"""Main memory of a worker: torch, UMAP and a run of `quick` take 0.9 GB."""
ROOT = Path("/")


def workers(root: Path = ROOT) -> int:
    """How many workers may run at once: one a processor, as far as the memory goes. At least 1.

    ``root`` is where ``proc`` and ``sys`` are looked for.
    """
    return max(1, min(processors(root), memory(root) // BYTES_A_WORKER))


def processors(root: Path = ROOT) -> int:
    """Processors this process may use: by affinity, and by the CPU quota of its control groups, rounded up."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = []
    for folder in control_groups(root, "cpu"):
        if numbers := _numbers(folder / "cpu.max"):  # version 2: "150000 100000", or "max 100000"
            quota, period = (*numbers, math.inf)[:2]
        else:
            quota, period = (_number(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        if 0 < quota < math.inf and 0 < period < math.inf:
            quotas.append(math.ceil(quota / period))
    return max(1, min(affinity, *quotas)) if quotas else affinity


def memory(root: Path = ROOT) -> int:
    """Bytes of main memory that this process may take: what is available, and what its control groups allow."""
    limits = [_available(root)]
    for folder in control_groups(root, "memory"):
        limits += [_number(folder / name) for name in ("memory.max", "memory.high", "memory.limit_in_bytes")]
    return int(min(limit for limit in limits if limit > 0))


def control_groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's control groups that may limit it, from its own to the outermost (cgroups(7))."""
    paths = {}  # of this process, by controller; "" is version 2
    for entry in _lines(root / "proc/self/cgroup"):
        _, controllers, path = (*entry.split(":", 2), "", "")[:3]
        paths.update(dict.fromkeys(controllers.split(","), path))
    for entry in _lines(root / "proc/self/mounts"):
        _, mount, kind, options, *_ = (*entry.split(), "", "", "", "")
        key = {"cgroup2": "", "cgroup": controller}.get(kind)
        if key is None or key not in paths or (key and key not in options.split(",")):
            continue
        top = root / mount.lstrip("/")
        own = top / paths[key].lstrip("/")
        yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(top) and folder.is_dir())


def _available(root: Path) -> float:
    for entry in _lines(root / "proc/meminfo"):
        if entry.startswith("MemAvailable:"):
            return 1024.0 * int(entry.split()[1])
    return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))  # macOS tells no more


def _number(path: Path) -> float:
    """The number in a file of one; infinite where there is none, or ``max``."""
    return next(iter(_numbers(path)), math.inf)


def _numbers(path: Path) -> list[float]:
    try:
        return [math.inf if word == "max" else float(word) for line in _lines(path) for word in line.split()]
    except ValueError:
        return []


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []
