"""A small suite of claims with planted runs: pytest, workers, store and report are real, training is not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFTEST = '''
import os, sys, time, types
from bumplab.measure.names import SamplesNotFinite
from bumplab.pytest_plugin import experiment
from bumplab.runs import board, progress
from bumplab.runs.progress import ProgressFile
from bumplab.runs.store import RunRecord, run_key
from tests.rows import rows_of

pytest_plugins = ["bumplab.pytest_plugin.plugin"]


def execute(spec, store, device):
    """Notes who trained what, and plants 1 or nearly 1: at the second seed 1.05, so that two seeds decide nothing."""
    if "NO_IMAGES" in os.environ:
        raise SamplesNotFinite(f"{spec.label()}: none is an image")
    seconds = float(os.environ.get("SECONDS", "0"))
    with ProgressFile(store.root, run_key(spec), spec.label(), 0, spec.training.steps):
        time.sleep(seconds)
    sign = -1 if spec.diffusion.prediction == "epsilon" or spec.data.pairing == "shuffled" else 1
    value = sign * (1.05 if spec.seed == 11 else 1.0)
    with open(store.root / "trained", "a") as file:
        file.write(f"{spec.label()} by {os.environ.get('PYTEST_XDIST_WORKER', 'main')}\\n")
    rows = [row | {"value": value} for row in rows_of(spec)]
    environment = {"instructions": "cuda"} if os.environ.get("SEED_ON_GPU") == str(spec.seed) else {}
    environment["bf16"] = "BF16" in os.environ
    store.publish(RunRecord(spec, rows, environment=environment), b"")


def table(claims, looks):
    return f"the power of {' '.join(claim.id for claim in claims)} at {looks.first} to {looks.last} seeds"


def full(path, text, really=progress.replace_text):
    if ".runs" in path.parts:
        raise OSError(28, "No space left on device")
    really(path, text)


if "NO_NUMBER" in os.environ:
    nothing = dict.fromkeys(("noise", "spread", "ratio"), float("nan"))
    experiment.sampling_noise = lambda claim, runs: {part.name: nothing for part in claim.parts}
if "FULL" in os.environ:
    board.replace_text = progress.replace_text = full
for name, planted in {"runs.execute": execute, "verdicts.power": table}.items():
    module = sys.modules[f"bumplab.{name}"] = types.ModuleType("planted")
    setattr(module, planted.__name__, planted)
'''

CLAIM = """
from bumplab.verdicts.claim import Claim, Control, Part, Region
from bumplab.verdicts.intervals import Undefined, certain

def close(value):  # of the same sign and almost 1: seeds that agree exactly decide nothing
    return value / abs(value) * (1 + (abs(value) - 1) / 1000)

def undefined():
    raise Undefined("planted")

def effect(runs):
    value = {effect}
    return value, value

def turned(runs):
    return {{name: run.replaced({{"value": -run["value"]}}) for name, run in runs.items()}}

CLAIM = Claim(
    id="{id}", statement="s", source="Fig. 0", prediction="p", runs=lambda profile, seed: {runs},
    parts=(Part("part", "units", Region(low=0), "why", effect{interval}),), curves={{}}, controls=({controls}),
)

def test_{id}(experiment):
    experiment.judge(CLAIM)
"""

WRONG = 'Control("turned", "w", change=turned),'
ANOTHER = 'Control("shuffled", "w", runs=lambda p, seed: {"a": p.shuffled(p.run(seed, dx=1.0))}),'
PLANTED = 'Control("planted", "w", change=lambda runs: runs, positive=True),'
HARMLESS = 'Control("harmless", "w", change=lambda runs: runs),'
SHAKEN = '{"a": r["a"].replaced({"value": r["a"]["value"] * (1 + 1000 * (r["a"].seed - 10))})}'
SHAKY = f'Control("shaky", "w", change=lambda r: {SHAKEN}),'
CLAIMS = {
    # id: effect of a seed, its runs, controls
    "density": ('-runs["a"].last("value")', "{'a': profile.run(seed, dx=4.0)}", ""),
    "hole": ('runs["a"].last("value")', "{'a': profile.run(seed, dx=1.0)}", WRONG + ANOTHER + PLANTED),
    "sigma": ('close(runs["a"].last("value"))', "{'a': profile.run(seed, dx=2.0)}", HARMLESS + SHAKY),
    "overlap": ("1.0", "{}", ""),
}
"""Of 2 to 3 seeds: density CONTRADICTED and hole SUPPORTED at 3, sigma SUPPORTED at 2, overlap SUPPORTED at none."""


EXPECTED = """
[smoke.density]
verdict = "CONTRADICTED"
why = "planted"
[smoke.overlap]
verdict = "SUPPORTED"
why = "certain"
[quick.sigma]
verdict = "SUPPORTED"
why = "of another profile"
"""


class Suite:
    """A project with `claims/`, its own store and its own accepted verdicts."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "claims").mkdir(parents=True)
        (folder / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
        (folder / "conftest.py").write_text(CONFTEST)
        (folder / "claims" / "expected.toml").write_text(EXPECTED)
        for name, (effect, runs, controls) in CLAIMS.items():
            self.write(name, effect, runs, controls)

    def write(self, name, effect, runs, controls=""):
        interval = "" if runs != "{}" else ", interval=certain"
        text = CLAIM.format(id=name, effect=effect, runs=runs, controls=controls, interval=interval)
        (self.folder / "claims" / f"test_{name}.py").write_text(text)

    def command(self, *arguments):
        looks = [] if any(text.startswith("--seeds") for text in arguments) else ["--seeds", "2", "--max-seeds", "3"]
        fixed = ["--profile", "smoke", "--report", "report.html", *looks]
        return [sys.executable, "-m", "pytest", "claims", *fixed, *arguments]

    def environment(self, seconds=0.0):
        """The session's own, without what an xdist worker or a terminal around this test would add."""
        ours = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")}
        return {**ours, "SECONDS": str(seconds), "COLUMNS": "200", "PYTHONPATH": str(ROOT)}

    def run(self, *arguments, seconds=0.0):
        done = subprocess.run(
            self.command(*arguments), cwd=self.folder, capture_output=True, text=True, timeout=120, check=False,
            env=self.environment(seconds),
        )  # fmt: skip
        assert "Traceback" not in done.stdout + done.stderr
        assert "INTERNALERROR" not in done.stdout
        return done

    def report(self):
        return json.loads((self.folder / "report.json").read_text())

    def entries(self):
        return {entry["claim"]: entry for entry in self.report()["claims"]}

    def key(self, claim, seed):
        """The name of a run that the last session judged the claim on."""
        (runs,) = self.entries()[claim]["conditions"].values()
        return next(run["key"] for run in runs if run["spec"]["seed"] == seed)

    def trained(self):
        """(label, worker) of every run, in the order they ended."""
        path = self.folder / ".runs" / "trained"
        return [tuple(line.split(" by ")) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def suite(tmp_path):
    """Four planted claims in a project of their own, none of them tried yet."""
    return Suite(tmp_path / "suite")


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """The planted claims, tried once with controls and a variation by two workers; and what pytest said."""
    suite = Suite(tmp_path_factory.mktemp("planted") / "suite")
    return suite, suite.run("--controls", "--vary", "prediction=epsilon", "-n", "2")
