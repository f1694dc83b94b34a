"""More seeds fail at larger increments (Appendix C.1)."""

import numpy as np

from bumplab.verdicts.claim import Claim, Control, Design, Part, Region
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.effects import LEVEL, levels_of
from bumplab.verdicts.intervals import exact_trend
from bumplab.verdicts.worlds import LATE, learning, ramp, run

R2 = ("layer4.umap_r2", "layer4.pca_r2")


def failures(ends_with):
    """A seed's increments (log2), and then 1 for each run that failed, otherwise 0.

    A run has failed that diverged, or whose last value ``ends_with(run)`` is not above a half.
    """

    def effect(runs):
        failed = [float(bool(curves.failed) or not ends_with(curves) > LEVEL) for curves in runs.values()]
        return (*np.log2(levels_of(runs)).tolist(), *failed)

    return effect


def failing_at(which):
    """The same runs as if those at one increment had learned no manifold, and all others had.

    ``which`` is the index of the increment, the smallest first.
    """

    def change(runs):
        chosen = list(runs)[np.argsort(levels_of(runs))[which]]
        changed = {}
        for condition, curves in runs.items():
            r2 = np.full(len(curves.steps), float(condition != chosen))
            changed[condition] = Curves(curves.rows, None, curves.seed).replaced(dict.fromkeys(R2, r2))
        return changed

    return change


def drawn(random, effect, spread):
    """A seed whose log-odds of failing rise by ``effect`` a doubling, from -2 +- ``spread`` at increment 1/2."""
    levels = np.log2([0.1, 1.0, 4.0])
    odds = np.exp(random.normal(-2, spread) + effect * (levels + 1))
    return (*levels.tolist(), *(random.random(len(levels)) < odds / (1 + odds)).astype(float).tolist())


def plant(seed, conditions, umap, pca):
    """Runs that fail by each measure of R^2 as these two data say: levels, and then 1 for each failed run."""
    failed = zip(umap[len(umap) // 2 :], pca[len(pca) // 2 :], strict=True)
    made = {}
    for condition, (failed_umap, failed_pca) in zip(conditions, failed, strict=True):
        r2 = {R2[0]: (0.9 - 0.7 * failed_umap) * ramp(LATE), R2[1]: (0.9 - 0.7 * failed_pca) * ramp(LATE)}
        made[condition] = run(seed, learning("on_grid", ramp(LATE)) | r2)
    return made


DATUM = "log2 increments, then 1 for each run that failed"
UNIT = "log-odds of failing / log2 increment"
ANY = "Any growth with the increment counts: the paper gives no number."
DESIGN = Design(
    effect=1.5,
    spread=1.0,
    source="the paper gives no number: a seventh of runs fail at 0.5, two thirds at 2",
    draw=drawn,
)

CLAIM = Claim(
    id="seeds",
    statement="For some seeds no semantically meaningful manifold is learned, and this seed dependence is exacerbated "
    "with datasets of bigger increments.",
    source="Appendix C.1",
    prediction="The share of seeds whose run ends without a readable manifold (R^2 of position at most a half, or a "
    "diverged run) grows with the increment. If it were false, failures would fall on all increments alike.",
    runs=lambda profile, seed: {f"d={d:g}": profile.run(seed, dx=d) for d in profile.increments},
    parts=(
        Part(
            name="no manifold",
            unit=UNIT,
            region=Region(low=0),
            why=ANY,
            effect=failures(lambda curves: curves["layer4.umap_r2"][-1]),
            interval=exact_trend,
            datum=DATUM,
            datum_form="outcomes",
            counts_failures=True,
            design=DESIGN,
        ),
        Part(
            name="no manifold, without UMAP",
            unit=UNIT,
            region=Region(low=0),
            why=ANY
            + " Judged beside the paper's measure, because UMAP may tear labels 4 pixels apart into islands and "
            "place them anywhere. Cross-validated R^2 on principal components cannot.",
            effect=failures(lambda curves: curves["layer4.pca_r2"][-1]),
            interval=exact_trend,
            datum=DATUM,
            datum_form="outcomes",
            counts_failures=True,
            design=DESIGN,
        ),
        Part(
            name="no right bumps",
            unit=UNIT,
            region=Region(low=0),
            why="Shown and not judged: here a run fails where its accuracy is at most half its ceiling.",
            effect=failures(lambda curves: curves.corrected("on_grid")[-1]),
            interval=exact_trend,
            datum=DATUM,
            datum_form="outcomes",
            counts_failures=True,
            judges=False,
        ),
    ),
    curves={"layer4.umap_r2": "R^2 (UMAP)", "layer4.pca_r2": "R^2 (PCA, cross-validated)"},
    plant=plant,
    controls=(
        Control(
            "failures at the smallest increment",
            "The claim's own runs as if those at the smallest increment, and only those, had learned no manifold.",
            change=failing_at(0),
        ),
        Control(
            "failures at the largest increment",
            "The claim's own runs as if those at the largest increment, and only those, had learned no manifold.",
            change=failing_at(-1),
            positive=True,
        ),
    ),
)


def test_seeds(experiment):
    experiment.judge(CLAIM)
