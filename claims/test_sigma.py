"""Performance does not depend strongly on the spread sigma (Appendix C.1, Fig. 8)."""

import math

import numpy as np
from scipy.stats import spearmanr

from bumplab.report.paper_figures import phase_diagram
from bumplab.verdicts.claim import Claim, Control, Design, Part, Region
from bumplab.verdicts.effects import LEVEL, contrast, levels_of, log_time_slope, paced
from bumplab.verdicts.intervals import Undefined
from bumplab.verdicts.worlds import learning, ramp, run, steps_by_level

pace = log_time_slope(lambda run: run.corrected("on_grid"))


def final_slope(runs):
    """The share of the ceiling gained at the last step for each doubling of sigma, within one seed."""
    final = np.array([run.corrected("on_grid")[-1] for run in runs.values()])
    if final.max() <= LEVEL:
        raise Undefined("no run has learned: none ends above half its ceiling")
    return float(contrast(levels_of(runs)) @ final)


def rank(runs):
    """Rank correlation of sigma with the steps to half the ceiling, within one seed."""
    times = [run.crossing(run.corrected("on_grid"), LEVEL) for run in runs.values()]
    if sum(math.isinf(high) for _, high in times) > 1:
        raise Undefined("two runs or more do not reach half their ceiling: their order is unknown")
    return float(spearmanr(levels_of(runs), [low for low, _ in times]).statistic)


def plant(seed, conditions, rate, performance):
    """Runs with this slope of the steps to half the ceiling, and this slope of the share of the ceiling at the end."""
    doublings = np.log2(levels_of(dict.fromkeys(conditions)))
    centred = doublings - doublings.mean()
    made = {}
    for condition, half_learned, doubling in zip(conditions, steps_by_level(conditions, rate), centred, strict=True):
        accuracy = ramp(half_learned)
        accuracy[-1] = 0.8 + performance * doubling
        made[condition] = run(seed, learning("on_grid", accuracy))
    return made


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
            name="rate",
            unit="log2 steps / log2 sigma",
            region=Region(-0.25, 0.25),
            why="A quarter doubling of training for each doubling of sigma. Over the paper's tenfold range of sigma "
            "that is at most 1.8 times the steps, which a diagram like Fig. 8 hardly shows.",
            effect=pace,
            design=Design(
                0.0,
                0.1,
                "Fig. 8: no trend; a spread that long training may have. At quick, seeds 0 to 2 of the base run spread "
                "by 0.39 doublings of steps, so slopes over one doubling of sigma by up to 0.55: too much to show this",
            ),
        ),
        Part(
            name="performance",
            unit="share of the ceiling at the last step / log2 sigma",
            region=Region(-0.1, 0.1),
            why="A tenth of the scale for each doubling of sigma.",
            effect=final_slope,
            design=Design(0.0, 0.03, "Fig. 8: no trend at the last step"),
        ),
        Part(
            name="rank correlation",
            unit="with steps to half the ceiling",
            region=Region(-0.5, 0.5),
            why="Shown and not judged: it has no scale, so the least difference counts as strong where every seed has "
            "it. Without any difference, 8 seeds of 3 spreads leave it undecided (limits of about +-0.7).",
            effect=rank,
            judges=False,
        ),
    ),
    curves={"on_grid.corrected": "accuracy / ceiling", "layer4.umap_r2": "R^2 (UMAP)"},
    plant=plant,
    figure=phase_diagram("Fig. 8"),
    controls=(
        Control(
            "dependence planted",
            "The run at the largest sigma under every name, slowed down by sigma squared.",
            change=paced(max, 2),
        ),
        Control(
            "same sigma, two names",
            "Two runs at sigma 1, one of them named after the smallest spread. They do not depend on it.",
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
