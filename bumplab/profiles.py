"""Profiles, the scales at which claims are judged: quick (a CPU), lite and nightly (one GPU), paper, smoke (tests)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from bumplab.config import DataSpec, DiffusionSpec, MeasureSpec, ModelSpec, RunSpec, SubjectSpec, TrainingSpec

REPLICATES = 10**9
"""A claim's seed plus this is the seed of its `Profile.replicate`. No claim is judged on seeds of that size."""


@dataclass(frozen=True)
class Profile:
    """A scale: a base run, and the values that claims give its data. Lengths are in pixels."""

    name: str
    purpose: str
    base: RunSpec
    increments: tuple[float, ...]
    """Increments of the density claim, from dense to sparse."""
    imbalances: tuple[tuple[float, float], ...]
    """Pairs (dense dx, sparse dy) of the coupling claim, with one dx. Balanced sets of the first pair are compared."""
    holes: tuple[float, float]
    """Sides of the small and the large hole. Those of Appendix C.2 are 6 and 10, about 3.5 % and 10 % of the canvas."""
    sigmas: tuple[float, ...]
    """Spreads of the sigma claim, including the base run's."""
    decides: bool = True
    """Whether its verdicts say anything. Otherwise any number of seeds is allowed."""

    def run(
        self, seed: int, *, dx: float | None = None, dy: float | None = None, hole: float = 0.0, sigma: float = 1.0
    ) -> RunSpec:
        """The base run with this seed and data. ``dx`` defaults to the densest increment, and ``dy`` to ``dx``."""
        dx = self.increments[0] if dx is None else dx
        data = DataSpec(self.base.data.image_size, dx, dx if dy is None else dy, sigma, hole)
        return replace(self.base, data=data, seed=seed)

    def replicate(self, seed: int) -> RunSpec:
        """Control: another training of the base run. Claims share it, and none of their runs has its seed."""
        return self.run(seed + REPLICATES)

    def shuffled(self, run: RunSpec) -> RunSpec:
        """Control: the run trained with each image under the label of another image."""
        return replace(run, data=replace(run.data, pairing="shuffled"))

    def untrained(self, run: RunSpec) -> RunSpec:
        """Control: the run with one step of training."""
        return replace(run, training=replace(run.training, steps=1), measure=replace(run.measure, every=1))

    def factorized(self, run: RunSpec) -> RunSpec:
        """Control: the run with two subjects, one for x and one for y (Fig. 1a)."""
        return replace(run, subject=replace(run.subject, factorized=True))

    def rendered(self, run: RunSpec, how: Literal["nearest-label", "half-way", "true"]) -> RunSpec:
        """Control: true images in place of the subject's, at step 0 and after one step."""
        return replace(self.untrained(run), subject=SubjectSpec(how))

    def fading(self, run: RunSpec) -> RunSpec:
        """Control: true images in place of the subject's, under grain that fades over the run's steps."""
        return replace(run, subject=SubjectSpec("fading"))


# Quick was chosen from cost and power, by seeds below 1000 (docs/quick.md, benchmarks/README.md).
# - v-prediction, cosine schedule, DDIM: epsilon with the linear schedule needs ten times the steps.
# - Batch 16, as in the paper: batches of 8, 12 and 32 learn less a minute.
# - A warm-up, a high rate, linear decay and a beta2 of 0.95: 600 steps reach what took 1,000 at a constant rate.
# - Attention on maps of up to 4 pixels: on maps of 8 it costs a tenth of the step, and the network learns no better.
# - Float32: at width 8, bf16 is no faster.
# - Encodings 128 long: at 32, one baseline run in three drew no bump at the right place within 1,000 steps.
# - 8 groups of normalisation: with 1, 2 or 4 the network learns less a minute.
# - 5 sampling steps: they give the accuracy of 10 steps at every checkpoint, for half the cost.
# - Increments up to 4: from 3 pixels on neighbours are apart, so an effect of the density can exist.
# - 300 images a checkpoint: flatness needs 300 points (docs/measures.md).
# - Probe labels from 3 to 12: increments of 4 end at 12.
# - Checkpoints 60 steps apart: at 75, one exploring seed in ten had a phase B shorter than two checkpoints.
# - Five dy: an order of five paces tells more than one of four (docs/quick.md).
# - Holes of 5 and 7 pixels: wider than a bump, as the paper's are.
# - Spreads from 1: a spread of 0.7 has had 1.3 times its own time to half by then, and ends with 0.89 right.
QUICK = Profile(
    name="quick",
    purpose="the whole suite on 2 CPU cores (`--plan` estimates the time)",
    base=RunSpec(
        data=DataSpec(image_size=16),
        model=ModelSpec(width=8, encoding_dim=128, attention_heads=1, attention_max_size=4, norm_groups=8),
        diffusion=DiffusionSpec(schedule="cosine", prediction="v", sampler="ddim", sampler_steps=5),
        training=TrainingSpec(steps=600, batch_size=16, learning_rate=3e-3, warmup=50, decay="linear", beta2=0.95),
        measure=MeasureSpec(every=60, samples=300, probe_low=3.0, probe_high=12.0),
    ),
    increments=(0.1, 1.0, 2.0, 3.0, 4.0),
    imbalances=((0.1, 3.0), (0.1, 2.0), (0.1, 4.0), (0.1, 1.0)),
    holes=(5.0, 7.0),
    sigmas=(1.0, 1.4, 2.0),
)

# Smoke is far too short to learn anything. It shows that every part runs, and its verdicts are INCONCLUSIVE.
SMOKE = replace(
    QUICK,
    name="smoke",
    purpose="every part of the suite in seconds a run; far too short to decide anything",
    base=replace(
        QUICK.base,
        model=ModelSpec(width=4, encoding_dim=8, attention_heads=1, attention_max_size=4, norm_groups=4),
        diffusion=replace(QUICK.base.diffusion, sampler_steps=2),
        training=TrainingSpec(steps=12, batch_size=8, learning_rate=2e-3),
        measure=replace(QUICK.base.measure, every=12, samples=24),
    ),
    increments=(0.5, 4.0),
    imbalances=((0.5, 4.0),),
    sigmas=(0.5, 1.0),
    decides=False,
)

# Lite has the paper's canvas, prediction, schedule and increments, and its network at half the width. So its verdicts
# speak of the paper. A run is to take 3 minutes of one GPU: 40,000 steps of batch 64 at nightly's pace.
# - 40,000 steps: epsilon with the linear schedule is still at chance after 2,500 (nightly).
# - Batch 64, as for nightly. So the densest set is seen 25 times, and the data tell the increments apart.
# - A warm-up and a linear decay, so that the last checkpoint shows what was learned and not the last steps' noise.
# - Increments of the paper, and 2: bumps of spread 1 that far apart still overlap by 0.78.
LITE = Profile(
    name="lite",
    purpose="verdicts that speak of the paper, on one GPU once a week",
    base=RunSpec(
        model=ModelSpec(width=32),
        diffusion=DiffusionSpec(sampler="ddim", sampler_steps=50),
        training=TrainingSpec(
            steps=40_000, batch_size=64, learning_rate=6e-4, warmup=500, decay="linear", precision="bf16"
        ),
        measure=MeasureSpec(every=4_000, samples=500, probe_high=28.0),
    ),
    increments=(0.1, 0.25, 0.5, 1.0, 2.0),
    imbalances=((0.1, 1.0), (0.1, 0.5), (0.1, 2.0), (0.1, 4.0)),
    holes=(6.0, 10.0),
    sigmas=(0.5, 0.7, 1.0),
)

# Nightly has the paper's canvas, and its network at half the width. It was chosen from cost (benchmarks/README.md): all
# claims at 5 seeds take less than an hour of one GPU.
# - v-prediction and the cosine schedule reach an accuracy of 0.96 in 2,500 steps. Epsilon with the linear schedule is
#   still at chance there, and fifty runs of ten times the steps do not fit.
# - Batch 64 reaches 0.9 after 6.5 s of the GPU, and batch 16 after 10 s, because its step costs two thirds as much.
# - 4,000 steps are four times the steps to one half. With a measurement every 200 steps, the crossing lies between two
#   of twenty checkpoints.
# - Probe labels up to 28: increments of 4 end at 28.
NIGHTLY = Profile(
    name="nightly",
    purpose="the paper's canvas on one GPU, every night",
    base=RunSpec(
        model=ModelSpec(width=32),
        diffusion=DiffusionSpec(schedule="cosine", prediction="v", sampler="ddim", sampler_steps=50),
        training=TrainingSpec(steps=4_000, batch_size=64, learning_rate=6e-4, precision="bf16"),
        measure=MeasureSpec(every=200, samples=500, probe_high=28.0),
    ),
    increments=(0.1, 0.5, 1.0, 4.0),
    imbalances=((0.1, 1.0), (0.1, 0.5)),
    holes=(6.0, 10.0),
    sigmas=(0.3, 0.5, 0.7, 1.0),
)

PAPER = replace(
    NIGHTLY,
    name="paper",
    purpose="the paper's own numbers (Appendix B.6): about 6 hours a run on the paper's GPUs",
    base=RunSpec(training=TrainingSpec(precision="bf16")),
    increments=tuple(k / 10 for k in range(1, 11)),
    sigmas=tuple(k / 10 for k in range(1, 11)),
)

ALL = {profile.name: profile for profile in (QUICK, LITE, NIGHTLY, PAPER, SMOKE)}


def get(name: str) -> Profile:
    """The profile of this name. Raises ValueError with the known names."""
    if name not in ALL:
        raise ValueError(f"unknown profile {name!r}: choose one of {', '.join(ALL)}")
    return ALL[name]
