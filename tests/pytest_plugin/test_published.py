"""``--published`` judges from an archive alone, and ``--audit`` trains some of its runs again and compares."""

import gc
import json
import os
import shutil
import warnings
from dataclasses import replace

import pytest

from bumplab import __main__ as command
from bumplab import profiles
from bumplab.runs import pack, space
from bumplab.runs.archive import Archive
from bumplab.runs.planner import train_if_free
from bumplab.runs.store import RunStore, run_key
from tests.pytest_plugin import planted
from tests.pytest_plugin.planted import FIRST, Suite
from tests.rows import rows_of

VERDICTS = {"density": "CONTRADICTED", "hole": "SUPPORTED", "sigma": "INCONCLUSIVE", "overlap": "SUPPORTED"}


@pytest.fixture(autouse=True)
def no_sync(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store of the planted claims' runs, with those of their controls."""
    first = Suite(tmp_path_factory.mktemp("trained") / "suite")
    assert first.run("--controls").status == 1, "the control of sigma does not tell"
    return RunStore(first.folder / ".runs")


def specs_in(store):
    return [run.spec for run in space.stored(store.root) if run.state == "finished"]


def publish(suite, store, specs=None, registration=1, profile="quick"):
    """Puts an archive of the store's runs where ``--published`` looks for it."""
    path = suite.folder / "claims" / "published" / f"{profile}.zip"
    path.parent.mkdir(exist_ok=True)
    kept = pack.Kept(draws=False, evidence=False)
    specs = specs_in(store) if specs is None else specs
    pack.write(path, store, specs, lambda spec: kept, "python -m bumplab runs export FILE", registration)
    return path


def altered(store, folder, spec, **changes):
    """A copy of the store in which one run has other numbers in its last row, or another environment."""
    other = RunStore(folder)
    for stored in specs_in(store):
        record = store.read(stored)
        if stored == spec:
            rows = [*record.rows[:-1], record.rows[-1] | changes.get("row", {})]
            record = replace(record, rows=rows, environment=record.environment | changes.get("environment", {}))
        other.publish(record, b"")
    return other


def test_claims_are_judged_from_the_archive_alone(suite, trained, monkeypatch):
    """Two workers give the verdicts of the session that trained. The report and the terminal name the archive."""
    path = publish(suite, trained)
    monkeypatch.setattr(planted, "train", None)
    ended = suite.run("--published", "-n", "2", report=None)
    suite.path = suite.folder / "reports" / "claims-quick-published.json"
    assert (suite.verdicts(), suite.trained()) == (VERDICTS, []), ended.printed
    of_report = suite.report()["published"]
    assert (of_report["archive"], of_report["registration"]) == ("claims/published/quick.zip", 1)
    assert (of_report["runs"], of_report["audit"]) == (len(specs_in(trained)), None)
    (line,) = ended.lines("judged from published runs (claims/published/quick.zip, sha256 ")
    assert f"{of_report['sha256']}, registration 1)" in line
    for suffix in (".html", ".md"):
        assert of_report["sha256"] in suite.path.with_suffix(suffix).read_text(), suffix
    assert not (suite.folder / ".runs" / "published" / "results").exists(), "nothing is copied"
    assert path.exists()


def test_a_run_that_the_archive_lacks_is_not_asked_for(suite, trained):
    """density is open after the four seeds that are there, which is no move from its accepted verdict."""
    few = [spec for spec in specs_in(trained) if spec.seed < FIRST + 4 and spec.data.pairing != "shuffled"]
    publish(suite, trained, [spec for spec in few if spec.data.dx != 2.0])
    ended = suite.run("--published")
    assert (ended.status, suite.trained()) == (0, []), ended.printed
    entries = suite.entries()
    assert suite.verdicts() == {
        "density": "INCONCLUSIVE",
        "hole": "INCONCLUSIVE",
        "sigma": "SKIPPED",
        "overlap": "SUPPORTED",
    }
    assert (entries["density"]["seeds"], entries["density"]["stopped"]) == (4, True)
    assert entries["density"]["reason"].endswith("not published")
    assert entries["sigma"]["reason"] == "not published: 3 of the 3 runs of its first look"
    assert not suite.report()["controls"], "the archive holds no run of a control"
    assert [control["name"] for control in entries["hole"]["controls"]] == []


def test_controls_are_judged_as_far_as_their_runs_are_published(suite, trained):
    """Those of hole that need no runs of their own, also after one that lacks them."""
    later = [spec for spec in specs_in(trained) if spec.data.pairing != "shuffled"]
    publish(suite, trained, later)
    suite.run("--published", "--controls")
    entry = suite.entries()["hole"]
    assert [(control["name"], control["passed"]) for control in entry["controls"]] == [
        ("turned", True),
        ("planted", True),
    ]
    assert (entry["verdict"], entry["unchecked"], entry["stopped"]) == ("INCONCLUSIVE", "SUPPORTED", True)


def test_an_accepted_verdict_is_compared(suite, trained):
    publish(suite, trained)
    suite.expected.write_text(suite.expected.read_text().replace("CONTRADICTED", "SUPPORTED"))
    ended = suite.run("--published", "-k", "density and verdict")
    assert (ended.status, "verdict moved from SUPPORTED to CONTRADICTED" in ended.printed) == (1, True), ended.printed


def test_what_is_wrong_is_one_line(suite, trained, tmp_path):
    def error_of(*options):
        ended = suite.run(*options)
        (line,) = ended.lines("ERROR")
        assert (ended.status, len(ended.printed.strip().splitlines())) == (pytest.ExitCode.USAGE_ERROR, 1), options
        return line

    for options in (["--published"], ["--published", "--audit", "3"]):
        assert "--published: no runs are published for the profile quick" in error_of(*options)
        assert "runs export claims/published/quick.zip --profile quick --no-draws --registration 1`" in error_of(
            *options
        )
    runs = len(specs_in(trained))
    path = publish(suite, trained)
    for options, words in (
        (["--audit", "3"], "--audit 3: goes with --published"),
        *(
            (["--published", "--audit", text], f"--audit {text}: must be a whole number from 1 to {runs}")
            for text in ("0", "-1", "x", "1.5", str(runs + 1), "٣", "9" * 20)
        ),
        (["--published", "--audit-seed", "3"], "--audit-seed 3: goes with --audit"),
        (["--published", "--audit", "3", "--audit-seed", "x"], "--audit-seed x: must be a whole number"),
        (["--published", "--also-runs", trained.root], "does not go with --also-runs"),
        (["--published", "--vary", "prediction=epsilon"], "does not go with --vary"),
        (["--published", "--minutes", "3"], "does not go with --minutes"),
        (["--published", "--accept", "why"], "does not go with --accept"),
    ):
        assert words in error_of(*options), options
    path.write_bytes(path.read_bytes()[:-1])
    assert "is no archive of runs" in error_of("--published")


def test_an_archive_of_another_registration_is_refused(suite, trained, tmp_path, capsys):
    """By its manifest, by its seeds, and on export where they are mixed."""
    publish(suite, trained, registration=2)
    ended = suite.run("--published")
    assert "names registration 2, and the runs have seeds of registration 1 (0: " in ended.lines("ERROR")[0]
    mixed = RunStore(tmp_path / "mixed")
    for spec in (profiles.get("quick").run(0), profiles.get("quick").replicate(FIRST), *specs_in(trained)):
        mixed.publish(replace(trained.read(specs_in(trained)[0]), spec=spec, rows=rows_of(spec)), b"")
    publish(suite, mixed, registration=1)
    ended = suite.run("--published")
    assert "names registration 1, and the runs have seeds of registration 0 and 1 (0: " in ended.lines("ERROR")[0]
    publish(suite, mixed, [profiles.get("quick").run(0)], registration=0)
    (error,) = suite.run("--published").lines("ERROR")
    assert "holds runs of registration 0 (0: exploring), and these claims are judged on registration 1" in error
    export = ["runs", "--runs-dir", str(mixed.root), "export", str(tmp_path / "a.zip"), "--no-draws"]
    assert command.main(export) == 2
    assert "seeds of registration 0 and 1" in capsys.readouterr().err
    for number in ("0", "1"):
        assert command.main([*export, "--registration", number]) == 0
        assert registration_of(tmp_path / "a.zip") == int(number)


@pytest.mark.parametrize("registration", [1, 2])
def test_the_archive_is_closed_at_the_end(suite, trained, registration):
    """Also where it is refused. Garbage collection warns of each file that is still open."""
    publish(suite, trained, registration=registration)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        suite.run("--published", "-k", "overlap")
        gc.collect()
    assert [str(warning.message) for warning in caught if issubclass(warning.category, ResourceWarning)] == []


def registration_of(path):
    with Archive(path) as archive:
        return archive.manifest.registration


def test_an_audit_that_finds_nothing_is_green_and_goes_on_where_it_was_killed(suite, trained):
    """Two workers train the runs that the controller drew. The same seed draws the same, and trains none again."""
    publish(suite, trained)
    ended = suite.run("--published", "--audit", "3", "-k", "hole", "-n", "2")
    assert (ended.status, len(suite.trained())) == (0, 0), ended.printed
    audit = suite.report()["published"]["audit"]
    runs = len(specs_in(trained))
    assert [run["outcome"] for run in audit["runs"]] == ["equal"] * 3
    assert audit["missed"] == pytest.approx(missed(runs, 3))
    assert ended.lines(f"audit: 3 of {runs} runs, drawn by --audit-seed {audit['seed']}")
    assert ended.lines(f"audited: 3 of {runs} runs, drawn by --audit-seed {audit['seed']}: 3 equal")
    log = suite.folder / ".runs" / "published" / "trained"
    assert len(log.read_text().splitlines()) == 3
    again = suite.run("--published", "--audit", "3", "-k", "hole", "--audit-seed", audit["seed"])
    assert suite.report()["published"]["audit"] == audit, again.printed
    assert len(log.read_text().splitlines()) == 3
    assert again.status == 0


def missed(runs, audited):
    """The chance that none of the audited runs is altered, run by run."""
    altered_runs, chance = round(runs / 10), 1.0
    for drawn in range(audited):
        chance *= (runs - altered_runs - drawn) / (runs - drawn)
    return chance


def test_an_altered_run_fails_the_session(suite, trained, tmp_path):
    """Bit for bit in the same environment; by a larger difference in another; always in another number format."""
    spec, other = [spec for spec in specs_in(trained) if spec.data.dx == 1.0][:2]
    honest = RunStore(tmp_path / "honest")
    for run in (spec, other):
        honest.publish(replace(trained.read(run), environment={"exact": True, "bf16": False}), b"")
    shutil.copytree(honest.root, suite.folder / ".runs" / "published")  # as if an earlier audit had trained them here
    number = "image.order"
    for name, environment, row, red in (
        ("bit", {}, {number: 0.5 + 1e-12}, True),
        ("rounding", {"threads": 2}, {number: 0.5 + 1e-12}, False),
        ("lie", {"threads": 2}, {"probe.correct": 0.9}, True),
        ("format", {"instructions": "cuda", "exact": False}, {}, True),
    ):
        publish(suite, altered(honest, tmp_path / name, spec, environment=environment, row=row))
        ended = suite.run("--published", "--audit", "2", "-k", "overlap")
        runs = {run["key"]: run for run in suite.report()["published"]["audit"]["runs"]}
        assert (ended.status, runs.keys()) == (int(red), {run_key(spec), run_key(other)}), name
        assert runs[run_key(other)]["outcome"] == "equal", name
        assert (runs[run_key(spec)]["outcome"] == "different") == red, name
        if name == "lie":
            how = "different, compared by tolerances, in another environment"
            said = f"({run_key(spec)}): {how}: probe.correct at step 600 was"
            assert any(said in line for line in ended.lines("audit: ")), ended.printed
            assert "published as 0.9, and is 0.5 here" in ended.printed
        if name == "format":
            assert "published in TF32, with umap-learn of some version" in ended.printed


def test_a_run_of_smoke_that_is_really_trained_again_is_equal_bit_for_bit(suite, tmp_path, monkeypatch):
    """Then one digit of one number of it is altered."""
    monkeypatch.setattr(planted, "plant", lambda config: None)
    store, spec = RunStore(tmp_path / "store", 0), profiles.get("smoke").run(10)
    assert train_if_free(spec, store, "cpu")
    published = ["--published", "--profile", "smoke", "--audit", "1", "-k", "overlap"]
    publish(suite, store, registration=0, profile="smoke")
    ended = suite.run(*published)
    assert (ended.status, len(ended.lines("audited: 1 of 1 runs"))) == (0, 1), ended.printed
    (run,) = suite.report()["published"]["audit"]["runs"]
    assert (run["outcome"], run["how"]) == ("equal", "compared bit for bit, in the same environment")
    loss = store.read(spec).rows[-1]["loss"]
    lie = altered(store, tmp_path / "lie", spec, row={"loss": loss * (1 + 1e-12)})
    publish(suite, lie, registration=0, profile="smoke")
    ended = suite.run(*published)
    assert (ended.status, json.loads(suite.path.read_text())["published"]["audit"]["runs"][0]["number"]) == (1, "loss")
