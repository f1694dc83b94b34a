"""What a change costs a run: the same run by two checkouts, in turn, in processes of their own.

    python benchmarks/seam.py OLD NEW --pairs 5

OLD and NEW are folders of checkouts. Both are run by this interpreter. The run is one of the profile quick, with fewer
steps between its checkpoints.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

RUN = """
import json, sys, tempfile, time
from dataclasses import replace
from pathlib import Path
from bumplab import profiles
from bumplab.runs.execute import execute
from bumplab.runs.store import RunStore
quick = profiles.get("quick").run(0)
steps = int(sys.argv[1])
short = replace(quick, training=replace(quick.training, steps=steps), measure=replace(quick.measure, every=steps // 4))
with tempfile.TemporaryDirectory() as folder:
    store = RunStore(Path(folder))
    execute(replace(short, training=replace(short.training, steps=2)), store, "cpu")  # imports, and what is compiled
    began = time.perf_counter()
    execute(short, store, "cpu")
    seconds = time.perf_counter() - began
    record = store.load(short)
print(json.dumps({"step": record.seconds["training"] / steps, "run": seconds, **record.seconds}))
"""


def measured(checkout: Path, steps: int) -> dict[str, float]:
    """Seconds of a step, of the run, and of each kind of work in it."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    command = [sys.executable, "-W", "ignore", "-c", RUN, str(steps)]
    printed = subprocess.run(command, cwd=checkout, env=environment, check=True, capture_output=True, text=True).stdout
    return json.loads(printed.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200, help="of the run, at least 4")
    options = parser.parse_args()
    ratios: dict[str, list[float]] = {}
    for pair in range(options.pairs):
        order = (options.old, options.new) if pair % 2 == 0 else (options.new, options.old)
        seconds = {checkout: measured(checkout.resolve(), options.steps) for checkout in order}
        for name, new in seconds[options.new].items():
            ratios.setdefault(name, []).append(new / seconds[options.old][name])
    print(f"new over old, median of {options.pairs} pairs (least to most)")
    for name, values in ratios.items():
        print(f"{name:<10} {statistics.median(values):.3f}  ({min(values):.3f} to {max(values):.3f})")


if __name__ == "__main__":
    main()
