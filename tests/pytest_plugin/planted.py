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
from bumplab.verdicts import registration, suite
from tests.pytest_plugin.inside import OPTIONS, pytest_inside
from tests.rows import rows_of

ROOT = Path(__file__).parents[2]
FIRST = 1000
"""The first seed of registration 1."""
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
        session.obtained.train = train


def train(spec, store, device):
    """Publishes rows of 1, and of 1.2 at the second seed. Logs the run's worker.

    The environment changes it: SECONDS of training, NOTED seconds in the record, NO_IMAGES, BF16, and SEED_ON_GPU.
    """
    if "NO_IMAGES" in os.environ:
        raise SamplesNotFinite(f"{spec.label()}: none is an image")
    with ProgressFile(store.root, run_key(spec), spec.label(), 0, spec.training.steps):
        time.sleep(float(os.environ.get("SECONDS", "0")))
    sign = -1 if spec.diffusion.prediction == "epsilon" or spec.data.pairing == "shuffled" else 1
    value = sign * (0.6 if spec.seed % 1000 == 1 else 0.5)
    with open(store.root / "trained", "a") as file:
        file.write(f"{spec.label()} by {os.environ.get('PYTEST_XDIST_WORKER', 'main')}\n")
    environment = {"bf16": "BF16" in os.environ}
    if os.environ.get("SEED_ON_GPU") == str(spec.seed):
        environment["instructions"] = "cuda"
    rows = [row | {"image.order": value} for row in rows_of(spec)]
    seconds = {"training": float(os.environ.get("NOTED", "0"))}
    store.publish(RunRecord(spec, rows, seconds=seconds, environment=environment), b"")


CLAIM = """
from bumplab.verdicts.claim import Claim, Compared, Control, Part, Region, rising
from bumplab.verdicts.curves import Undefined

def fail(error):
    raise error

def turned(runs):
    return {{name: run.replaced({{"image.order": -run["image.order"]}}) for name, run in runs.items()}}

def part(name, effect, runs=None):
    return Part(name, "words", "it is above 0", "units", Region(low=0), "why", effect, runs=runs)

CLAIM = Claim(
    id="{id}", statement="s", source="Fig. 0", prediction="p", runs=lambda profile, seed: {runs},
    parts=(part("right", lambda runs: {effect}), {more}), curves={{}}, controls=({controls}), certain={certain},
)

def test_{id}(experiment, item):
    experiment.judge(CLAIM, item)
"""

VALUE = 'runs["a"].last("image.order")'
INSIDE = f'part("sigma inside", lambda runs: {VALUE}, lambda p, seed: {{"b": p.run(seed, dx=0.5)}}),'
WRONG = 'Control("turned", "w", change=turned),'
ANOTHER = 'Control("shuffled", "w", runs=lambda p, seed: {"a": p.shuffled(p.run(seed, dx=1.0))}, parts=("right",)),'
PLANTED = 'Control("planted", "w", change=lambda runs: runs, positive=True),'
HARMLESS = 'Control("harmless", "w", change=lambda runs: runs),'
CLAIMS = {
    # id: effect of a seed, its runs, controls, more parts
    "density": (f"-{VALUE}", "{'a': profile.run(seed, dx=4.0)}", "", ""),
    "hole": (VALUE, "{'a': profile.run(seed, dx=1.0)}", WRONG + ANOTHER + PLANTED, INSIDE.replace('["a"]', '["b"]')),
    "sigma": (VALUE, "{'a': profile.run(seed, dx=2.0)}", HARMLESS, ""),
    "overlap": ("1.0", "{}", "", ""),
}
"""density is CONTRADICTED and hole SUPPORTED, each after 7 seeds that agree: three claims need evidence of 60.

sigma is SUPPORTED, until its control withdraws it. overlap is SUPPORTED without a run.
"""

EXPECTED = """
[quick.density]
verdict = "CONTRADICTED"
why = "planted"
registration = 1
[quick.overlap]
verdict = "SUPPORTED"
why = "certain"
[nightly.sigma]
verdict = "SUPPORTED"
why = "of another profile"
registration = 1
"""


class Suite:
    """A project with ``claims/``, its own store and its own accepted verdicts. ``path`` is that of the report read.

    Its claims are registered: they are judged on seeds from `FIRST` on.
    """

    def __init__(self, folder):
        self.folder, self.path = folder, folder / "report.json"
        self.expected = folder / "claims" / "expected.toml"
        self.ledger = folder / registration.FILE
        (folder / "claims").mkdir(parents=True)
        (folder / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
        (folder / "conftest.py").write_text(CONFTEST)
        self.expected.write_text(EXPECTED)
        for name, planted in CLAIMS.items():
            self._write(name, *planted)
        self.begin_ledger()

    def write(self, *planted):
        """Writes a claim's file as `_write` does, and begins the ledger anew."""
        self._write(*planted)
        self.begin_ledger()

    def _write(self, name, effect, runs="{}", controls="", more=""):
        """Writes a claim's file. ``more`` holds further parts. A claim without runs is certain."""
        text = CLAIM.format(id=name, effect=effect, runs=runs, controls=controls, more=more, certain=runs == "{}")
        (self.folder / "claims" / f"test_{name}.py").write_text(text)

    def begin_ledger(self):
        """Makes the claims as they are now registration 1."""
        self.ledger.unlink(missing_ok=True)
        self.register()

    def register(self, why="planted"):
        """Registers the claims as they are now. What was imported of them is forgotten before and after."""
        suite._claim_in.cache_clear()
        registration.register(self.ledger, suite.claims(self.folder / "claims"), why)
        suite._claim_in.cache_clear()

    def run(self, *options, claims="claims", report="report.html", folder=None, **process):
        """A session in this process, by default in the project's folder. `pytest_inside` takes the rest."""
        arguments = self.arguments(*options, claims=claims, report=report)
        return pytest_inside(*arguments, folder=folder or self.folder, **process)

    def arguments(self, *options, claims="claims", report="report.html"):
        looks = [] if any(str(text).startswith("--seeds") for text in options) else ["--seeds=3", "--max-seeds=8"]
        return [claims, *(["--report", report] if report else []), *looks, *options]

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
