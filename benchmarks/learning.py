"""What the quick run learns a minute under other choices: ``python benchmarks/learning.py [--seeds 0 1 2]``.

First what a step costs, all variants interleaved in this process; then each variant's share of right bumps against
the steps' time. Seeds below 10 only: those of verdicts begin there, and a profile must not be chosen by them.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import math
import multiprocessing
import os
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.learners import started, train
from bumplab import profiles
from bumplab.config import RunSpec
from bumplab.data.label_sets import label_sets
from bumplab.diffusion import speed
from bumplab.measure.accuracy import detect, placement
from bumplab.measure.detector import quantise

BASE = profiles.get("quick").base
IMAGES, EVERY, SAMPLES = 17_600, 800, 100
"""A curve: images trained on, images between two points, samples at a point."""
LEVELS = (0.45, 0.75)


def variant(
    groups: int = 8, attention: int = 4, batch: int = 16, rate: float = 2e-3, precision: str = "float32"
) -> RunSpec:
    return replace(
        BASE,
        model=replace(BASE.model, norm_groups=groups, attention_max_size=attention),
        training=replace(BASE.training, batch_size=batch, learning_rate=rate, precision=precision),
    )


VARIANTS = {
    "as it is": BASE,
    "the first quick: 1 group, 32, bf16": replace(
        variant(1, 8, 32, precision="bf16"), model=replace(variant(1, 8).model, encoding_dim=32)
    ),
    "the last quick: 8 groups, 32": variant(8, 8, 32),
    "attention up to 8 pixels": variant(attention=8),
    "no attention": variant(attention=1),
    "4 groups": variant(groups=4),
    "2 groups": variant(groups=2),
    "batch 12": variant(batch=12),
    "batch 8": variant(batch=8),
    "learning rate 3e-3": variant(rate=3e-3),
    "learning rate 4e-3": variant(rate=4e-3),
    "bf16": variant(precision="bf16"),
}


def step_costs(rounds: int = 12, steps: int = 5) -> dict[str, float]:
    """Median seconds of a step of each variant."""
    speed.configure("cpu")
    learners = {name: started(spec, "cpu") for name, spec in VARIANTS.items()}
    times: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(rounds + 1):
        for name, learner in learners.items():
            began = time.perf_counter()
            train(learner, steps)
            times[name].append((time.perf_counter() - began) / steps)
    return {name: statistics.median(measured[1:]) for name, measured in times.items()}


def curve(name: str, seed: int) -> tuple[str, int, list[int], list[float]]:
    """Steps and the share of right bumps at the probe labels there."""
    spec = replace(VARIANTS[name], seed=seed)
    learner = started(spec, "cpu")
    labels = label_sets(spec)["probe"].labels[:SAMPLES]
    steps = [images // spec.training.batch_size for images in range(EVERY, IMAGES + 1, EVERY)]
    found = []
    for step in steps:
        learner.train(step, lambda step: None)
        images, _ = quantise(learner.draw(labels, spec.seed).images)
        found.append(placement(detect(images, spec.data.sigma), labels.astype(float))["correct"])
    return name, seed, steps, found


def seconds_to(level: float, seconds: np.ndarray, found: list[float]) -> float:
    reached = [when for when, value in zip(seconds, found, strict=True) if value >= level]
    return float(reached[0]) if reached else math.inf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not set(options.seeds) <= set(range(10)):
        parser.error("--seeds: 0 to 9 only; those from 10 on are the verdicts'")
    costs = step_costs()
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        asked = [(name, seed) for seed in options.seeds for name in options.variants]
        curves = list(pool.map(curve, *zip(*asked, strict=True)))
    budget = min(IMAGES / spec.training.batch_size * costs[name] for name, spec in VARIANTS.items())
    reference = costs["as it is"]
    rows = {}
    print(f"a step as it is: {1000 * reference:.1f} ms; seconds of training below are steps at these costs")
    print(
        "| variant | step | "
        + " | ".join(f"s to {level}" for level in LEVELS)
        + f" | mean share of right bumps over {budget:.0f} s |"
    )
    print("| --- | --- | " + "--- | " * (len(LEVELS) + 1))
    for name in options.variants:
        own = [(np.array(steps) * costs[name], found) for other, _, steps, found in curves if other == name]
        to_level = [statistics.median(seconds_to(level, *each) for each in own) for level in LEVELS]
        grid = np.linspace(0, budget, 400)
        areas = [float(np.interp(grid, [0, *seconds], [0, *found]).mean()) for seconds, found in own]
        rows[name] = {"step": costs[name], "seconds": to_level, "areas": areas}
        print(
            f"| {name} | {costs[name] / reference:.2f} | "
            + " | ".join(f"{seconds:.1f}" for seconds in to_level)
            + f" | {statistics.mean(areas):.3f} ({', '.join(f'{area:.2f}' for area in areas)}) |"
        )
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "curves": curves, "where": speed.describe("cpu")}) + "\n")


if __name__ == "__main__":
    main()
