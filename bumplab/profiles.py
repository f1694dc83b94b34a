"""The scales at which the claims are tried: smoke (seconds, for tests), quick (CPU), nightly (one GPU), paper."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from bumplab.config import DataSpec, DiffusionSpec, MeasureSpec, ModelSpec, RunSpec, TrainingSpec

REPLICATES = 1000
"""From a claim's seed to that of its `Profile.replicate`."""


@dataclass(frozen=True)
class Profile:
    """A scale: the run that claims vary, and the settings they vary it over (pixels)."""

    name: str
    purpose: str
    base: RunSpec
    increments: tuple[float, ...]
    """Increments of the density claim, from dense to sparse."""
    imbalances: tuple[tuple[float, float], ...]
    """Pairs (dense dx, sparse dy) of the coupling claim; both also occur in ``increments``."""
    holes: tuple[float, float]
    """Sides of the small (about 3.5 % of the canvas) and the large (about 10 %) hole."""
    hole_samples: int
    """Images drawn in the hole and around it when training ends: sampling noise is to stay under a third of the
    spread between seeds."""
    sigmas: tuple[float, ...]
    """Spreads of the sigma claim, the base run's among them."""

    def run(
        self, seed: int, *, dx: float | None = None, dy: float | None = None, hole: float = 0.0, sigma: float = 1.0
    ) -> RunSpec:
        """The base run with this seed and data; ``dx`` defaults to the densest increment, ``dy`` to ``dx``."""
        dx = self.increments[0] if dx is None else dx
        data = DataSpec(self.base.data.image_size, dx, dx if dy is None else dy, sigma, hole)
        measure = replace(self.base.measure, last_samples=self.hole_samples if hole else 0)
        return replace(self.base, data=data, measure=measure, seed=seed)

    def replicate(self, seed: int) -> RunSpec:
        """Control: another training of the base run, whose seed no run of a claim has; claims share it."""
        return self.run(seed + REPLICATES)

    def shuffled(self, run: RunSpec) -> RunSpec:
        """Control: the run with its labels shuffled against the images."""
        return replace(run, data=replace(run.data, pairing="shuffled"))

    def untrained(self, run: RunSpec) -> RunSpec:
        """Control: the run after a single step."""
        return replace(run, training=replace(run.training, steps=1), measure=replace(run.measure, every=1))

    def factorized(self, run: RunSpec) -> RunSpec:
        """Control: the run by two networks, each of which sees one coordinate."""
        return replace(run, model=replace(run.model, kind="factorized"))

    def rendered(self, run: RunSpec, source: Literal["nearest-label", "true"]) -> RunSpec:
        """Control: the run with perfect images measured in place of its samples; nothing needs to be trained."""
        untrained = self.untrained(run)
        return replace(untrained, measure=replace(untrained.measure, source=source))


# Chosen from cost and from the baseline's learning at seeds 0 to 4 (benchmarks/README.md), so that all claims at up to
# 8 seeds and their controls, some 70 to 80 such runs, are what 2 cores finish in less than half an hour:
# v-prediction, the cosine schedule and DDIM because epsilon with the linear schedule needs ten times the steps.
# The paper's batch of 16, because a batch of 32 learns less a minute, and so do 12 and 8. Attention on maps of up to 4
# pixels, because it learns no worse than on those of 8, which cost a tenth of the step. Float32, because at width 8
# bf16 is no faster. Encodings 128 long: at 32, one baseline run in three drew no bump at the right place within 1,000
# steps. 8 groups of normalisation, because with 1, 2 or 4 it learns less a minute. 1,000 steps, for power: with 800 the
# mean accuracy is what 600 of batch 32 gave, but seeds 0 to 6 spread three times as widely in a hole (inside minus
# outside by 0.11, then 0.033), with 1,000 about as widely (0.039). 5 sampling steps: the same accuracy as 10 at every
# checkpoint, for half of what sampling costs.
# Increments up to 4 because bumps 4 pixels apart no longer overlap: there a density effect can exist at this size.
# Three of them, because each costs up to 8 runs.
# 150 images a checkpoint: they place a crossing of one half to about 8 steps, where seeds spread by 100.
# 2,000 images in a hole: at seeds 0 to 2, inside and outside differ by 0.012, 0.007 and -0.032, each known to 0.005.
# Spreads from 0.5: below it a bump between two pixels is fainter than a quarter of its depth.
QUICK = Profile(
    name="quick",
    purpose="the whole suite on 2 CPU cores in half an hour to an hour",
    base=RunSpec(
        data=DataSpec(image_size=16),
        model=ModelSpec(width=8, encoding_dim=128, attention_heads=1, attention_max_size=4, norm_groups=8),
        diffusion=DiffusionSpec(schedule="cosine", prediction="v", sampler="ddim", sampler_steps=5),
        training=TrainingSpec(steps=1_000, batch_size=16, learning_rate=2e-3),
        measure=MeasureSpec(every=100, samples=150),
    ),
    increments=(0.1, 1.0, 4.0),
    imbalances=((0.1, 4.0),),
    holes=(3.0, 5.0),
    hole_samples=2_000,
    sigmas=(0.5, 0.7, 1.0),
)

# Far too short to learn anything: it shows that every part runs, and its verdicts are INCONCLUSIVE.
SMOKE = replace(
    QUICK,
    name="smoke",
    purpose="every part of the suite in seconds a run; far too short to decide anything",
    base=replace(
        QUICK.base,
        model=ModelSpec(width=4, encoding_dim=8, attention_heads=1, attention_max_size=4, norm_groups=4),
        diffusion=replace(QUICK.base.diffusion, sampler_steps=2),
        training=replace(QUICK.base.training, steps=12, batch_size=8),
        measure=MeasureSpec(every=6, samples=24),
    ),
    increments=(0.5, 4.0),
    imbalances=((0.5, 4.0),),
    hole_samples=32,
    sigmas=(0.5, 1.0),
)

# The paper's canvas and network, at half its width, from cost (benchmarks/README.md): all claims at 5 seeds within an
# hour of one GPU. With epsilon and the linear schedule the baseline draws at chance after the 2,500 steps in which
# v-prediction and the cosine schedule come to 0.96; fifty runs of ten times the steps do not fit. A batch of 64 is at
# 0.9 after 6.5 s of GPU, one of 16 after 10 s: the smaller step costs two thirds. 4,000 steps are four times those to
# one half; measured every 200, so that the crossing lies between two of twenty checkpoints.
NIGHTLY = Profile(
    name="nightly",
    purpose="the paper's canvas on one GPU, every night",
    base=RunSpec(
        model=ModelSpec(width=32),
        diffusion=DiffusionSpec(schedule="cosine", prediction="v", sampler="ddim", sampler_steps=50),
        training=TrainingSpec(steps=4_000, batch_size=64, learning_rate=6e-4, precision="bf16"),
        measure=MeasureSpec(every=200, samples=500),
    ),
    increments=(0.1, 0.5, 1.0, 4.0),
    imbalances=((0.1, 1.0), (0.1, 0.5)),
    holes=(6.0, 10.0),
    hole_samples=2_000,
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

ALL = {profile.name: profile for profile in (QUICK, NIGHTLY, PAPER, SMOKE)}


def get(name: str) -> Profile:
    """The profile of that name. Raises ValueError naming those there are."""
    if name not in ALL:
        raise ValueError(f"unknown profile {name!r}: choose one of {', '.join(ALL)}")
    return ALL[name]
