"""Representation is key to performance (Section 3, Fig. 4)."""

from functools import cache, partial
from itertools import permutations

import numpy as np
from scipy.stats import rankdata, spearmanr

from bumplab.verdicts.claim import Claim, Control, Design, Part, Region
from bumplab.verdicts.intervals import Undefined, student_t
from bumplab.verdicts.worlds import STEPS, learning, r2, run

# The least spread between seeds that limits use: three runs whose order lasts correlate by -1, -1/2, 1/2 or 1.
over_checkpoints, over_runs = (partial(student_t, resolution=step) for step in (0.05, 0.5))
VISIBLE = 0.1
"""A step counts where the accuracies of a seed's runs differ by at least this much."""


def over_training(measure):
    """Rank correlation of R^2 and accuracy over a run's checkpoints, averaged over a seed's runs."""

    def effect(runs):
        correlations = []
        for condition, curves in runs.items():
            accuracy = curves.corrected("on_grid")
            if np.ptp(accuracy) < VISIBLE:
                raise Undefined(f"the accuracy of the {condition} run does not change")
            if np.ptp(curves[f"layer4.{measure}"]) == 0:  # a tap that holds the label itself
                raise Undefined(f"R^2 of the {condition} run does not change")
            correlations.append(float(spearmanr(curves[f"layer4.{measure}"], accuracy).statistic))
        return float(np.mean(correlations))

    return effect


def at_fixed_steps(measure):
    """Rank correlation of R^2 and accuracy across a seed's runs, ranked within each step that tells them apart.

    Both grow with training time, which is the same for all runs at a step.
    """

    def effect(runs):
        accuracy = np.array([curves.corrected("on_grid") for curves in runs.values()])
        r2 = np.array([curves[f"layer4.{measure}"] for curves in runs.values()])
        apart = np.ptp(accuracy, axis=0) >= VISIBLE
        if not apart.any():
            raise Undefined("at no step do the runs differ in accuracy")
        if not np.ptp(r2[:, apart], axis=0).any():
            raise Undefined("at no such step do the runs differ in R^2")
        a, r = (rankdata(values[:, apart], axis=0) for values in (accuracy, r2))
        a, r = a - a.mean(axis=0), r - r.mean(axis=0)
        return float((a * r).sum() / np.sqrt((a**2).sum() * (r**2).sum()))

    return effect


def shuffled(runs):
    """The same runs with each R^2 moved to another run and checkpoint."""
    sizes = [len(curves.steps) for curves in runs.values()]
    order = np.random.default_rng(next(iter(runs.values())).seed).permutation(sum(sizes))
    changed = dict(runs)
    for name in R2:
        every = np.concatenate([curves[name] for curves in runs.values()])
        for condition, moved in zip(runs, np.split(every[order], np.cumsum(sizes)[:-1]), strict=True):
            changed[condition] = changed[condition].replaced({name: moved})
    return changed


def following(runs):
    """The same runs with R^2 equal to the accuracy."""
    return {c: curves.replaced(dict.fromkeys(R2, curves.corrected("on_grid"))) for c, curves in runs.items()}


def plant(seed, conditions, over_training, at_fixed_steps):
    """Runs with these rank correlations.

    R^2 has one order of checkpoints, the same in all runs. Within a step the runs differ by less than one rank of it.
    """
    steps, runs = len(STEPS), len(conditions)
    over = ranks(steps, over_training)[0]
    across = []
    owed = 0.0
    for _ in range(steps):  # the next step makes up for the difference to the nearest possible correlation
        of_runs, correlation = ranks(runs, at_fixed_steps + owed)
        owed += at_fixed_steps - correlation
        across.append(of_runs)
    below = np.array(across).T / (10 * runs)
    made = {}
    for i, condition in enumerate(conditions):
        # the last condition, the largest increment, is the least accurate at every step
        accuracy = 0.15 * (runs - 1 - i) / (runs - 1) + 0.8 * STEPS / STEPS[-1]
        curves = r2((over + below[runs - 1 - i]) / steps)
        made[condition] = run(seed, {**learning("on_grid", accuracy), **curves})
    return made


def ranks(n, correlation):
    """The order of 0 .. n - 1 whose rank correlation with 0 .. n - 1 is nearest to ``correlation``, and its own."""
    correlations, orders = orders_of(n)
    at = int(np.searchsorted((correlations[1:] + correlations[:-1]) / 2, correlation))
    return orders[at], float(correlations[at])


@cache
def orders_of(n):
    """Rank correlations ``[K]`` and an order for each ``[K, n]``. Above 5 numbers, K depends on random draws."""
    random = np.random.default_rng(0)
    if n <= 5:
        orders = list(permutations(range(n)))
    else:
        noise = random.normal(size=(4000, n)) * random.exponential(n / 4, (4000, 1))
        signed = random.choice([-1.0, 1.0], (4000, 1)) * np.arange(n)
        orders = [tuple(order) for order in np.argsort(np.argsort(signed + noise, axis=1), axis=1)]
    by_correlation = {round(float(np.corrcoef(order, range(n))[0, 1]), 9): order for order in orders}
    correlations = sorted(by_correlation)
    return np.array(correlations), np.array([by_correlation[c] for c in correlations], dtype=np.float64)


HIGH = 0.5
R2 = ("layer4.umap_r2", "layer4.pca_r2")
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
            name="over training",
            unit="rank correlation",
            region=Region(low=HIGH),
            why="'Highly correlated' is read as above a half, a strong correlation by convention (Cohen 1988). A run's "
            "checkpoints are not replicates: they give one number a run, and the runs of a seed one number together.",
            effect=over_training("umap_r2"),
            interval=over_checkpoints,
            design=Design(0.8, 0.1, "Fig. 4 (a) and (b) look alike but for d near 1"),
        ),
        Part(
            name="at fixed steps",
            unit="rank correlation across runs",
            region=Region(low=0),
            why="Any relation beyond training time counts, as all numbers that grow during training correlate over it. "
            "The verdict is about these increments, which are the same in every seed.",
            effect=at_fixed_steps("umap_r2"),
            interval=over_runs,
            design=Design(
                0.8, 0.08, "Fig. 4 (a) and (b): at a given step both fall with the increment, nearly in order"
            ),
        ),
        Part(
            name="over training, without UMAP",
            unit="rank correlation",
            region=Region(low=HIGH),
            why="Shown and not judged: the same with cross-validated R^2 on principal components.",
            effect=over_training("pca_r2"),
            judges=False,
        ),
        Part(
            name="at fixed steps, without UMAP",
            unit="rank correlation across runs",
            region=Region(low=0),
            why="Shown and not judged: UMAP may tear sparse labels apart. Principal components cannot.",
            effect=at_fixed_steps("pca_r2"),
            judges=False,
        ),
    ),
    curves={
        "on_grid.corrected": "accuracy / ceiling",
        "layer4.umap_r2": "R^2 (UMAP)",
        "layer4.pca_r2": "R^2 (PCA, cross-validated)",
    },
    plant=plant,
    controls=(
        Control(
            "R^2 shuffled over checkpoints",
            "The claim's own runs, with each R^2 moved to another checkpoint of any of the seed's runs.",
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
