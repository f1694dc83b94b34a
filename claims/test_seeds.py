"""Trainings that differ in their seed alone end further apart at larger increments (Appendix C.1)."""

from dataclasses import replace

import numpy as np

from bumplab.verdicts.claim import Claim, Compared, Control, Design, Part, Premise, Region, levels, rising
from bumplab.verdicts.effects import ORDERED, RIGHT, TOLD, require_not_told, under_every_name
from bumplab.verdicts.worlds import ramp, run

AGAIN = " again"
"""Ends the name of the second training at an increment."""
VISIBLE = 0.1
"""Difference in O. Where O is 0.85 or more, two readings of one noisy sheet by 300 labels differ by less than 0.04."""
STEP = 0.05
"""Share of its order that a planted second training lacks, times its increment's rank from 1 on."""


def pairs(profile, seed):
    """Two trainings at the densest increment, at the middle one and at the sparsest. The first are those of density.

    A seed so costs one more run for each of them. Where the premise fails, three seeds are enough to see it.
    """
    increments = profile.increments
    chosen = dict.fromkeys((increments[0], increments[len(increments) // 2], increments[-1]))
    first = {f"d={d:g}": profile.run(seed, dx=d) for d in chosen}
    other = profile.replicate(seed).seed
    return first | {f"{condition}{AGAIN}": replace(spec, seed=other) for condition, spec in first.items()}


def increments(conditions):
    """The names of the first trainings."""
    return [condition for condition in conditions if not condition.endswith(AGAIN)]


def rising_with_increment(conditions):
    return rising(increments(conditions))


def differences(name):
    """How far apart the two trainings at each increment end."""
    return lambda runs: [abs(runs[c].last(name) - runs[f"{c}{AGAIN}"].last(name)) for c in increments(runs)]


def differences_of_order(runs):
    """The same of O. Raises `Undefined` where a layer holds the label before training."""
    for curves in runs.values():
        require_not_told(curves)
    return differences(TOLD)(runs)


def not_learned(runs):
    """The share of a seed's runs that end without order."""
    return float(np.mean([curves.last(TOLD) < ORDERED for curves in runs.values()]))


def second_lacks(share_of_rank):
    """The first run at the smallest increment under every name, and second runs that lack a share of its order."""

    def change(runs):
        names = increments(runs)
        of_increments = dict(zip(names, levels(names), strict=True))
        by_increment = sorted(names, key=lambda condition: of_increments[condition])
        run = runs[by_increment[0]]
        changed = under_every_name(run, runs)
        for rank, condition in enumerate(by_increment, 1):
            again = f"{condition}{AGAIN}"
            changed[again] = changed[again].replaced({TOLD: (1 - share_of_rank(rank)) * run[TOLD]})
        return changed

    return change


def plant(specs, further_apart):
    """Pairs of runs that end as far apart as the ranks of these scores say, from 0.1 on."""
    ranks = np.argsort(np.argsort(further_apart))
    apart = dict(zip(increments(specs), 0.1 + 0.5 * ranks / len(ranks), strict=True))
    made = {}
    for condition, spec in specs.items():
        end = 0.95 - apart.get(condition.removesuffix(AGAIN), 0.0) * condition.endswith(AGAIN)
        made[condition] = run(spec, {TOLD: ramp(spec, spec.training.steps / 4)}, {TOLD: end})
    return made


ANY = "Any growth counts: the paper gives no number. Without an effect of the increment, all orders are equally likely."
CLAIM = Claim(
    id="seeds",
    statement="Some seeds do not learn a semantically meaningful manifold, and more so at bigger increments.",
    source="Appendix C.1",
    prediction="Two trainings that differ in nothing but their seed end further apart at a larger increment. If it "
    "were false, they would be equally far apart at all increments.",
    runs=pairs,
    parts=(
        Part(
            name="further apart",
            reads="This seed dependence issue is exacerbated with models trained using datasets of bigger increments.",
            holds="two trainings end further apart in O at a larger increment",
            unit="rank correlation of the difference with the increment",
            region=Region(low=0),
            why=ANY,
            effect=Compared(differences_of_order, rising_with_increment),
            premise=Premise(
                name="the largest difference between two trainings",
                needs="trainings that end further apart than measuring explains",
                unit="O as told",
                region=Region(low=VISIBLE),
                effect=lambda runs: max(differences_of_order(runs)),
            ),
            design=Design(0.7, 0.0, "the paper gives no number: an order with one exchange among three increments"),
        ),
        Part(
            name="right bumps further apart",
            reads="This seed dependence issue is exacerbated with models trained using datasets of bigger increments.",
            holds="two trainings end further apart in right bumps at a larger increment",
            unit="rank correlation of the difference with the increment",
            region=Region(low=0),
            why="Shown and not judged: the paper speaks of the manifold.",
            effect=Compared(differences(RIGHT), rising_with_increment),
            judges=False,
        ),
        Part(
            name="not learned",
            reads="for some seeds, some of the sigmas that we have tested do not learn a semantically meaningful "
            "manifold",
            holds="a run ends without order",
            unit="share of the seed's runs that end without order",
            region=Region(low=0),
            why="Shown and not judged: one such run is enough for 'some'. They are too few to compare increments by.",
            effect=not_learned,
            judges=False,
        ),
    ),
    curves={TOLD: "order O, as told", RIGHT: "one bump, right place"},
    plant=plant,
    controls=(
        Control(
            "equal spread",
            "The first run at the smallest increment under every name. Each second run lacks a tenth of its order.",
            change=second_lacks(lambda rank: 2 * STEP),
        ),
        Control(
            "spread planted",
            "The same, but a second run lacks the more of its order, the larger its increment is.",
            change=second_lacks(lambda rank: STEP * rank),
            positive=True,
        ),
    ),
)


def test_seeds(experiment, item):
    experiment.judge(CLAIM, item)
