"""A claim with a planted world: one counted part, one that compares increments, and one that is shown."""

from dataclasses import replace

from bumplab.verdicts.claim import Compared, Control, Design, Region, falling
from bumplab.verdicts.effects import area_of
from bumplab.verdicts.worlds import learning, level, run
from tests.verdicts.seeds import claim, part

INCREMENTS = (0.5, 1.0, 2.0, 4.0, 8.0)


def plant(specs, pace, flat):
    dense, *others = specs
    runs = {
        condition: run(specs[condition], learning("probe", level(specs[condition], 0.5 + 0.01 * score)))
        for condition, score in zip(others, pace, strict=True)
    }
    return {dense: run(specs[dense], {}, {"layer4.flatness": flat}), **runs}


CLAIM = replace(
    claim(
        part(
            "flat",
            Region(high=0.05),
            effect=lambda runs: runs["dense"].last("layer4.flatness"),
            design=Design(0.035, 0.01, "x"),
        ),
        part(
            "pace",
            effect=Compared(area_of("probe.correct"), falling),
            runs=lambda profile, seed: {f"d={d:g}": profile.run(seed, dx=d) for d in INCREMENTS},
            design=Design(0.8, 0.0, "Fig. 4"),
        ),
        part("shown", effect=lambda runs: runs["dense"].last("bottleneck.signal"), judges=False),
        controls=(
            Control(
                "never flat",
                "w",
                change=lambda runs: {
                    c: run.replaced({"layer4.flatness": 0 * run.steps + 0.2}) for c, run in runs.items()
                },
                parts=("flat",),
            ),
        ),
        plant=plant,
    ),
    runs=lambda profile, seed: {"dense": profile.run(seed)},
)
