"""Many runs on one device, three ways: ``python benchmarks/many.py [--gpu]``.

A step of batch 16 cannot fill a GPU. Runs of equal shape can be trained by worker processes (what ``pytest claims -n``
does), by one process that replays each run's captured step on a stream of its own, or as one stacked network through
torch.func. Prints the runs each would finish in an hour, at 1, 4, 8 and 16 runs. First it prints how much of the
workers' time is training, by runs that are planted (`benchmarks/waiting.py`).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch.func import grad_and_value, vmap

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import waiting
from benchmarks.learners import started, train
from benchmarks.plain import PlainUNet, draw_batch
from bumplab import profiles
from bumplab.config import RunSpec
from bumplab.diffusion import loop, speed
from bumplab.diffusion.objective import diffuse, loss, to_unit
from bumplab.diffusion.schedule import alphas_cumprod

WARM_UP = 5


def wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def timed(step: Callable[[], object], steps: int, device: str) -> float:
    """Seconds of a call of ``step``."""
    for _ in range(min(WARM_UP, steps)):
        step()
    wait(device)
    began = time.perf_counter()
    for _ in range(steps):
        step()
    wait(device)
    return (time.perf_counter() - began) / steps


def _work(spec: RunSpec, device: str, steps: int, ready, results) -> None:
    learner = started(spec, device)
    train(learner, WARM_UP)
    ready.wait()
    results.put(timed(lambda: train(learner, steps), 1, device) / steps)


def processes(spec: RunSpec, runs: int, device: str, steps: int) -> float:
    """Steps a second, of all runs together, each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ready, results = context.Barrier(runs), context.SimpleQueue()
    workers = [
        context.Process(target=_work, args=(replace(spec, seed=seed), device, steps, ready, results))
        for seed in range(runs)
    ]
    for worker in workers:
        worker.start()
    spent = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    return sum(1 / each for each in spent)


def streams(spec: RunSpec, runs: int, device: str, steps: int) -> float:
    """Steps a second, of all runs together, in one process: on a GPU each run's graph on a stream of its own."""
    learners = [started(replace(spec, seed=seed), device) for seed in range(runs)]
    if device == "cpu":
        return runs / timed(lambda: [train(learner, 1) for learner in learners], steps, device)
    for learner in learners:
        train(learner, 1)
    own = [torch.cuda.Stream() for _ in learners]

    def step() -> None:
        for learner, stream in zip(learners, own, strict=True):
            with torch.cuda.stream(stream):
                loop._step(learner.training)
                learner.training.step += 1

    return runs / timed(step, steps, device)


def stacked(spec: RunSpec, runs: int, device: str, steps: int) -> float:
    """Steps a second, of all runs together, as one network whose weights have a dimension more.

    The plain network: under vmap there is no channels-last.
    """
    states = [started(replace(spec, seed=seed), device).training for seed in range(runs)]
    data = states[0].data
    levels = alphas_cumprod(spec.diffusion.schedule, spec.diffusion.timesteps).float().to(device)
    network = PlainUNet(states[0].network, spec)
    weights = {
        name: torch.stack([state.network.get_parameter(name).detach().contiguous() for state in states])
        for name in network.w
    }
    optimizer = torch.optim.AdamW(list(weights.values()), lr=spec.training.learning_rate, fused=True)

    def lost(weights, x0, alpha_bar, batch, labels):
        with speed.autocast(spec.training, device):
            network.w = weights
            output = network(diffuse(x0, batch.noise, alpha_bar), batch.t, labels)
        return loss(spec.diffusion.prediction, output, x0, batch.noise, alpha_bar)

    gradients = vmap(grad_and_value(lost), in_dims=(0, None, None, None, None))

    def step() -> None:
        batch = draw_batch(spec, 0, len(data.labels), device)
        x0 = to_unit(data.images(batch.chosen)[:, None])
        found, _ = gradients(weights, x0, levels[batch.t][:, None, None, None], batch, data.labels[batch.chosen])
        for name, weight in weights.items():
            weight.grad = found[name]
        optimizer.step()

    return runs / timed(step, steps, device)


WAYS = {way.__name__: way for way in (processes, streams, stacked)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--profile", default=None, help="whose run (quick; with --gpu: nightly)")
    parser.add_argument("--runs", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--ways", choices=list(WAYS), nargs="*", default=list(WAYS))
    parser.add_argument("--workers", type=int, nargs="*", default=[2, 8], help="of the sessions with planted runs")
    parser.add_argument("--steps", type=int, default=None, help="timed, of each run (10; with --gpu: 500)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.gpu and not torch.cuda.is_available():
        parser.error("--gpu: torch finds no GPU here; leave --gpu away to measure the CPU")
    waiting.show(options.workers)
    if not options.ways:
        return
    device = "cuda:0" if options.gpu else "cpu"
    spec = profiles.get(options.profile or ("nightly" if options.gpu else "quick")).base
    speed.configure(device)
    found: dict[str, dict[int, float]] = {}
    print(f"{speed.describe(device)}: runs of {spec.training.steps} steps finished an hour, measuring left out")
    steps = options.steps or (500 if options.gpu else 10)
    for name in options.ways:
        print(f"  {name:<10}", end="", flush=True)
        for runs in options.runs:
            rate = WAYS[name](spec, runs, device, steps) * 3600 / spec.training.steps
            found.setdefault(name, {})[runs] = rate
            print(f"{runs:>4}: {rate:7.1f}", end="", flush=True)
        print()
    if options.json:
        options.json.write_text(json.dumps({"where": speed.describe(device), "runs an hour": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
