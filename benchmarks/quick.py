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
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bumplab import profiles
from bumplab.config import RunSpec
from bumplab.runs.store import RunStore


def seconds(function, *arguments):
    began = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - began, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs-dir", type=Path, default=Path(".runs"))
    store = RunStore(parser.parse_args().runs_dir)
    base = profiles.get("quick").base
    records = []
    for spec_file in store.root.glob("results/*/spec.json"):
        spec = RunSpec.from_dict(json.loads(spec_file.read_text()))
        measure = replace(spec.measure, last_samples=base.measure.last_samples)  # more in the runs with a hole
        if (spec.model, spec.training, measure) == (base.model, base.training, base.measure):
            records.append(store.load(spec))
    if not records:
        raise SystemExit(f"no quick runs in {store.root}: run `make claims` first, or give --runs-dir")
    total = sum(sum(record.seconds.values()) for record in records)
    print(f"{len(records)} quick runs, {total:.0f} process-seconds")
    for kind in ("training", "measuring", "storing"):
        each = [record.seconds[kind] for record in records]
        print(f"  {kind:<10} {sum(each) / total:6.1%}  {statistics.median(each):6.1f} s a run (median)")
    step = statistics.median(record.seconds["training"] for record in records) / base.training.steps
    print(f"  a training step: {1000 * step:.1f} ms\n\npaid once a worker, in training steps:")

    from_torch, _ = seconds(__import__, "bumplab.runs.execute")
    import numpy as np

    from benchmarks.learners import started, train
    from bumplab.data.label_sets import label_sets
    from bumplab.diffusion import speed
    from bumplab.measure.representation import represent, umap_embedding

    speed.configure("cpu")
    learner = started(base, "cpu")
    train(learner, 5)
    here = seconds(train, learner, 25)[0] / 25
    points = np.random.default_rng(0).normal(size=(base.measure.samples, 256)).astype(np.float32)
    first, _ = seconds(umap_embedding, points, 0)
    again, _ = seconds(umap_embedding, points, 0)
    labels = label_sets(base)["on_grid"].labels
    speed.configure("cpu")
    sampling, drawn = seconds(learner.draw, labels, base.seed, len(labels))
    representing, _ = seconds(represent, drawn.activations["layer4"], labels, labels, 0)
    for name, spent in (
        ("import of torch and the rest", from_torch),
        ("UMAP's import and compilation", first - again),
    ):
        print(f"  {name:<34} {spent / here:7.0f} steps  ({spent:.1f} s)")
    print("\npaid at each measurement, in training steps:")
    for name, spent in (
        (f"{base.measure.samples} samples, DDIM {base.diffusion.sampler_steps}", sampling),
        (f"UMAP of {base.measure.samples} points", again),
        ("all representation measures, a role", representing),
    ):
        print(f"  {name:<34} {spent / here:7.1f} steps  ({spent:.2f} s)")


if __name__ == "__main__":
    main()
