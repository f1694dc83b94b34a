"""The bottleneck carries less signal than layer 4 (Appendix B.1)."""

import math

from bumplab.verdicts.claim import Claim, Control, Design, Part, Premise, Region
from bumplab.verdicts.curves import Curves, Undefined
from bumplab.verdicts.effects import HALF, RIGHT
from bumplab.verdicts.worlds import learning, ramp, run

LAYER_4, BOTTLENECK = "layer4", "bottleneck"
LEAST_SIGNAL = 1e-12
"""A smaller share of power is rounding of float32 numbers."""
READS = "the bottleneck layers have diminishing signals in most of our experiments"


def dense_run(profile, seed):
    return {"dense": profile.run(seed)}


def with_untrained(profile, seed):
    """The dense run, and the same network after one step."""
    dense = profile.run(seed)
    return {"dense": dense, "untrained": profile.untrained(dense)}


def less_signal(curves):
    """Doublings of the share of a tap's power that differs between images, from the bottleneck to layer 4.

    It is bounded on one side alone where one of the taps is the same for every image.
    """
    layer_4, bottleneck = curves.last(f"{LAYER_4}.signal"), curves.last(f"{BOTTLENECK}.signal")
    if max(layer_4, bottleneck) < LEAST_SIGNAL:
        raise Undefined("both taps are the same for every image")
    ratio = math.log2(max(layer_4, LEAST_SIGNAL) / max(bottleneck, LEAST_SIGNAL))
    return (
        ratio if layer_4 >= LEAST_SIGNAL else -math.inf,
        ratio if bottleneck >= LEAST_SIGNAL else math.inf,
    )


def by_training(runs):
    """Bounds of the doublings that training added."""
    (low, high), (low_before, high_before) = (less_signal(runs[name]) for name in ("dense", "untrained"))
    return low - high_before, high - low_before


def swapped(runs):
    """The same run with the names of the two taps exchanged at the last step."""
    taps = {LAYER_4: BOTTLENECK, BOTTLENECK: LAYER_4}
    last = runs["dense"].rows[-1]
    exchanged = {}
    for name in last:
        tap, _, measure = name.partition(".")
        other = f"{taps[tap]}.{measure}" if tap in taps else name
        exchanged[name] = last.get(other, last[name])
    return _with_last(runs, exchanged)


def same_tap(runs):
    """The same run with the signal of layer 4 under both names."""
    last = runs["dense"].rows[-1]
    return _with_last(runs, {**last, f"{BOTTLENECK}.signal": last[f"{LAYER_4}.signal"]})


def _with_last(runs, last):
    dense = runs["dense"]
    return runs | {"dense": Curves([*dense.rows[:-1], last], dense.spec, dense.failed)}


def plant(specs, less_signal):
    """Runs that learn, with a signal of 0.4 in layer 4."""
    made = {}
    for condition, spec in specs.items():
        last = {f"{LAYER_4}.signal": 0.4, f"{BOTTLENECK}.signal": 0.4 * 2**-less_signal}
        made[condition] = run(spec, learning("probe", ramp(spec, spec.training.steps / 2)), last)
    return made


CLAIM = Claim(
    id="bottleneck",
    statement="The bottleneck layers have diminishing signals, which is why layer 4 is studied instead.",
    source="Appendix B.1",
    prediction="In a trained network a smaller share of the bottleneck's power differs between images than of layer "
    "4's. If it were false, both shares would be alike.",
    runs=dense_run,
    parts=(
        Part(
            name="less signal",
            reads=READS,
            holds="the bottleneck's share of power that differs between images was at most half of layer 4's",
            unit="log2 of the share of power, layer 4 / bottleneck",
            region=Region(low=1.0),
            why="'Diminishing' is read as at most half of what layer 4 has. The paper gives no number. The share is "
            "relative: a part that is the same for all images makes it smaller, and its order as told need not fall.",
            effect=lambda runs: less_signal(runs["dense"]),
            premise=Premise(
                name="the last share of right bumps",
                needs="the network must learn to draw",
                unit="of images",
                region=Region(low=HALF),
                effect=lambda runs: runs["dense"].last(RIGHT),
            ),
            design=Design(2.0, 0.4, "the paper gives no number: a quarter"),
        ),
        Part(
            name="less signal by training",
            reads=READS,
            holds="training made the bottleneck's share of power smaller, against that of layer 4",
            unit="log2 of the share of power, layer 4 / bottleneck, trained minus untrained",
            region=Region(low=0.0),
            why="Shown and not judged: the paper does not say that training does it. In quick's network after one step "
            "the share is already 2^1.5 and 2^1.0 times as large in layer 4 at seeds 0 and 1.",
            effect=by_training,
            runs=with_untrained,
            judges=False,
        ),
        Part(
            name="less readable",
            reads=READS,
            holds="the order as told was at least a tenth lower in the bottleneck than in layer 4",
            unit="O_told, layer 4 minus bottleneck",
            region=Region(low=0.1),
            why="Shown and not judged: the label passes through the bottleneck. Its order as told is 0.95 to 0.99 from "
            "step 100 on, also where labels are shuffled.",
            effect=lambda runs: runs["dense"].last(f"{LAYER_4}.told") - runs["dense"].last(f"{BOTTLENECK}.told"),
            judges=False,
        ),
    ),
    curves={RIGHT: "one bump, right place", f"{LAYER_4}.told": "layer 4: order as told (O_told)"},
    plant=plant,
    controls=(
        Control(
            "taps swapped",
            "The claim's own runs with the names of layer 4 and the bottleneck exchanged: the share in the bottleneck "
            "is the larger one.",
            change=swapped,
        ),
        Control(
            "one tap",
            "The claim's own runs with the signal of layer 4 under both names: the share is the same.",
            change=same_tap,
        ),
    ),
)


def test_bottleneck(experiment, item):
    experiment.judge(CLAIM, item)
