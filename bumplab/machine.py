"""The processors and the memory that a session may use, within the limits of its container."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

BYTES_A_WORKER = 10**9
"""Main memory of a worker. Measured: torch, UMAP and a run of `quick` take 0.9 GB."""
ROOT = Path("/")
"""Folder that holds ``proc`` and ``sys``."""


def workers(root: Path = ROOT) -> int:
    """The number of workers that may run at once: one for each processor, fewer where memory is short. At least 1."""
    return max(1, min(processors(root), memory(root) // BYTES_A_WORKER))


def processors(root: Path = ROOT) -> int:
    """Processors that this process may use, by affinity and by the CPU quota of its control groups, rounded up."""
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
    """Bytes of main memory that this process may take, by the available memory and its control groups' limits."""
    limits = [_available(root)]
    for folder in control_groups(root, "memory"):
        limits += [_number(folder / name) for name in ("memory.max", "memory.high", "memory.limit_in_bytes")]
    return int(min(limit for limit in limits if limit > 0))


def control_groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of the control groups that this process is in, from the innermost to the outermost (cgroups(7))."""
    paths = {}  # path of this process's group, by controller; "" is version 2
    for entry in _lines(root / "proc/self/cgroup"):
        _, controllers, path = (*entry.split(":", 2), "", "")[:3]
        paths.update(dict.fromkeys(controllers.split(","), path))
    for entry in _lines(root / "proc/self/mounts"):
        _, mount, kind, options, *_ = (*entry.split(), "", "", "", "")
        key = {"cgroup2": "", "cgroup": controller}.get(kind)
        if key is None or key not in paths or (key and key not in options.split(",")):
            continue
        top = root / mount.lstrip("/")
        innermost = top / paths[key].lstrip("/")
        for folder in (innermost, *innermost.parents):
            if folder.is_relative_to(top) and folder.is_dir():
                yield folder


def _available(root: Path) -> float:
    """Bytes of memory that are available; all memory where the system does not say, as on macOS."""
    for entry in _lines(root / "proc/meminfo"):
        if entry.startswith("MemAvailable:"):
            return 1024.0 * int(entry.split()[1])
    return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def _number(path: Path) -> float:
    """The first number in a file; infinite for ``max`` and where there is no number."""
    return next(iter(_numbers(path)), math.inf)


def _numbers(path: Path) -> list[float]:
    """The numbers in a file; an empty list where a word is neither a number nor ``max``."""
    try:
        words = " ".join(_lines(path)).replace("max", "inf").split()
        return [float(word) for word in words]
    except ValueError:
        return []


def _lines(path: Path) -> list[str]:
    """The lines of a file; an empty list where it cannot be read."""
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []
