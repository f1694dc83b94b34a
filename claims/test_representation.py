"""Representation is key to performance (Section 3, Fig. 4)."""

from functools import partial

import numpy as np
from scipy.stats import rankdata, spearmanr

from bumplab.verdicts.claim import Claim, Control, Design, Part, Region
from bumplab.verdicts.intervals import Undefined, student_t

# Seeds that agree are not taken to agree exactly: three runs whose order lasts correlate by -1, -1/2, 1/2 or 1.
over_checkpoints, over_runs = (partial(student_t, resolution=step) for step in (0.05, 0.5))
VISIBLE = 0.1
"""Accuracies of a seed's runs at one step must differ by this much to say which run is ahead."""


def over_training(measure):
    """Rank correlation of R^2 and accuracy over a run's checkpoints, averaged over a seed's runs."""

    def effect(runs):
        found = []
        for condition, run in runs.items():
            accuracy, r2 = run.corrected("on_grid"), run[f"up1-features.{measure}"]
            if np.ptp(accuracy) < VISIBLE:
                raise Undefined(f"the accuracy of the {condition} run does not change")
            found.append(float(spearmanr(r2, accuracy).statistic))
        return float(np.mean(found)), float(np.mean(found))

    return effect


def at_fixed_steps(measure):
    """Rank correlation of R^2 and accuracy across a seed's runs, within one step, over all steps that tell them apart.

    Training time, which makes both grow, is the same for all runs at a step.
    """

    def effect(runs):
        accuracy = np.array([run.corrected("on_grid") for run in runs.values()])
        r2 = np.array([run[f"up1-features.{measure}"] for run in runs.values()])
        apart = np.ptp(accuracy, axis=0) >= VISIBLE
        if not apart.any():
            raise Undefined("at no step do the runs differ in accuracy")
        a, r = (rankdata(values[:, apart], axis=0) for values in (accuracy, r2))
        a, r = a - a.mean(axis=0), r - r.mean(axis=0)
        together = float((a * r).sum() / np.sqrt((a**2).sum() * (r**2).sum()))
        return together, together

    return effect


def shuffled(runs):
    """The same runs with each R^2 moved to another run and checkpoint."""
    sizes = [len(run.steps) for run in runs.values()]
    order = np.random.default_rng(next(iter(runs.values())).seed).permutation(sum(sizes))
    changed = dict(runs)
    for name in R2:
        moved = np.split(np.concatenate([run[name] for run in runs.values()])[order], np.cumsum(sizes)[:-1])
        changed = {c: run.replaced({name: r2}) for (c, run), r2 in zip(changed.items(), moved, strict=True)}
    return changed


def following(runs):
    """The same runs with R^2 equal to the accuracy."""
    return {c: run.replaced(dict.fromkeys(R2, run.corrected("on_grid"))) for c, run in runs.items()}


HIGH = 0.5
R2 = ("up1-features.umap_r2", "up1-features.pca_r2")
CLAIM = Claim(
    id="representation",
    statement="Performance is highly correlated with the learned representation: a high-quality representation is key "
    "to achieving better accuracies in image generation.",
    source="Section 3, Fig. 4",
    prediction="R^2 and accuracy rise together over training, and at any one step the run with the better "
    "representation is the more accurate. If it were false, R^2 would say nothing of accuracy beyond training time.",
    runs=lambda profile, seed: {f"d={d:g}": profile.run(seed, dx=d) for d in profile.increments},
    parts=(
        Part(
            "over training",
            "rank correlation",
            Region(low=HIGH),
            "'Highly correlated': above a half, a strong correlation by convention (Cohen 1988). A run's checkpoints "
            "are not replicates: they give one number a run, and the runs of a seed one number together.",
            over_training("umap_r2"),
            interval=over_checkpoints,
            design=Design(0.8, 0.1, "Fig. 4 (a) and (b) look alike but for d near 1"),
        ),
        Part(
            "at fixed steps",
            "rank correlation across runs",
            Region(low=0),
            "Anything beyond training time counts: whatever grows during training correlates over it. It holds for the "
            "increments tried: they are the same in every seed.",
            at_fixed_steps("umap_r2"),
            interval=over_runs,
            design=Design(
                0.8, 0.08, "Fig. 4 (a) and (b): at a given step both fall with the increment, nearly in order"
            ),
        ),
        Part(
            "over training, without UMAP",
            "rank correlation",
            Region(low=HIGH),
            "Shown and not judged: the same with cross-validated R^2 on principal components.",
            over_training("pca_r2"),
            judges=False,
        ),
        Part(
            "at fixed steps, without UMAP",
            "rank correlation across runs",
            Region(low=0),
            "Shown and not judged: UMAP may tear sparse labels apart, which this cannot.",
            at_fixed_steps("pca_r2"),
            judges=False,
        ),
    ),
    curves={
        "on_grid.corrected": "accuracy / ceiling",
        "up1-features.umap_r2": "R^2 (UMAP)",
        "up1-features.pca_r2": "R^2 (PCA, cross-validated)",
    },
    controls=(
        Control(
            "R^2 shuffled over checkpoints",
            "The claim's own runs, each R^2 moved to another checkpoint of any of a seed's runs: it says nothing.",
            change=shuffled,
        ),
        Control(
            "R^2 follows accuracy",
            "The claim's own runs with R^2 equal to accuracy: correlated over training and at every step.",
            change=following,
            positive=True,
        ),
    ),
)


def test_representation(experiment):
    experiment.judge(CLAIM)
