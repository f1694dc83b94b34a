"""Sampling noise of an effect: its spread because a run is judged on a finite number of sampled images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bumplab.verdicts.claim import Claim, Part, SeedRuns
from bumplab.verdicts.decision import Runs, by_seed, seed_effect

REDRAWS = 40
"""Redraws of each run's counts. They give the noise to about 11 %."""


def sampling_noise(claim: Claim, runs: Runs) -> dict[str, dict[str, float | None]]:
    """``noise``, ``spread`` and their ``ratio`` for each part of the claim that names its `rates`.

    ``noise`` is the standard deviation of one seed's effect when each rate is drawn again from as many images, as a
    root mean square over seeds. ``spread`` is the standard deviation of the effects between seeds, which includes the
    noise. Both are in the part's unit. Seeds with a censored, undefined or infinite effect are left out, and so are
    parts with fewer than two seeds left.
    """
    of_parts = {}
    for part in claim.parts:
        if not part.rates:
            continue
        known = [(one, effect) for one in by_seed(runs) if not math.isnan(effect := _known(part, one))]
        if len(known) < 2:
            continue
        random = np.random.default_rng(0)
        redrawn = [[_known(part, _redraw(one, part.rates, random)) for _ in range(REDRAWS)] for one, _ in known]
        if any(np.isnan(draws).all() for draws in redrawn):
            continue  # no redraw of some seed defined the effect
        noise = math.sqrt(float(np.mean([np.nanvar(draws) for draws in redrawn])))
        spread = float(np.std([effect for _, effect in known], ddof=1))
        of_parts[part.name] = {"noise": noise, "spread": spread, "ratio": noise / spread if spread else None}
    return of_parts


def _known(part: Part, runs: SeedRuns) -> float:
    """The effect of one seed, NaN where it is censored, undefined or infinite."""
    low, high = seed_effect(part, runs)[0] or (math.nan, math.nan)
    return low if low == high and math.isfinite(low) else math.nan


def _redraw(runs: SeedRuns, rates: Sequence[str], random: np.random.Generator) -> SeedRuns:
    """The same runs with each rate drawn again, binomially, from as many images."""
    redrawn = {}
    for condition, run in runs.items():
        present = [rate for rate in rates if rate in run.rows[0]]
        counts = {rate: run[f"{rate.split('.')[0]}.samples"].astype(int) for rate in present}
        redrawn[condition] = run.replaced({r: random.binomial(n, run[r]) / n for r, n in counts.items()})
    return redrawn
