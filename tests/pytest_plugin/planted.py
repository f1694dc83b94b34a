"""A project of four claims whose runs are planted, not trained. pytest, the store and the report are real."""

import json
import os
import sys
import time
from pathlib import Path

from bumplab.measure.names import SamplesNotFinite
from bumplab.pytest_plugin.session import ClaimsSession
from bumplab.runs.progress import ProgressFile
from bumplab.runs.store import RunRecord, run_key
from tests.pytest_plugin.inside import OPTIONS, pytest_inside
from tests.rows import rows_of

ROOT = Path(__file__).parents[2]
CONFTEST = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.pytest_plugin.planted import plant
pytest_plugins = ["bumplab.pytest_plugin.plugin"]

def pytest_configure(config):
    plant(config)
"""


def plant(config):
    """Gives the session a trainer that plants rows. With ``--power`` and ``--plan`` there is no session."""
    session = config.pluginmanager.get_plugin(ClaimsSession.NAME)
    if session is not None:
        session.train = train


def train(spec, store, device):
    """Publishes rows of 1, and of 1.2 at the second seed, so that two seeds decide nothing. Logs the run's worker.

    The environment changes it: SECONDS of training, NO_IMAGES, BF16, and SEED_ON_GPU.
    """
    if "NO_IMAGES" in os.environ:
        raise SamplesNotFinite(f"{spec.label()}: none is an image")
    with ProgressFile(store.root, run_key(spec), spec.label(), 0, spec.training.steps):
        time.sleep(float(os.environ.get("SECONDS", "0")))
    sign = -1 if spec.diffusion.prediction == "epsilon" or spec.data.pairing == "shuffled" else 1
    value = sign * (1.2 if spec.seed == 11 else 1.0)
    with open(store.root / "trained", "a") as file:
        file.write(f"{spec.label()} by {os.environ.get('PYTEST_XDIST_WORKER', 'main')}\n")
    environment = {"bf16": "BF16" in os.environ}
    if os.environ.get("SEED_ON_GPU") == str(spec.seed):
        environment["instructions"] = "cuda"
    rows = [row | {"value": value} for row in rows_of(spec)]
    store.publish(RunRecord(spec, rows, environment=environment), b"")


CLAIM = """
from bumplab.verdicts.claim import Claim, Control, Part, Region
from bumplab.verdicts.intervals import Undefined, certain

def close(value):  # of the same sign and almost 1: seeds that agree exactly decide nothing
    return value / abs(value) * (1 + (abs(value) - 1) / 1000)

def fail(error):
    raise error

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
    """A project with ``claims/``, its own store and its own accepted verdicts. ``path`` is that of the report read."""

    def __init__(self, folder):
        self.folder, self.path = folder, folder / "report.json"
        self.expected = folder / "claims" / "expected.toml"
        (folder / "claims").mkdir(parents=True)
        (folder / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
        (folder / "conftest.py").write_text(CONFTEST)
        self.expected.write_text(EXPECTED)
        for name, (effect, runs, controls) in CLAIMS.items():
            self.write(name, effect, runs, controls)

    def write(self, name, effect, runs="{}", controls=""):
        """Writes a claim's file. A claim without runs is certain."""
        interval = "" if runs != "{}" else ", interval=certain"
        text = CLAIM.format(id=name, effect=effect, runs=runs, controls=controls, interval=interval)
        (self.folder / "claims" / f"test_{name}.py").write_text(text)

    def run(self, *options, claims="claims", report="report.html", folder=None, **process):
        """A session in this process, by default in the project's folder. `pytest_inside` takes the rest."""
        arguments = self.arguments(*options, claims=claims, report=report)
        return pytest_inside(*arguments, folder=folder or self.folder, **process)

    def arguments(self, *options, claims="claims", report="report.html"):
        looks = [] if any(str(text).startswith("--seeds") for text in options) else ["--seeds=2", "--max-seeds=3"]
        return [claims, "--profile", "smoke", *(["--report", report] if report else []), *looks, *options]

    def command(self, *options):
        """A session in a process of its own."""
        return [sys.executable, "-m", "pytest", *OPTIONS, *map(str, self.arguments(*options))]

    def environment(self, **changes):
        """Variables for a process of its own, without those of an xdist worker around this test."""
        outer = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
        return {**outer, "COLUMNS": "200", **changes}

    def report(self):
        return json.loads(self.path.read_text())

    def entries(self):
        return {entry["claim"]: entry for entry in self.report()["claims"]}

    def verdicts(self):
        return {claim: entry["verdict"] for claim, entry in self.entries().items()}

    def trained(self):
        """(label, worker) of every run, in the order they ended."""
        path = self.folder / ".runs" / "trained"
        return [tuple(line.split(" by ")) for line in path.read_text().splitlines()] if path.exists() else []
