"""Performance does not depend strongly on the spread sigma (Appendix C.1, Fig. 8)."""

import numpy as np

from bumplab.report.paper_figures import phase_diagram
from bumplab.verdicts.claim import Claim, Control, Design, Part, Premise, Region, levels, rising
from bumplab.verdicts.curves import Undefined
from bumplab.verdicts.effects import (
    ENOUGH,
    HALF,
    RIGHT,
    TOLD,
    last_of,
    least_training,
    one_for_all,
    step_at,
    under_every_name,
)
from bumplab.verdicts.evidence import correlation
from bumplab.verdicts.worlds import learning, ramp, run

POSSIBLE = "probe.ceiling_correct"
STRONG = 0.1
"""Share of the images, for each doubling of sigma."""
PLANTED = 0.25
"""Share of the right bumps that a planted run loses with each halving of sigma."""


def slope_at_end(name):
    """The last value of this name gained for each doubling of sigma, by least squares within one seed."""
    return lambda runs: float(np.polyfit(np.log2(levels(list(runs))), last_of(name)(runs), 1)[0])


def of_possible(runs):
    """The same runs with right bumps as a share of those that true images show.

    Raises `Undefined` where true images show their bump in less than half of all: it hides between the pixels.
    """
    changed = {}
    for condition, curves in runs.items():
        possible = curves.last(POSSIBLE)
        if possible < HALF:
            raise Undefined(f"true images show their bump in {possible:.2f} of all at {condition}")
        changed[condition] = curves.replaced({RIGHT: curves[RIGHT] / possible})
    return changed


def slope_of_performance(runs):
    """The right bumps at the end, of those that true images show, gained for each doubling of sigma.

    Raises `Undefined` where no run has learned: then nothing depends on sigma.
    """
    possible = of_possible(runs)
    if max(last_of(RIGHT)(possible)) <= HALF:
        raise Undefined("no run has learned: none ends with half of its bumps right")
    return slope_at_end(RIGHT)(possible)


def slope_of_time(runs):
    """Slope of log2 of the steps to half of right bumps over log2 of sigma."""
    of_runs = of_possible(runs).items()
    times = [step_at(run, run[RIGHT], HALF, f"half of right bumps at {c}") for c, run in of_runs]
    return float(np.polyfit(np.log2(levels(list(runs))), np.log2(times), 1)[0])


def rank_correlation(runs):
    """Rank correlation of the right bumps at the end with sigma."""
    return correlation(last_of(RIGHT)(of_possible(runs)), rising(list(runs)))


def losing(runs):
    """The run at the largest sigma under every name, without a quarter of its right bumps for each halving of sigma."""
    of_conditions = dict(zip(runs, levels(list(runs)), strict=True))
    largest = max(runs, key=lambda condition: of_conditions[condition])
    changed = under_every_name(runs[largest], runs)
    for condition, sigma in of_conditions.items():
        halvings = np.log2(of_conditions[largest] / sigma)
        right = max(0.0, 1 - PLANTED * halvings) * runs[largest][RIGHT]
        changed[condition] = changed[condition].replaced({RIGHT: right})
    return changed


def plant(specs, performance):
    """Runs that learn alike, and end with 0.8 of right bumps at the mean sigma and this slope over its doublings."""
    doublings = np.log2(levels(list(specs)))
    made = {}
    for (condition, spec), doubling in zip(specs.items(), doublings - doublings.mean(), strict=True):
        curves = learning("probe", ramp(spec, spec.training.steps / 4))
        made[condition] = run(spec, curves, {RIGHT: 0.8 + performance * doubling})
    return made


CLAIM = Claim(
    id="sigma",
    statement="There is no strong correlation between model performance and the spread sigma of the bumps.",
    source="Appendix B.5 and C.1, Fig. 8",
    prediction="After long training, the share of right bumps hardly changes with sigma: equivalence is shown, not "
    "mere lack of significance. If it were false, a wider bump would be drawn clearly better or clearly worse.",
    runs=lambda profile, seed: {f"sigma={s:g}": profile.run(seed, sigma=s) for s in profile.sigmas},
    parts=(
        Part(
            name="performance",
            reads="There is, however, no strong correlation between model performance and increasing sigma.",
            holds="once each spread was learned, a doubling of sigma changed the right bumps by less than a tenth",
            unit="share of images / log2 sigma",
            region=Region(-STRONG, STRONG),
            why="A tenth of the scale for each doubling. A rank correlation has no scale: the least difference that "
            "every seed has is a perfect one. No difference at all gives each seed one by chance.",
            effect=slope_of_performance,
            premise=Premise(
                name="training of the slowest spread",
                needs="one and a half times its own time to half of right bumps for every spread",
                unit="times its own time to half",
                region=Region(low=ENOUGH),
                effect=lambda runs: least_training(of_possible(runs)),
            ),
            design=Design(0.0, 0.03, "Fig. 8: no trend at the last step"),
        ),
        Part(
            name="rank correlation",
            reads="There is, however, no strong correlation between model performance and increasing sigma.",
            holds="the rank correlation of the right bumps at the end with sigma is not strong",
            unit="rank correlation",
            region=Region(-0.5, 0.5),
            why="Shown and not judged: it has no scale. Above a half is strong by convention (Cohen 1988).",
            effect=rank_correlation,
            judges=False,
        ),
        Part(
            name="order",
            reads="no strong correlation between performance or the rate at which semantically meaningful "
            "representations emerges and the spread of the Gaussian bumps",
            holds="a doubling of sigma changes O at the end by less than a tenth",
            unit="O as told / log2 sigma",
            region=Region(-STRONG, STRONG),
            why="Shown and not judged: the same margin for the manifold.",
            effect=slope_at_end(TOLD),
            judges=False,
        ),
        Part(
            name="rate",
            reads="no strong correlation between performance or the rate at which semantically meaningful "
            "representations emerges and the spread of the Gaussian bumps",
            holds="a doubling of sigma changes the steps to half of right bumps by less than a quarter doubling",
            unit="log2 steps / log2 sigma",
            region=Region(-0.25, 0.25),
            why="Shown and not judged: seeds spread by 0.39 doublings of steps at quick, too much for a verdict. "
            "An exploring run there reaches half sooner at a wider spread, by 0.85 doublings for each.",
            effect=slope_of_time,
            judges=False,
        ),
    ),
    curves={RIGHT: "one bump, right place", TOLD: "order O, as told"},
    plant=plant,
    figure=phase_diagram("Fig. 8"),
    controls=(
        Control(
            "dependence planted",
            "The run at the largest sigma under every name. Each halving of sigma costs a quarter of its right bumps.",
            change=losing,
        ),
        Control(
            "one sigma under every name",
            "The run at the largest sigma under every name. Nothing depends on it.",
            change=one_for_all(max),
            positive=True,
        ),
    ),
)


def test_sigma(experiment, item):
    experiment.judge(CLAIM, item)
