"""The bottleneck carries less signal than layer 4 (Appendix B.1)."""

import math

from bumplab.verdicts.claim import Claim, Control, Design, Part, Region
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.effects import require_learned
from bumplab.verdicts.intervals import Undefined
from bumplab.verdicts.worlds import LATE, learning, ramp, run

LAYER_4, BOTTLENECK = "layer4", "bottleneck"


def less_readable(measure):
    """R^2 of layer 4, before label injection, minus that of the bottleneck, at the last step."""

    def effect(runs):
        dense = runs["dense"]
        require_learned(dense, "dense")
        return dense.last(f"{LAYER_4}.{measure}") - dense.last(f"{BOTTLENECK}.{measure}")

    return effect


def less_signal(runs):
    """The share of a tap's power that differs between images: log2 of layer 4's over the bottleneck's."""
    dense = runs["dense"]
    require_learned(dense, "dense")
    layer_4, bottleneck = dense.last(f"{LAYER_4}.signal"), dense.last(f"{BOTTLENECK}.signal")
    if min(layer_4, bottleneck) <= 0:
        raise Undefined("a tap is the same for every image")
    return math.log2(layer_4 / bottleneck)


def swapped(runs):
    """The same run with the names of the two taps exchanged at the last step."""
    dense = runs["dense"]
    last = dict(dense.rows[-1])
    for name in dense.rows[-1]:
        tap, _, measure = name.partition(".")
        if tap == BOTTLENECK:
            other = f"{LAYER_4}.{measure}"
            last[name], last[other] = last[other], last[name]
    return {"dense": Curves([*dense.rows[:-1], last], dense.failed, dense.seed)}


def plant(seed, conditions, less_readable, less_signal):
    """A run that learns, with R^2 of 0.9 and a signal of 0.4 in layer 4."""
    last = {
        **{f"{LAYER_4}.{kind}_r2": 0.9 for kind in ("umap", "pca")},
        **{f"{BOTTLENECK}.{kind}_r2": 0.9 - less_readable for kind in ("umap", "pca")},
        f"{LAYER_4}.signal": 0.4,
        f"{BOTTLENECK}.signal": 0.4 * 2**-less_signal,
    }
    return {"dense": run(seed, learning("on_grid", ramp(LATE)), last)}


CLAIM = Claim(
    id="bottleneck",
    statement="The bottleneck layers have diminishing signals, which is why layer 4 is studied instead.",
    source="Appendix B.1",
    prediction="In a trained network position is read worse from the bottleneck than from layer 4, and a smaller share "
    "of what the bottleneck holds differs between images. If it were false, both would be alike.",
    runs=lambda profile, seed: {"dense": profile.run(seed)},
    parts=(
        Part(
            name="less readable",
            unit="R^2, layer 4 minus bottleneck",
            region=Region(low=0.1),
            why="A tenth of the scale: less would be no reason to choose another layer.",
            effect=less_readable("umap_r2"),
            design=Design(0.3, 0.08, "the paper gives no number: an R^2 of 0.9 against 0.6"),
        ),
        Part(
            name="less signal",
            unit="log2 of the share of power, layer 4 / bottleneck",
            region=Region(low=1.0),
            why="'Diminishing' read as at most a half of what layer 4 has.",
            effect=less_signal,
            design=Design(2.0, 0.4, "the paper gives no number: a quarter"),
        ),
        Part(
            name="less readable, without UMAP",
            unit="R^2, layer 4 minus bottleneck",
            region=Region(low=0.1),
            why="Shown and not judged: the same with cross-validated R^2 on principal components.",
            effect=less_readable("pca_r2"),
            judges=False,
        ),
    ),
    curves={"on_grid.corrected": "accuracy / ceiling", f"{LAYER_4}.umap_r2": "layer 4: R^2 (UMAP)"},
    plant=plant,
    controls=(
        Control(
            "taps swapped",
            "The claim's own runs with the names of layer 4 and the bottleneck exchanged. A claim that holds for one "
            "order of the two cannot hold for the other.",
            change=swapped,
        ),
        Control(
            "untrained",
            "The same network after one step: no layer carries position by learning.",
            runs=lambda profile, seed: {"dense": profile.untrained(profile.run(seed))},
        ),
    ),
)


def test_bottleneck(experiment):
    experiment.judge(CLAIM)
