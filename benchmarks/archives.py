"""What archives of runs cost: ``python benchmarks/archives.py [--runs 1000]``.

Plants runs of quick, a third of them with a hole, exports them without draws and imports them into an empty store on
the same disk. Every number of a row is random within its range, which packs worse than the numbers of trained runs.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from bumplab import profiles
from bumplab.measure.names import RANGES, row_names, sample_counts
from bumplab.runs import pack
from bumplab.runs.archive import Archive
from bumplab.runs.copies import import_runs
from bumplab.runs.record import RunRecord
from bumplab.runs.store import RunStore

QUICK = profiles.get("quick")
ENVIRONMENT = {"device": "x86_64", "instructions": "AVX512", "torch": "2.13.0+cpu", "umap-learn": "0.5.12"}


def planted(seed: int, random: np.random.Generator) -> RunRecord:
    spec = QUICK.run(seed, hole=QUICK.holes[0] if seed % 3 == 0 else 0.0)
    rows = []
    for step in spec.measured_steps():
        row = {"step": float(step), **{f"{name}.samples": float(n) for name, n in sample_counts(spec, step).items()}}
        for name in sorted(row_names(spec, step) - row.keys()):
            low, high = RANGES[name.rpartition(".")[2]]
            shares = random.integers(0, spec.measure.samples + 1) / spec.measure.samples
            row[name] = float(shares if (low, high) == (0, 1) else random.uniform(max(low, -1), min(high, 1)))
        rows.append(row)
    seconds = {kind: random.uniform(1, 20) for kind in ("training", "drawing", "measuring", "storing")}
    return RunRecord(spec, rows, {}, seconds, dict(ENVIRONMENT))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1_000)
    options = parser.parse_args()
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        store, other, path = RunStore(Path(folder) / "a"), RunStore(Path(folder) / "b"), Path(folder) / "runs.zip"
        records = [planted(seed, random) for seed in range(options.runs)]
        for record in records:
            store.publish(record, b"")
        began = time.perf_counter()
        kept = pack.Kept(draws=False, evidence=False)
        pack.write(path=path, store=store, specs=[r.spec for r in records], kept=lambda spec: kept, command="")
        exported = time.perf_counter()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with Archive(path) as archive:
            imported = import_runs(archive, other)
        seconds = time.perf_counter() - exported
        more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
        size = path.stat().st_size
    print(f"{options.runs} runs, {sum(map(len, records[0].rows)) / len(records[0].rows):.0f} numbers a checkpoint")
    print(f"archive: {size / 1e6:.2f} MB, {size / options.runs / 1e3:.1f} kB a run")
    print(f"export: {exported - began:.1f} s")
    print(f"import of {imported.new}: {seconds:.1f} s, and {more / 1e3:.0f} MB more memory")


if __name__ == "__main__":
    main()
