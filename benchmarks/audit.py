"""How often an audit errs: ``python benchmarks/audit.py [--store DIR] [--profile quick] [--seeds 3] [--first-seed 0]``.

Trains runs here, again as another processor would (AVX2, SSE, two threads), and again with another learning rate or
another pairing of labels. Each is compared with the run as it was trained first. Runs of other seeds are compared, too.
A run of quick takes 35 to 50 s of a core, and what is in DIR already is not trained again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bumplab import profiles
from bumplab.config import RunSpec
from bumplab.profiles import Profile
from bumplab.runs import audit
from bumplab.runs.record import RunRecord
from bumplab.runs.store import RunStore


def processor(torch: str, onednn: str, mkl: str, numba: str, openblas: str) -> dict[str, str]:
    """Variables under which torch, oneDNN, MKL, numba and OpenBLAS compute as on another processor."""
    return {
        "ATEN_CPU_CAPABILITY": torch, "ONEDNN_MAX_CPU_ISA": onednn, "MKL_ENABLE_INSTRUCTIONS": mkl,
        "NUMBA_CPU_NAME": numba, "OPENBLAS_CORETYPE": openblas, "NUMBA_CPU_FEATURES": "",
    }  # fmt: skip


PROCESSORS: dict[str, dict[str, str]] = {
    "here": {},
    "haswell": processor("avx2", "AVX2", "AVX2", "haswell", "Haswell"),
    "nehalem": processor("default", "SSE41", "SSE4_2", "nehalem", "Nehalem"),
    "two-threads": {"THREADS": "2"},
}
CHANGES = ("learning rate x 1.02", "learning rate x 1.1", "labels shuffled")


def changed(profile: Profile, spec: RunSpec, change: str) -> RunSpec:
    if change == "labels shuffled":
        return profile.shuffled(spec)
    rate = spec.training.learning_rate * float(change.rpartition(" ")[2])
    return replace(spec, training=replace(spec.training, learning_rate=rate))


def conditions(profile: Profile, seed: int) -> Iterator[RunSpec]:
    """The runs that are audited: dense, sparse, with a hole, and with another spread."""
    yield profile.run(seed)
    yield profile.run(seed, dx=profile.increments[-1])
    yield profile.run(seed, hole=profile.holes[-1])
    yield profile.run(seed, sigma=profile.sigmas[-1])


def train(specs: list[RunSpec], store: Path, name: str) -> list[RunRecord]:
    """The runs as the named processor trains them, in a process of its own."""
    runs = RunStore(store / name, 0)
    if missing := [spec for spec in specs if not runs.has(spec)]:
        variables = os.environ | PROCESSORS[name]
        if "NUMBA_CPU_NAME" in PROCESSORS[name]:  # its code is not that of this processor
            variables["NUMBA_CACHE_DIR"] = str(store / f"numba-{name}")
        words = [sys.executable, __file__, "--train", str(runs.root), *(spec.to_json() for spec in missing)]
        subprocess.run(words, env=variables, check=True)
    return [record for spec in specs if (record := runs.read(spec)) is not None]


def _train(root: Path, specs: list[str]) -> None:
    import json

    from bumplab.diffusion import speed
    from bumplab.runs.planner import train_if_free

    speed.THREADS = int(os.environ.get("THREADS", "1"))
    for spec in specs:
        train_if_free(RunSpec.from_dict(json.loads(spec)), RunStore(root, 0), "cpu")


def early_loss(one: RunRecord, other: RunRecord) -> float:
    """The largest relative difference of the loss up to `audit.EARLY_STEPS`."""
    pairs = zip(one.rows, other.rows, strict=True)
    losses = [(a["loss"], b["loss"]) for a, b in pairs if 0 < a["step"] <= audit.EARLY_STEPS]
    return max(abs(a - b) / abs(b) for a, b in losses)


def tell(name: str, pairs: list[tuple[RunRecord, RunRecord]], show: Callable[[list[float]], float]) -> None:
    """Prints how many of the pairs are alike, their early loss, and how far the other numbers are from the limit."""
    verdicts = [audit.compare(one, replace(other, spec=one.spec)) for one, other in pairs]
    passed = sum(verdict.outcome != "different" for verdict in verdicts)
    ratios = [0.0 if verdict.worst is None else verdict.worst.ratio for verdict in verdicts]
    losses = show([early_loss(one, other) for one, other in pairs])
    equal = sum(verdict.outcome == "equal" for verdict in verdicts)
    print(f"{name:<24} {len(pairs):>4} {passed:>6} {equal:>6} {losses:>12.1e} {show(ratios):>12.2g}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, default=Path(".audit"))
    parser.add_argument("--profile", default="quick", choices=list(profiles.ALL))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0, help="above 2 for seeds that chose no tolerance")
    parser.add_argument("--train", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error(f"--seeds {options.seeds}: must be 2 or more, so that seeds can be compared")
    if options.train:
        _train(Path(options.train[0]), options.train[1:])
        return
    profile = profiles.get(options.profile)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    specs = [spec for seed in seeds for spec in conditions(profile, seed)]
    here = train(specs, options.store, "here")
    print(f"{'against the same run':<24} {'runs':>4} {'passed':>6} {'equal':>6} {'early loss':>12} {'of limit':>12}")
    print("those that must not pass, the closest of them:")
    for change in CHANGES:
        others = train([changed(profile, spec, change) for spec in specs], options.store, "haswell")
        tell(change, list(zip(here, others, strict=True)), min)
    count = len(list(conditions(profile, 0)))
    pairs = [pair for kind in range(count) for pair in combinations(here[kind::count], 2)]
    tell("another seed", pairs, min)
    print("those that must pass, the farthest of them:")
    for name in list(PROCESSORS)[1:]:
        tell(f"on {name}", list(zip(here, train(specs, options.store, name), strict=True)), max)


if __name__ == "__main__":
    main()
