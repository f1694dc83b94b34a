"""A look into stored runs, in cells for VS Code and Jupyter (`docs/api.md` lists all names of bumplab that it uses).

    python examples/explore.py                           # trains two runs of smoke in seconds, then looks at them
    python examples/explore.py .runs --profile quick     # looks at the runs of a session
    python examples/explore.py claims/published/quick.zip --profile quick   # at published runs

It prints numbers, and writes figures into reports/explored. In a notebook, change the settings in the first cell.
"""

# %% Settings
import argparse
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean

from matplotlib.figure import Figure

from bumplab import profiles
from bumplab.report.samples import embedding, embedding_labels, has_embedding, has_samples, mosaic
from bumplab.runs import table
from bumplab.runs.archive import Archive
from bumplab.runs.copies import import_runs
from bumplab.runs.planner import train_if_free
from bumplab.runs.store import RunStore
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.decision import decide
from bumplab.verdicts.judging import mark_of
from bumplab.verdicts.looks import Looks
from bumplab.verdicts.suite import OURS, claims

try:
    import pandas as pd
except ImportError:  # everything below works without it
    pd = None

parser = argparse.ArgumentParser(description="Looks at stored runs: rows, samples, manifold, curves and a verdict.")
parser.add_argument("store", nargs="?", type=Path, help="a store or an archive (by default it trains two runs)")
parser.add_argument("--profile", default="smoke", choices=profiles.ALL, help="the profile of the runs (smoke)")
parser.add_argument("--to", type=Path, default=Path("reports/explored"), help="a folder for figures (reports/explored)")
settings = parser.parse_args([] if "ipykernel" in sys.modules else sys.argv[1:])
if settings.store is not None and not settings.store.exists():
    parser.error(f"{settings.store}: is not there: name the store of a session, such as .runs, or an archive")
profile = profiles.get(settings.profile)
settings.to.mkdir(parents=True, exist_ok=True)

# %% The runs: those of a store or an archive, or two of our own
claim = next(claim for claim in claims(OURS) if claim.id == "bottleneck")
claim = claim.only([part.name for part in claim.judged_parts])
is_archive = settings.store is not None and settings.store.is_file()
store = RunStore(settings.to / settings.store.stem if is_archive else settings.store or settings.to / "runs")
if is_archive:
    with Archive(settings.store) as archive:
        print(*import_runs(archive, store).problems, sep="\n", end="")
if settings.store is None:
    for seed in (0, 1):
        for spec in claim.runs(profile, seed).values():
            if store.load(spec) is None:
                train_if_free(spec, store, "cpu")
records = list(table.finished(store))
if not records:
    parser.error(f"{store.root}: holds no finished run: name another store")
print(f"{len(records)} runs, the first of them {records[0].key}: {records[0].spec.label()}")

# %% A question of one's own: what share of bumps is right at the end, at each increment?
rows = list(table.rows(records))
last_rows = [row for row in rows if row["step"] == row["training.steps"]]
if pd is not None:
    answer = pd.DataFrame(last_rows).groupby("data.dx")["probe.correct"].mean().to_dict()
else:
    shares = defaultdict(list)
    for row in last_rows:
        shares[row["data.dx"]].append(row["probe.correct"])
    answer = {increment: mean(values) for increment, values in sorted(shares.items())}
for increment, share in answer.items():
    print(f"increment of {increment:g} px: {share:.0%} of the bumps are right")

# %% One run: its samples at each checkpoint
alive = [record for record in records if not record.failed] or records
record = next((record for record in alive if has_samples(record, int(record.rows[-1]["step"]))), alive[0])
steps = [int(row["step"]) for row in record.rows]
shown = [steps[0], steps[len(steps) // 2], steps[-1]]
figure = Figure(figsize=(9, 3.4), layout="constrained")
if has_samples(record, steps[-1]):
    for axis, step in zip(figure.subplots(1, len(shown)), shown, strict=True):
        axis.imshow(mosaic(record, step), cmap="gray", vmin=0, vmax=255)
        axis.set(title=f"step {step}", xticks=[], yticks=[])
    figure.savefig(settings.to / "samples.png")
else:
    print("no run here has kept its images: python examples/explore.py trains two that do")
figure  # noqa: B018  # a notebook shows the last line of a cell

# %% Its manifold: layer 4 by UMAP, coloured by the label's x and y
figure = Figure(figsize=(8, 4), layout="constrained")
if has_embedding(record):
    points = embedding(record, steps[-1])
    for number, (axis_name, colour) in enumerate(zip("xy", embedding_labels(record).T, strict=True), 1):
        axis = figure.add_subplot(1, 2, number, projection="3d")
        drawn = axis.scatter(*points.T, c=colour, s=8)
        figure.colorbar(drawn, ax=axis, label=f"label {axis_name}, pixels", shrink=0.7)
    figure.savefig(settings.to / "manifold.png")
figure  # noqa: B018

# %% Its curves, and the step from which half of the bumps are right
run = Curves.of(record)
names = {"probe.correct": "right bumps, share", "layer4.told": "order O as told"}
figure = Figure(figsize=(6, 4), layout="constrained")
axis = figure.subplots()
for name, title in names.items():
    axis.plot(run.steps, run[name], marker="o", label=title)
axis.set(xlabel="training step", ylabel="share, or R^2", title=record.spec.label())
axis.legend()
figure.savefig(settings.to / "curves.png")
earliest, latest = run.crossing(run["probe.correct"], 0.5)
print(f"half of the bumps are right between step {earliest:g} and step {latest:g}")
figure  # noqa: B018

# %% One claim, judged by hand: where each seed's effect lies, then the verdict
stored = {record.spec: Curves.of(record) for record in records}
seeds = sorted({record.spec.seed for record in records if record.spec.seed < profiles.REPLICATES})
complete = [seed for seed in seeds if all(spec in stored for spec in claim.runs(profile, seed).values())]


def runs_of(part, seed):
    """The curves that a part reads of one seed, by condition."""
    return {condition: stored[spec] for condition, spec in claim.runs_of(part)(profile, seed).items()}


for part in claim.parts:
    for seed in complete:
        mark = mark_of(part, runs_of(part, seed), seed)
        print(f"{claim.id}, {part.name}, seed {seed}: {mark.mark} (region: {part.region}) {mark.problem}".rstrip())

verdict = None
if 2 <= len(complete) <= 64:
    looks = Looks(first=len(complete), last=len(complete))
    verdict = decide(claim, lambda part, count: [runs_of(part, seed) for seed in complete[:count]], looks)
    print(f"{claim.id}: {verdict.verdict}: {verdict.reason}")
else:
    print(f"{claim.id}: {len(complete)} seeds have all runs of {profile.name}, and a verdict takes 2 to 64")
