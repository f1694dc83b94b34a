"""Performance does not depend strongly on the spread sigma (Appendix C.1, Fig. 8)."""

import math

import numpy as np
from scipy.stats import spearmanr

from bumplab.verdicts.claim import Claim, Control, Design, Part, Region
from bumplab.verdicts.effects import LEVEL, contrast, levels_of, log_time_slope, paced
from bumplab.verdicts.intervals import Undefined

pace = log_time_slope(lambda run: run.corrected("on_grid"))


def final_slope(runs):
    """How much of the ceiling is gained at the last step for each doubling of sigma, within one seed."""
    final = np.array([run.corrected("on_grid")[-1] for run in runs.values()])
    if final.max() <= LEVEL:
        raise Undefined("no run has learned: none ends above half its ceiling")
    slope = float(contrast(levels_of(runs)) @ final)
    return slope, slope


def rank(runs):
    """Rank correlation of sigma with the steps to half the ceiling, within one seed."""
    times = [run.crossing(run.corrected("on_grid"), LEVEL) for run in runs.values()]
    if sum(math.isinf(high) for _, high in times) > 1:
        raise Undefined("two runs or more do not reach half their ceiling: their order is unknown")
    rho = float(spearmanr(levels_of(runs), [low for low, _ in times]).statistic)
    return rho, rho


CLAIM = Claim(
    id="sigma",
    statement="There is no strong correlation between model performance, or the rate at which semantically meaningful "
    "representations emerge, and the spread sigma of the bumps.",
    source="Appendix B.5 and C.1, Fig. 8",
    prediction="Steps to half the ceiling and accuracy at the end hardly change with sigma: equivalence is shown, not "
    "mere lack of significance. If it were false, a wider bump would be learned clearly sooner or clearly better.",
    runs=lambda profile, seed: {f"sigma={s:g}": profile.run(seed, sigma=s) for s in profile.sigmas},
    parts=(
        Part(
            "rate",
            "log2 steps / log2 sigma",
            Region(-0.25, 0.25),
            "A quarter doubling of training a doubling of sigma: over the paper's tenfold range of sigma at most 1.8 "
            "times the steps, which a diagram like Fig. 8 hardly shows.",
            pace,
            design=Design(
                0.0,
                0.1,
                "Fig. 8: no trend; a spread that long training may have. At quick, seeds 0 to 2 of the base run spread "
                "by 0.39 doublings of steps, so slopes over one doubling of sigma by up to 0.55: too much to show this",
            ),
        ),
        Part(
            "performance",
            "share of the ceiling at the last step / log2 sigma",
            Region(-0.1, 0.1),
            "A tenth of the scale a doubling of sigma.",
            final_slope,
            design=Design(0.0, 0.03, "Fig. 8: no trend at the last step"),
        ),
        Part(
            "rank correlation",
            "with steps to half the ceiling",
            Region(-0.5, 0.5),
            "Shown and not judged: scale-free, so it calls the least difference strong if only every seed has it; and "
            "where there is none, 8 seeds of 3 spreads leave it undecided (limits of about +-0.7).",
            rank,
            judges=False,
        ),
    ),
    curves={"on_grid.corrected": "accuracy / ceiling", "up1-features.umap_r2": "R^2 (UMAP)"},
    controls=(
        Control(
            "dependence planted",
            "The run at the largest sigma under every name, slowed down by sigma squared.",
            change=paced(max, 2),
        ),
        Control(
            "same sigma, two names",
            "Two runs at sigma 1, one of them named after the smallest spread: no dependence to be found.",
            runs=lambda profile, seed: {
                f"sigma={profile.sigmas[0]:g}": profile.replicate(seed),
                "sigma=1": profile.run(seed),
            },
            positive=True,
        ),
    ),
)


def test_sigma(experiment):
    experiment.judge(CLAIM)
