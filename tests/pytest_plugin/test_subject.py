"""`pytest claims --subject`: a user's generator through the claims, and what stops it in one line."""

import json
import math
import os
import shutil
import tomllib
from dataclasses import replace

import pytest

from bumplab import __main__ as command
from bumplab import profiles
from bumplab.config import RunSpec, SubjectSpec
from bumplab.diffusion.speed import configure
from bumplab.runs.record import RunRecord
from bumplab.runs.store import RunStore, run_key
from bumplab.subjects.registry import load
from bumplab.verdicts import registration, suite
from tests.pytest_plugin.inside import pytest_here
from tests.rows import rows_of

pytestmark = pytest.mark.usefixtures("users_imports")
SMOKE = profiles.get("smoke")
SUBJECT = """
from bumplab.subjects.planted import Planted
from bumplab.subjects.protocol import Diverged
{top}

class Mine(Planted):
    roles = {{role: "planted" for role in ("layer4", "layer4-injected", "encoder")}}
    def start(self, task, data, device, at=None):
        learner = super().start(task, data, device, at)
        {start}
        return learner
{more}
"""


def write(folder, name, top="", start="pass", more=""):
    """A subject without a bottleneck. Names differ between tests: Python keeps the modules that it imported."""
    (folder / f"{name}.py").write_text(SUBJECT.format(top=top, start=start, more=more))
    return folder / f"{name}.py"


@pytest.fixture(autouse=True)
def one_thread():
    """As in a session that trains: `pytest_here` looks whether it left torch's threads as they were."""
    configure("cpu")


def options(folder, *more):
    return ["--profile", "smoke", "--seeds=2", "--max-seeds=2", "--runs-dir", folder / "runs", *more]


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Three claims, put to a subject that lacks a role, by two workers with controls."""
    folder = tmp_path_factory.mktemp("subject")
    file = write(folder, "lacks_a_role")
    ended = pytest_here(
        *options(folder, "--report", folder / "report.html", "--controls", "-n", "2", "-vv", "-rs"),
        *("-k", "bottleneck or coupling or overlap", "--subject", f"{file}:Mine", "--subject-arg", "half=4"),
    )
    return folder, ended


def test_a_claim_whose_role_is_missing_is_skipped_and_spends_nothing(judged):
    folder, ended = judged
    assert ended.status == 0, ended.printed
    report = json.loads((folder / "report.json").read_text())
    entries = {entry["claim"]: entry for entry in report["claims"]}
    skipped = entries["bottleneck"]
    assert (skipped["verdict"], skipped["seeds"], skipped["conditions"]) == ("SKIPPED", 0, {})
    assert "bottleneck" in skipped["reason"]
    assert skipped["reason"] in " ".join(ended.printed.split())
    assert {name for name, entry in entries.items() if entry["verdict"] == "SKIPPED"} == {"bottleneck"}
    assert report["looks"]["needed"] == suite.needed(suite.OURS), "the other claims get no more of the error rate"
    assert entries["overlap"]["expected"]["verdict"] == "SUPPORTED", "it is the same for every subject"


def test_the_report_and_every_key_carry_the_subject(judged):
    folder, _ = judged
    named = load(f"{folder / 'lacks_a_role.py'}:Mine", ["half=4"])
    report = json.loads((folder / "report.json").read_text())
    assert (report["subject"]["name"], report["subject"]["arguments"]) == ("lacks_a_role.py:Mine", {"half": "4"})
    assert (report["subject"]["source"], set(report["subject"]["roles"])) == (
        named.spec.source,
        set(named.subject.roles),
    )
    coupling = next(entry for entry in report["claims"] if entry["claim"] == "coupling")
    assert coupling["expected"] is None, "verdicts of the built-in subject are not those of another"
    controls = {control["name"]: control for control in coupling["controls"]}
    (claim,) = (claim for claim in suite.claims(suite.OURS) if claim.id == "coupling")
    assert set(controls) == {control.name for control in claim.controls}
    specs = [RunSpec.from_dict(run["spec"]) for runs in coupling["conditions"].values() for run in runs]
    keys = [run["key"] for runs in coupling["conditions"].values() for run in runs]
    assert ([run_key(spec) for spec in specs], {spec.subject for spec in specs}) == (keys, {named.spec})
    factorized = [
        runs for name, control in controls.items() if "factorized" in name for runs in [control["conditions"]]
    ]
    spec = RunSpec.from_dict(next(iter(factorized[0].values()))[0]["spec"])
    assert (spec.subject.factorized, spec.subject.source) == (True, named.spec.source)
    last = RunStore(folder / "runs").load(spec).rows[-1]
    assert (math.isnan(last["bottleneck.signal"]), math.isnan(last["encoder.signal"])) == (True, False)


def test_a_claim_whose_reading_is_missing_is_skipped_before_any_training(tmp_path):
    """No claim on the order as told can be judged of a subject that tells nothing."""
    file = write(tmp_path, "tells_nothing", more="    tells = False")
    words = ("-k", "density", "--report", tmp_path / "r.html", "--subject", f"{file}:Mine", "-rs")
    ended = pytest_here(*options(tmp_path, *words))
    (entry,) = json.loads((tmp_path / "r.json").read_text())["claims"]
    assert (ended.status, entry["verdict"]) == (0, "SKIPPED")
    assert "needs told" in entry["reason"]
    assert not list((tmp_path / "runs").glob("results/*"))


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--subject", "nothing"], "FILE.py:NAME"),
        (["--subject", "{file}:Nobody"], "Nobody"),
        (["--subject", "{file}:Mine", "--subject-arg", "width=3"], "width"),
        (["--subject-arg", "half=1"], "--subject"),
        (["--check"], "--subject"),
        (["--subject", "{file}:Mine", "--pace"], "--check"),
        (["--subject", "{file}:Mine", "--vary", "width=8"], "does not read the profile's model"),
        (["--subject", "{file}:Mine", "--accept", "for a reason"], "--expected"),
        (["--subject", "{file}:Mine", "--expected", "{file}"], "mine_of_options.py"),
        (["--draws", "some"], "--draws some"),
        (["--subject", "{one_step}:Mine"], "must be 2 or more"),
        (["--subject", "{no_budget}:Mine"], "ZeroDivisionError"),
    ],
)
def test_a_wrong_option_is_one_line(tmp_path, words, part):
    asks = "    def budget(self, budget):\n        from dataclasses import replace\n        return "
    files = {
        "file": write(tmp_path, "mine_of_options"),
        "one_step": write(tmp_path, "one_step", more=asks + "replace(budget, steps=max(1, budget.steps // 1000))"),
        "no_budget": write(tmp_path, "no_budget", more=asks + "1 / 0 if budget.steps == 12 else budget"),
    }
    ended = pytest_here(*options(tmp_path, *(word.format(**files) for word in words)))
    (line,) = ended.printed.strip().splitlines()
    assert ended.status == 4
    assert line.startswith("ERROR: "), line
    assert part in line
    assert not (tmp_path / "runs").exists()


def test_a_broken_contract_stops_the_session_before_any_training(tmp_path):
    file = write(tmp_path, "draws_strips", start="learner.draw = lambda labels, seed, recorded=0: None")
    ended = pytest_here(*options(tmp_path, "-k", "hole", "--subject", f"{file}:Mine"))
    (line,) = ended.lines("ERROR: ")
    assert (ended.status, "draws_strips.py:Mine" in line, (tmp_path / "runs").exists()) == (4, True, False), (
        ended.printed
    )
    ended = pytest_here(*options(tmp_path, "--check", "--subject", f"{file}:Mine"))
    assert ended.status == 1
    assert len(ended.lines("broken: ")) >= 1
    good = write(tmp_path, "keeps_it")
    ended = pytest_here(*options(tmp_path, "--check", "--pace", "--subject", f"{good}:Mine", "--subject-arg", "half=5"))
    assert (ended.status, ended.lines("broken: "), len(ended.lines("pace: half of"))) == (0, [], 1), ended.printed


class AddsAFile:
    """Writes a file beside the subject when the controller has read it, and its worker has not."""

    def __init__(self, folder):
        self.folder = folder

    def pytest_configure_node(self, node):
        (self.folder / "added.py").write_text("")


def test_workers_with_another_subject_than_the_controllers_stop_the_session(tmp_path):
    file = write(tmp_path, "changes")
    words = ["--subject", f"{file}:Mine", "-k", "hole", "-n", "1", "--report", tmp_path / "r.html"]
    ended = pytest_here(*options(tmp_path, *words), plugins=[AddsAFile(tmp_path)])
    assert ended.status not in (0, 1), ended.printed
    assert "this worker found changes.py:Mine" in " ".join(ended.printed.split()), ended.printed
    assert not list((tmp_path / "runs").glob("results/*"))


def test_an_error_in_the_users_code_is_one_line_with_its_place(tmp_path):
    """The contract is kept at the first seeds of a check. The error comes later, in a judged run."""
    file = write(tmp_path, "fails_late", start="task.seed >= 10 and 1 / 0")
    ended = pytest_here(*options(tmp_path, "-k", "hole", "--report", tmp_path / "r.html", "--subject", f"{file}:Mine"))
    (entry,) = json.loads((tmp_path / "r.json").read_text())["claims"]
    assert (ended.status, entry["verdict"]) == (1, "ERROR")
    number = 1 + file.read_text().splitlines().index("        task.seed >= 10 and 1 / 0")
    assert f"fails_late.py:{number}: ZeroDivisionError" in entry["reason"]
    assert len(entry["reason"].splitlines()) == 1


def test_a_diverging_subject_is_a_failed_seed(tmp_path):
    start = """
        train = learner.train
        def diverge(until, on_step):
            if until > 6 and task.seed >= 10:
                raise Diverged("a loss of NaN")
            return train(until, on_step)
        learner.train = diverge"""
    file = write(tmp_path, "diverges", start=start)
    ended = pytest_here(*options(tmp_path, "-k", "hole", "--report", tmp_path / "r.html", "--subject", f"{file}:Mine"))
    report = json.loads((tmp_path / "r.json").read_text())
    assert (ended.status, report["claims"][0]["verdict"]) == (0, "INCONCLUSIVE")
    assert {run["failed"] for run in report["runs"].values()} == {"a loss of NaN"}


def test_verdicts_are_accepted_into_the_named_file_alone(tmp_path):
    before = (suite.OURS / "expected.toml").read_bytes()
    file, accepted = write(tmp_path, "accepted"), tmp_path / "mine.toml"
    words = ["--runs-dir", tmp_path / "runs", "--report", tmp_path / "r.html", "-k", "overlap"]
    words += ["--subject", f"{file}:Mine", "--expected", accepted]
    assert pytest_here(*words, "--accept", "it needs no run").status == 0
    assert tomllib.loads(accepted.read_text())["quick"]["overlap"]["verdict"] == "SUPPORTED"
    accepted.write_text(accepted.read_text().replace("SUPPORTED", "CONTRADICTED"))
    assert pytest_here(*words).status == 1, "a verdict that moved from the file fails"
    assert (suite.OURS / "expected.toml").read_bytes() == before


def test_nothing_is_imported_because_a_store_names_it(tmp_path, monkeypatch, capsys):
    """Neither a finished run nor a checkpoint, a board or a report makes anybody run the file that it names."""
    trap = tmp_path / "trap.py"
    trap.write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\n{SUBJECT.format(top='', start='pass', more='')}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    store, spec = RunStore(tmp_path / "runs"), SMOKE.run(10)
    hostile = replace(spec, subject=SubjectSpec("trap.py:Mine", source="0" * 64))
    record = RunRecord(hostile, rows_of(hostile), draws=dict.fromkeys(hostile.measured_steps(), "0" * 64))
    store.publish(record, b"")
    shutil.copytree(store.path(run_key(hostile)), store.checkpoints(run_key(hostile)) / "000000012")
    module = hostile.to_json().replace("trap.py:Mine", "trap:Mine")
    (tmp_path / "runs" / "progress" / "s").mkdir(parents=True)
    (tmp_path / "runs" / "progress" / "s" / "gw0.json").write_text(f'{{"claims":[],"runs":[{module}]}}')
    assert pytest_here(*options(tmp_path, "--report", tmp_path / "r.html", "-k", "overlap")).status == 0
    for words in (["runs"], ["runs", "measure"], ["train", module], ["train", hostile.to_json()]):
        command.main([*words, "--runs-dir", str(tmp_path / "runs")])
    errors = capsys.readouterr().err
    assert "the command line names none: add --subject trap:Mine" in errors
    assert not (tmp_path / "sprung").exists()
    load("trap.py:Mine")
    assert (tmp_path / "sprung").exists(), "the trap works"
    assert os.path.exists(store.path(run_key(hostile)))


def test_a_check_is_short_whatever_the_budget(tmp_path):
    asks = """
    def budget(self, budget):
        from dataclasses import replace
        return replace(budget, steps=10**5, every=10**3)"""
    start = """
        train = learner.train
        learner.train = lambda until, on_step: 1 / 0 if until > 12 else train(until, on_step)"""
    file = write(tmp_path, "long_budget", start=start, more=asks)
    ended = pytest_here(*options(tmp_path, "--check", "--subject", f"{file}:Mine"))
    assert (ended.status, ended.lines("broken: ")) == (0, []), ended.printed


def test_a_claim_that_was_accepted_is_not_skipped_in_silence(tmp_path, monkeypatch):
    file, accepted = write(tmp_path, "was_accepted"), tmp_path / "mine.toml"
    monkeypatch.setattr(registration, "FILE", tmp_path / "registered.toml")
    claims = [claim for claim in suite.claims(suite.OURS) if claim.id == "bottleneck"]
    registration.register(registration.FILE, claims, "a trial")
    accepted.write_text('[quick.bottleneck]\nverdict = "SUPPORTED"\nwhy = "it had a bottleneck"\nregistration = 1\n')
    words = ["-k", "bottleneck", "--report", tmp_path / "r.html", "--subject", f"{file}:Mine", "--expected", accepted]
    ended = pytest_here("--runs-dir", tmp_path / "runs", *words)
    assert ended.status == 1
    assert "SKIPPED in place of SUPPORTED" in " ".join(ended.printed.split())
    assert json.loads((tmp_path / "r.json").read_text())["claims"][0]["verdict"] == "SKIPPED"
