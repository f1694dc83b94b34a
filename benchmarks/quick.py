"""Where a quick suite's time goes: ``python benchmarks/quick.py [--runs-dir .runs]``.

Adds up what the trainers recorded for every stored run of the quick profile, then measures in this process what a
worker pays once (imports, UMAP's compilation), and gives each as a ratio to the training step.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bumplab import profiles
from bumplab.config import RunSpec
from bumplab.runs.store import RunStore


def seconds(function, *arguments):
    """Seconds of the processor that the call took, and its result. Others' load stretches the wall time."""
    began = time.process_time()
    result = function(*arguments)
    return time.process_time() - began, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs-dir", type=Path, default=Path(".runs"))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    base = profiles.get("quick").base
    _show_stored(RunStore(options.runs_dir), base)

    from_torch, _ = seconds(__import__, "bumplab.runs.execute")
    import numpy as np

    from benchmarks.learners import started, train
    from bumplab.data.label_sets import label_sets
    from bumplab.diffusion import speed
    from bumplab.measure.measure import measure
    from bumplab.measure.representation import umap_embedding
    from bumplab.runs import learners
    from bumplab.subjects.diffusion import Unet

    speed.configure("cpu")
    learner = started(base, "cpu")
    train(learner, 5)
    points = np.random.default_rng(0).normal(size=(base.measure.samples, 256)).astype(np.float32)
    first, _ = seconds(umap_embedding, points, 0)
    last_step = base.training.steps
    early, late = label_sets(base), label_sets(base, last=True)
    times: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        speed.configure("cpu")
        times.setdefault("step", []).append(seconds(train, learner, 25)[0] / 25)
        spent, drawn = seconds(learners.draw, learner, base, 25, Unet())
        times.setdefault("draw", []).append(spent)
        at_last = learners.draw(learner, base, last_step, Unet())
        times.setdefault("measure", []).append(seconds(measure, base, 25, early, drawn)[0])
        times.setdefault("last", []).append(seconds(measure, base, last_step, late, at_last)[0])
        times.setdefault("umap", []).append(seconds(umap_embedding, points, 0)[0])
    step, draw, checkpoint, last, umap = (statistics.median(values) for values in times.values())
    for name, spent in (
        ("import of torch and the rest", from_torch),
        ("UMAP's import and compilation", first - umap),
    ):
        print(f"  {name:<40} {spent / step:7.0f} steps  ({spent:.1f} s), once a worker")
    for name, spent in (
        (f"drawing {base.measure.samples} images, and seeing", draw),
        ("measuring a checkpoint", checkpoint),
        ("measuring the last checkpoint", last),
        (f"UMAP of {base.measure.samples} points", umap),
    ):
        print(f"  {name:<40} {spent / step:7.1f} steps  ({spent:.2f} s)")
    checkpoints = len(base.measured_steps())
    measuring = (checkpoints - 1) * checkpoint + last
    whole = base.training.steps * step + checkpoints * draw + measuring
    print(f"a run, from these: training {base.training.steps * step / whole:.0%}, ", end="")
    print(f"drawing {checkpoints * draw / whole:.0%}, measuring {measuring / whole:.0%} (at most 20% is allowed)")


def _show_stored(store: RunStore, base: RunSpec) -> None:
    """Prints where the time of the stored quick runs went."""
    records = []
    for spec_file in store.root.glob("results/*/spec.json"):
        spec = RunSpec.from_dict(json.loads(spec_file.read_text()))
        if (spec.model, spec.training, spec.measure) == (base.model, base.training, base.measure):
            records.append(store.load(spec))
    if not records:
        print(f"no quick runs in {store.root}")
        return
    total = sum(sum(record.seconds.values()) for record in records)
    print(f"{len(records)} quick runs, {total:.0f} process-seconds")
    for kind in ("training", "drawing", "measuring", "storing"):
        each = [record.seconds[kind] for record in records]
        print(f"  {kind:<10} {sum(each) / total:6.1%}  {statistics.median(each):6.1f} s a run (median)")


if __name__ == "__main__":
    main()
