"""How much of an effect's spread between seeds is only that a run was judged on a finite number of sampled images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from bumplab.verdicts.claim import Claim, Part, SeedRuns
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.intervals import Undefined

REDRAWS = 40
"""Redraws of each run's counts: they give its noise to about 11 %."""


def sampling_noise(claim: Claim, runs: Mapping[str, Sequence[Curves]]) -> dict[str, dict[str, float | None]]:
    """For each part of the claim that names its `rates`: ``noise``, ``spread`` and their ``ratio``.

    ``noise`` is the standard deviation of one seed's effect when each rate is drawn again from as many images (root
    mean square over seeds), ``spread`` that of the effects between seeds, which includes it. Both are over the seeds
    whose effect is known, neither censored nor undefined; a part with fewer than two of them is left out.
    """
    seeds = len(next(iter(runs.values()), ()))
    by_seed: list[SeedRuns] = [{condition: runs[condition][i] for condition in runs} for i in range(seeds)]
    found = {}
    for part in claim.parts:
        if not part.rates:
            continue
        effects = [_known(part, one) for one in by_seed]
        known = [(one, effect) for one, effect in zip(by_seed, effects, strict=True) if not math.isnan(effect)]
        if len(known) < 2:
            continue
        random = np.random.default_rng(0)
        redrawn = [[_known(part, _redraw(one, part.rates, random)) for _ in range(REDRAWS)] for one, _ in known]
        noise = math.sqrt(float(np.mean([np.nanvar(draws) for draws in redrawn])))
        spread = float(np.std([effect for _, effect in known], ddof=1))
        found[part.name] = {"noise": noise, "spread": spread, "ratio": noise / spread if spread else None}
    return found


def _known(part: Part, runs: SeedRuns) -> float:
    try:
        low, high = part.effect(runs)
    except Undefined:
        return math.nan
    return low if low == high else math.nan


def _redraw(runs: SeedRuns, rates: Sequence[str], random: np.random.Generator) -> SeedRuns:
    redrawn = {}
    for condition, run in runs.items():
        present = [rate for rate in rates if rate in run.rows[0]]
        counts = {rate: run[f"{rate.split('.')[0]}.samples"].astype(int) for rate in present}
        redrawn[condition] = run.replaced({r: random.binomial(n, run[r]) / n for r, n in counts.items()})
    return redrawn
