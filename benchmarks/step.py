"""The quick profile's training step under other choices, interleaved in one process: ``python benchmarks/step.py``.

Prints each variant's median as a ratio to the step as it is.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import torch

from bumplab import profiles
from bumplab.training import loop, speed

ROUNDS = 15


def main() -> None:
    base = profiles.get("quick").base
    variants = {
        "as it is: float32, channels-last": base,
        "bf16 autocast": replace(base, training=replace(base.training, precision="bf16")),
        "attention on the full map too": replace(base, model=replace(base.model, attention_max_size=16)),
        "4 attention heads": replace(base, model=replace(base.model, attention_heads=4)),
        "contiguous (no channels-last)": base,
        "half the batch": replace(base, training=replace(base.training, batch_size=16)),
    }
    states = {name: loop.start(spec, "cpu") for name, spec in variants.items()}
    states["contiguous (no channels-last)"].network.to(memory_format=torch.contiguous_format)
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(ROUNDS + 1):
        for name, spec in variants.items():
            began = time.perf_counter()
            loop.train(states[name], spec, states[name].step + 3)
            times[name].append((time.perf_counter() - began) / 3)
    reference = statistics.median(times["as it is: float32, channels-last"][1:])
    print(f"{speed.describe('cpu')}; a step as it is: {1000 * reference:.1f} ms")
    for name, measured in times.items():
        print(f"  {name:<34} {statistics.median(measured[1:]) / reference:5.2f}")


if __name__ == "__main__":
    main()
