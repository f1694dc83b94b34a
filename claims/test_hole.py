"""A region left out of training is generated all the same (Appendix C.2, Fig. 9)."""

from functools import partial

import numpy as np

from bumplab.measure.names import MODES
from bumplab.profiles import QUICK
from bumplab.verdicts.claim import Claim, Control, Design, PaperFigure, Part, Region
from bumplab.verdicts.intervals import Undefined, student_t
from bumplab.verdicts.worlds import CEILING, LATE, learning, ramp, run

MARGIN = 0.10
SMALL, LARGE = "3.5 % hole", "10 % hole"
# The least spread between seeds that limits use: half a percent, about the resolution of the fewest drawn images.
interval = partial(student_t, resolution=0.005)
RATES = ("in_hole.correct", "off_grid.correct")
DESIGN = Design(0.0, 0.03, "Fig. 9: no difference to be seen; seeds may differ by three images in a hundred")


def right_bumps(curves, labels):
    """The share of images with one bump at the right place at the last step, relative to the ceiling.

    Accuracy would not do. On a blank image Algorithm 1 returns the centroid, the middle of the canvas, and that is the
    middle of the hole.
    """
    return float(curves[f"{labels}.correct"][-1] / curves[f"{labels}.ceiling"][-1])


def inside(runs, condition):
    """The right bumps in the hole, of a run that has learned to draw outside it."""
    outside = right_bumps(runs[condition], "off_grid")
    if not outside > 0.5:
        raise Undefined(f"the {condition} run has not learned outside: {outside:.2f} of its ceiling")
    return right_bumps(runs[condition], "in_hole")


def inside_against_outside(condition):
    """Right bumps in the hole minus right bumps off-grid around it."""
    return lambda runs: inside(runs, condition) - right_bumps(runs[condition], "off_grid")


def large_against_small(runs):
    """Right bumps in the large hole minus those in the small one."""
    return inside(runs, LARGE) - inside(runs, SMALL)


def holes(profile, seed):
    return {SMALL: profile.run(seed, hole=profile.holes[0]), LARGE: profile.run(seed, hole=profile.holes[1])}


def rendered(how):
    """The claim's runs with rendered images in place of a network's: `Profile.rendered`."""
    return lambda profile, seed: {c: profile.rendered(spec, how) for c, spec in holes(profile, seed).items()}


def plant(seed, conditions, small, large, between):
    """Runs whose last shares of right bumps differ by these three numbers. Outside the small hole the share is 0.95."""
    in_small = 0.95 + small
    in_large = in_small + between
    shares = {conditions[0]: (in_small, 0.95), conditions[1]: (in_large, in_large - large)}
    made = {}
    for condition, (in_hole, around) in shares.items():
        curves = {}
        for labels, share in (("on_grid", around), ("off_grid", around), ("in_hole", in_hole)):
            curve = share * ramp(LATE)
            curves |= learning(labels, curve) | {f"{labels}.correct": CEILING * curve}
        samples = dict.fromkeys(("off_grid.samples", "in_hole.samples"), QUICK.hole_samples)
        made[condition] = run(seed, curves, samples)
    return made


def hole_map(conditions):
    """Fig. 9 at the last step: each label that was asked for, in the shaded hole and around it.

    A condition is a panel of all its seeds. A line leads from the label to the drawn bump. One bump at the right place
    counts as right.
    """
    import matplotlib as mpl  # here: importing a claim imports no matplotlib
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    from bumplab.data.bumps import hole_edges
    from bumplab.report.figures import COLOURS, STYLE
    from bumplab.report.paper import finished

    conditions = finished(conditions)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.1 * len(conditions), 4.3), layout="constrained")
        axes = figure.subplots(1, len(conditions), squeeze=False)[0]
        for axis, (condition, records) in zip(axes, conditions.items(), strict=True):
            data = records[0].spec.data
            low, high = hole_edges(data.image_size, data.hole)
            axis.add_patch(Rectangle((low, low), high - low, high - low, color="#888888", alpha=0.3, lw=0))
            for labels in ("off_grid", "in_hole"):
                asked, drawn, right = last_samples(records, labels)
                for (x, y), (to_x, to_y) in zip(asked[~right], drawn[~right], strict=True):
                    axis.plot([x, to_x], [y, to_y], color=COLOURS[1], lw=0.6, alpha=0.6)
                axis.scatter(*asked[right].T, s=9, marker="o", color=COLOURS[0])
                axis.scatter(*asked[~right].T, s=18, marker="x", color=COLOURS[1], lw=1)
            limits = {"xlim": (0.5, data.image_size + 0.5), "ylim": (data.image_size + 0.5, 0.5)}
            axis.set(title=condition, aspect="equal", **limits)
            axis.set(xlabel="x asked for, pixels", ylabel="y asked for, pixels")
    return figure


def last_samples(records, labels):
    """The last samples of all records: labels ``[K, 2]``, drawn positions ``[K, 2]``, whether right ``[K]``."""
    samples = []
    for record in records:
        step = int(record.rows[-1]["step"])
        asked, drawn, modes = (record.evidence[f"{step}/{labels}.{name}"] for name in ("labels", "positions", "modes"))
        samples.append((asked, drawn, modes == MODES.index("correct")))
    return tuple(np.concatenate(arrays) for arrays in zip(*samples, strict=True))


CLAIM = Claim(
    id="hole",
    statement="Given sufficient training, models trained with about 3.5 % or 10 % of the labels left out generate "
    "bumps there, only slightly worse with the larger hole.",
    source="Appendix C.2, Fig. 9",
    prediction="The share of right bumps in the hole, at least 1 pixel inside its edge, equals that around it. A "
    "generator that falls back on the nearest training label, or draws nothing there, scores zero.",
    runs=holes,
    parts=(
        Part(
            name="3.5 %",
            unit="right bumps / ceiling, inside minus outside",
            region=Region(low=-MARGIN),
            why="Worse by less than one image in ten. This is a non-inferiority margin; the paper gives none.",
            effect=inside_against_outside(SMALL),
            design=DESIGN,
            interval=interval,
            rates=RATES,
        ),
        Part(
            name="10 %",
            unit="right bumps / ceiling, inside minus outside",
            region=Region(low=-MARGIN),
            why="As for the small hole.",
            effect=inside_against_outside(LARGE),
            design=DESIGN,
            interval=interval,
            rates=RATES,
        ),
        Part(
            name="10 % against 3.5 %",
            unit="right bumps / ceiling in the hole",
            region=Region(low=-MARGIN),
            why="'Only slightly worse' is read as the same margin.",
            effect=large_against_small,
            design=DESIGN,
            interval=interval,
            rates=RATES,
        ),
    ),
    curves={
        "in_hole.correct": "in the hole: one bump, right place",
        "off_grid.correct": "outside: one bump, right place",
        "in_hole.corrected": "in the hole: accuracy / ceiling",
    },
    plant=plant,
    figure=PaperFigure(
        hole_map,
        "As Fig. 9, at the last step. Shaded: the labels left out of training; those asked for in there lie at least a "
        "pixel inside. Dots: one bump at the right place; crosses: anything else, with a line to where the detector "
        "found it. Of each seed the first 25 samples inside and the first 25 outside: the effect judged is of all, "
        "2,000 each at quick. Seeds that failed are left out. As in the images, y grows downwards.",
        label_sets=("off_grid", "in_hole"),
        finished_only=True,
    ),
    controls=(
        Control(
            "nearest training label",
            "A generator that draws a perfect bump at the training label nearest to the one asked for.",
            runs=rendered("nearest-label"),
        ),
        Control(
            "untrained",
            "The same network after one step.",
            runs=lambda profile, seed: {c: profile.untrained(spec) for c, spec in holes(profile, seed).items()},
        ),
        Control(
            "true images",
            "A generator that draws a perfect bump at every label, in the hole and outside.",
            runs=rendered("true"),
            positive=True,
        ),
    ),
)


def test_hole(experiment):
    experiment.judge(CLAIM)
