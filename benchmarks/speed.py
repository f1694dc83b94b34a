"""What each part costs beside two yardsticks measured in the same process: ``python benchmarks/speed.py [--gpu]``.

The yardsticks are a plain version of the same network (`benchmarks.plain`) and the machine's ceiling, a large matrix
product in the precision used (float32 is TF32 on a GPU, for both). Variants are interleaved, and medians compared.
``--only step`` measures one part, ``--operators`` says where a step's time goes, ``--json FILE`` keeps everything.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import sys
import tempfile
import time
import unittest.mock
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.learners import measured, started, train
from benchmarks.plain import PlainTraining, plain_learner
from bumplab import profiles
from bumplab.config import RunSpec
from bumplab.data.label_sets import label_sets
from bumplab.diffusion import speed
from bumplab.diffusion.denoising import Denoising
from bumplab.diffusion.unet import ROLES
from bumplab.runs.execute import execute
from bumplab.runs.store import RunStore
from bumplab.subjects.diffusion import DiffusionLearner
from bumplab.subjects.protocol import Labels

PARTS = ("step", "sampling", "measuring", "run")
QUICK = profiles.get("quick").base
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}


def seconds(function: Callable[[], object], device: str) -> float:
    wait(device)
    began = time.perf_counter()
    function()
    wait(device)
    return time.perf_counter() - began


def wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def interleaved(variants: dict[str, Callable[[], object]], rounds: int, device: str) -> dict[str, float]:
    """The median time of each, after a first round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds + 1):
        for name, function in variants.items():
            times[name].append(seconds(function, device))
    return {name: statistics.median(measured[1:]) for name, measured in times.items()}


def ceilings(device: str) -> dict[str, float]:
    """FLOP/s of a large matrix product, by precision; of those that the processor has."""
    n = 2048 if device == "cpu" else 8192
    found = {}
    for name, dtype in DTYPES.items():
        if name == "bf16" and not speed.has_bf16(device):
            continue
        a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        found[name] = 2 * n**3 / min(seconds(lambda a=a, b=b: a @ b, device) for _ in range(8))
    return found


class Case:
    """A training run at some scale, as the suite does it and plainly."""

    def __init__(self, name: str, spec: RunSpec, device: str):
        self.name, self.spec, self.device = name, spec, device
        self.plain_spec = replace(spec, training=replace(spec.training, precision="float32"))
        self.learner = started(spec, device)
        self.plain = PlainTraining(self.learner.training, self.plain_spec)
        self.fused = PlainTraining(self.learner.training, self.plain_spec, fused_attention=True)
        with FlopCounterMode(display=False) as counter:
            self.plain.train(self.plain.step + 1)
        self.flops = counter.get_total_flops()

    def fast_steps(self, count: int) -> None:
        train(self.learner, count)

    def plainly_drawn(self) -> DiffusionLearner:
        """Draws with the plain network, in float32."""
        state = replace(self.learner.training, training=self.plain_spec.training)
        return plain_learner(state, self.plain.network, self.spec)

    def with_sampler(self, sampler: str, steps: int) -> tuple[DiffusionLearner, DiffusionLearner]:
        """The learner and the plain one, which draw by another sampler."""
        diffusion = replace(self.spec.diffusion, sampler=sampler, sampler_steps=steps)
        objective = Denoising(diffusion, self.device)
        state, size = replace(self.learner.training, objective=objective), self.spec.data.image_size
        plain = replace(state, training=self.plain_spec.training)
        return DiffusionLearner(state, size, ROLES), plain_learner(plain, self.plain.network, self.spec)


def measure_step(case: Case, ceiling: dict[str, float], rounds: int, steps: int) -> dict[str, object]:
    plain, fused = case.plain, case.fused
    times = interleaved(
        {
            "plain": lambda: plain.train(plain.step + steps),
            "plain, fused attention": lambda: fused.train(fused.step + steps),
            "as it is": lambda: case.fast_steps(steps),
        },
        rounds,
        case.device,
    )
    ours = case.spec.training.precision if case.spec.training.precision in ceiling else "float32"
    found = {}
    for name, spent in times.items():
        precision, rate = ours if name == "as it is" else "float32", case.flops * steps / spent
        found[name] = {
            "ms": 1000 * spent / steps,
            "faster than plain": times["plain"] / spent,
            "GFLOP/s": rate / 1e9,
            f"of the {precision} ceiling": rate / ceiling[precision],
        }
    return {"GFLOP a step": case.flops / 1e9, **found}


def asked(case: Case, samples: int) -> Labels:
    return label_sets(replace(case.spec, measure=replace(case.spec.measure, samples=samples)))["probe"].labels


def measure_sampling(case: Case, samples: int, choices: dict[str, int], rounds: int) -> dict[str, object]:
    labels = asked(case, samples)
    found = {}
    for sampler, steps in choices.items():
        ours, plain = case.with_sampler(sampler, steps)
        times = interleaved(
            {
                "plain": launched(lambda learner=plain: learner.draw(labels, case.spec.seed)),
                "as it is": lambda learner=ours: learner.draw(labels, case.spec.seed),
            },
            rounds,
            case.device,
        )
        found[f"{samples} samples, {sampler} {steps}"] = against_plain(times)
    return found


def measure_ancestral(case: Case, samples: int) -> dict[str, object]:
    """The paper's sampler, as it is: plainly it takes 20 times what DDIM of 50 steps does."""
    labels = asked(case, samples)
    learner, _ = case.with_sampler("ancestral", 1000)
    return {"s": seconds(lambda: learner.draw(labels, case.spec.seed), case.device)}


def measure_measuring(case: Case, rounds: int) -> dict[str, object]:
    step, plain = case.spec.measure.every, case.plainly_drawn()
    return against_plain(
        interleaved(
            {
                "plain": launched(lambda: measured(plain, case.spec, step)),
                "as it is": lambda: measured(case.learner, case.spec, step),
            },
            rounds,
            case.device,
        )
    )


def measure_run(case: Case) -> dict[str, object]:
    """A whole run: trained, measured at each checkpoint and stored; the plain one is not stored."""
    state = started(case.plain_spec, case.device).training
    plain = PlainTraining(state, case.plain_spec)
    learner = plain_learner(state, plain.network, case.spec)

    def plainly() -> None:
        for step in case.spec.measured_steps():
            plain.train(step)
            measured(learner, case.spec, step)

    with tempfile.TemporaryDirectory() as folder:
        fast = seconds(lambda: execute(case.spec, RunStore(Path(folder)), case.device), case.device)
    return against_plain({"plain": seconds(plainly, case.device), "as it is": fast})


def launched(function: Callable[[], object]) -> Callable[[], object]:
    """``function`` with no step of a sampler captured: the plain network is to be launched kernel by kernel."""

    def call() -> object:
        with unittest.mock.patch("bumplab.diffusion.speed.captures", return_value=False):
            return function()

    return call


def against_plain(times: dict[str, float]) -> dict[str, object]:
    return {name: {"s": spent, "faster than plain": times["plain"] / spent} for name, spent in times.items()}


def operators(case: Case, steps: int) -> dict[str, dict[str, float]]:
    """Where a step's time goes: the share of each operator, on a GPU of each kernel, plainly and as it is."""
    found = {}
    plain = case.plain
    for name, function in (
        ("plain", lambda: plain.train(plain.step + steps)),
        ("as it is", lambda: case.fast_steps(steps)),
    ):
        on_cpu = case.device == "cpu"
        with profile(activities=[ProfilerActivity.CPU if on_cpu else ProfilerActivity.CUDA]) as profiled:
            function()
            wait(case.device)
        # on a GPU kernels alone: an operator or an annotated range would count their time once more
        events = [event for event in profiled.key_averages() if on_cpu or not event.is_user_annotation]
        attribute = "self_cpu_time_total" if on_cpu else "self_device_time_total"
        total = sum(getattr(event, attribute) for event in events)
        ordered = sorted(events, key=lambda event: -getattr(event, attribute))[:12]
        found[name] = {event.key: getattr(event, attribute) / total for event in ordered}
    return found


def show(found: dict[str, object], indent: int = 2) -> None:
    for name, value in found.items():
        if isinstance(value, dict) and all(isinstance(v, float) for v in value.values()):
            print(" " * indent + f"{name:<28}" + "   ".join(f"{v:8.3g} {k}" for k, v in value.items()))
        elif isinstance(value, dict):
            print(" " * indent + name)
            show(value, indent + 2)
        else:
            print(" " * indent + f"{name:<28}{value:8.3g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", action="store_true", help="measure on the GPU: nightly and paper, not quick and paper")
    parser.add_argument("--only", choices=PARTS, action="append", help="measure this part alone; may be repeated")
    parser.add_argument("--profile", choices=("quick", "nightly", "paper"), action="append", help="a run of this alone")
    parser.add_argument("--operators", action="store_true", help="also profile a step by operator")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    if options.gpu and not torch.cuda.is_available():
        parser.error("--gpu: torch finds no GPU here; leave --gpu away to measure the CPU")
    device = "cuda:0" if options.gpu else "cpu"
    parts = options.only or PARTS
    speed.configure(device)
    ceiling = ceilings(device)
    found: dict[str, object] = {
        "date": datetime.date.today().isoformat(),
        "where": speed.describe(device),
        "ceiling, GFLOP/s": {name: rate / 1e9 for name, rate in ceiling.items()},
    }
    print(f"{found['date']} {found['where']}")
    show({"ceiling, GFLOP/s": found["ceiling, GFLOP/s"]})
    for name in options.profile or (("nightly", "paper") if options.gpu else ("quick", "paper")):
        spec = profiles.get(name).base
        case = Case(name, spec, device)
        here: dict[str, object] = {}
        if "step" in parts:
            repeats = (4, 100) if options.gpu else (15, 10) if spec is QUICK else (4, 1)
            here["step"] = measure_step(case, ceiling, *repeats)
        if "sampling" in parts:
            samples = 500 if options.gpu else 150 if spec is QUICK else 20
            here["sampling"] = measure_sampling(case, samples, {"ddim": 50 if options.gpu else 5}, rounds=3)
            if options.gpu:
                here[f"{samples} samples, ancestral 1000"] = measure_ancestral(case, samples)
        if "measuring" in parts and name != "paper":  # plainly, its 1,000 samples of 1,000 steps take minutes
            here["measuring"] = measure_measuring(case, rounds=3)
        if "run" in parts and spec is QUICK:
            here["run"] = measure_run(case)
        print(f"{name}: width {spec.model.width}, {spec.data.image_size} pixels, batch {spec.training.batch_size}")
        show(here)
        if options.operators:
            here["operators"] = operators(case, 20 if spec is QUICK else 2)
            for path, shares in here["operators"].items():
                print(f"  {path}: " + ", ".join(f"{share:.0%} {operator}" for operator, share in shares.items()))
        found[name] = here
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
