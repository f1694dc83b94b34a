"""A claim's way to its outcome, on planted runs: looks, controls, variations, and their entries in the report."""

import re
import shutil
from importlib.metadata import version
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from bumplab import profiles
from bumplab.pytest_plugin import summary
from bumplab.pytest_plugin.settings import Settings
from bumplab.report.compare import holds_verdicts
from bumplab.runs import board, progress
from bumplab.runs.store import RunRecord, RunStore, run_key
from bumplab.verdicts import suite as suite_module
from bumplab.verdicts.claim import FIRST_SEED
from tests.pytest_plugin.inside import ROOT
from tests.pytest_plugin.planted import FIRST
from tests.rows import rows_of


def labels(d, seeds, control=""):
    return [f"d={d}{control} seed {seed}" for seed in range(FIRST, FIRST + seeds)]


def test_each_claim_stops_at_the_look_that_settles_it_and_trains_nothing_more(tried):
    suite, ended = tried
    assert ended.status == 1, ended.printed
    assert [line.split("[")[1].split("]")[0] for line in ended.lines("FAILED")] == ["quick-control-harmless"]
    entries = suite.entries()
    assert {claim: (entry["verdict"], entry["seeds"]) for claim, entry in entries.items()} == {
        "density": ("CONTRADICTED", 7),
        "hole": ("SUPPORTED", 7),
        "sigma": ("INCONCLUSIVE", 7),  # SUPPORTED, were it not for its control
        "overlap": ("SUPPORTED", 0),
    }
    for claim, entry in entries.items():
        for runs in entry["conditions"].values():
            assert [run["spec"]["seed"] for run in runs] == list(range(FIRST, FIRST + entry["seeds"])), claim
    assert (set(entries["hole"]["conditions"]), entries["overlap"]["conditions"]) == ({"a", "b"}, {})
    judged = labels(1, 7) + labels("0.5", 7) + labels(2, 7) + labels(4, 7)
    contradicted = [label for d in (1, "0.5") for label in labels(d, 8)]  # two parts: each needs twice the evidence
    varied = contradicted + labels(2, 7) + labels(4, 7)  # under the same names
    assert sorted(label for label, _ in suite.trained()) == sorted(judged + varied + labels(1, 5, " shuffled"))


def test_controls_are_judged_by_the_claims_code_each_at_its_own_seeds(tried):
    suite, _ = tried
    controls = {c["name"]: c for entry in suite.entries().values() for c in entry["controls"]}
    assert {name: (c["verdict"], c["passed"], c["seeds"]) for name, c in controls.items()} == {
        "turned": ("CONTRADICTED", True, 5),
        "shuffled": ("CONTRADICTED", True, 5),
        "planted": ("SUPPORTED", True, 5),
        "harmless": ("SUPPORTED", False, 5),
    }
    shuffled = controls["shuffled"]["conditions"]["a"]
    assert [run["spec"]["data"]["pairing"] for run in shuffled] == ["shuffled"] * 5
    assert [part["name"] for part in controls["shuffled"]["parts"]] == ["right"], "it breaks this part alone"
    part, _ = controls["turned"]["parts"]
    assert [seed["low"] for seed in part["seeds"]] == [-0.5, -0.6, -0.5, -0.5, -0.5]
    sigma = suite.entries()["sigma"]
    assert (sigma["verdict"], sigma["unchecked"]) == ("INCONCLUSIVE", "SUPPORTED"), "a control withdraws the verdict"
    assert "'harmless'" in sigma["reason"]


def test_variations_are_verdicts_of_their_own_and_change_no_outcome(tried):
    suite, _ = tried
    varied = {claim: entry["variations"] for claim, entry in suite.entries().items()}
    assert varied.pop("overlap") == []
    assert {claim: [(v["name"], v["verdict"], v["seeds"]) for v in forms] for claim, forms in varied.items()} == {
        "density": [("prediction=epsilon", "SUPPORTED", 7)],
        "hole": [("prediction=epsilon", "CONTRADICTED", 8)],
        "sigma": [("prediction=epsilon", "CONTRADICTED", 7)],
    }
    for claim, (variation,) in varied.items():
        for runs in variation["conditions"].values():
            assert [run["spec"]["diffusion"]["prediction"] for run in runs] == ["epsilon"] * variation["seeds"], claim
        assert variation["parts"][0]["verdict"] == variation["verdict"], claim
        assert variation["reason"], claim


def test_the_report_holds_the_looks_the_accepted_verdicts_and_the_saved_training(tried):
    """hole: twice 7 runs and 5 shuffled; density and sigma: 7. At the last look all would be 8. No variation counts."""
    suite, ended = tried
    steps = profiles.get("quick").base.training.steps
    report, entries = suite.report(), suite.entries()
    assert report["looks"] == {"first": 3, "last": 8, "needed": 3 / 0.05, "first_seed": FIRST_SEED}, (
        "three claims have chance in them"
    )
    assert report["controls"] is True
    assert report["code"] == version("bumplab"), "the project is no checkout, and has no commit"
    assert report["saved"] == {
        "runs_used": 33, "runs_at_last_look": 40, "steps_used": 33 * steps, "steps_at_last_look": 40 * steps,
    }  # fmt: skip
    runs = {claim: (entry["runs_used"], entry["runs_at_last_look"]) for claim, entry in entries.items()}
    assert runs == {"density": (7, 8), "hole": (19, 24), "sigma": (7, 8), "overlap": (0, 0)}
    assert "saved 18% of the training" in ended.printed
    assert {claim: entry["expected"] for claim, entry in entries.items()} == {
        "density": {"verdict": "CONTRADICTED", "why": "planted", "registration": 1},
        "hole": None,
        "sigma": None,
        "overlap": {"verdict": "SUPPORTED", "why": "certain", "registration": None},
    }
    assert [(entry["needed"], entry["exploratory"]) for entry in entries.values()] == [(60.0, False)] * 4


def test_the_summary_has_a_line_for_each_claim_and_each_variation(tried):
    suite, ended = tried
    *_, text = ended.printed.partition("claims, profile quick, 3 to 8 seeds")
    lines = [line.strip() for line in text.splitlines()[1:] if line.strip()]
    assert lines[0].split() == [word for column in summary.COLUMNS for word in column.split()]
    assert re.match(
        r"density +CONTRADICTED +right: in 0 of 7 seeds it is above 0, evidence 94.6 against .* 7$", lines[2]
    )
    assert re.match(r"prediction=epsilon +SUPPORTED +right: in 7 of 7 seeds ", lines[3])
    assert re.match(r"hole +SUPPORTED +right: in 7 of 7 seeds it is above 0, .* 7 +3/3$", lines[4])
    assert re.match(r"overlap +SUPPORTED +right: 1 units", lines[6])
    assert re.match(r"sigma +INCONCLUSIVE .* 7 +0/1$", lines[7])
    assert lines[9].startswith("sigma: its controls cannot tell: 'harmless'")
    assert lines[10].startswith("SUPPORTED: 2 of 4 claims judged")
    assert "5%" in lines[10]
    assert "xfailed" in lines[11]
    assert lines[12] == "registration 1: seeds from 1000"
    assert "63 runs took 0.0 min" in lines[13]  # 33 and 30 of variations
    assert f"report: {suite.path.with_suffix('.html')} " in lines[15], "in the project, though reached from elsewhere"
    assert list((suite.folder.parent / "elsewhere").iterdir()) == []


def test_junit_holds_names_times_and_reasons_alone(tried):
    suite, _ = tried
    junit = suite.folder.parent / "junit.xml"
    root = ElementTree.parse(junit).getroot()
    assert {element.tag for element in root.iter()} == {"testsuites", "testsuite", "testcase", "skipped", "failure"}
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert len(cases) == 13
    assert cases["test_density[quick-verdict]"].find("skipped").get("message") == "CONTRADICTED, as accepted: planted"
    assert "SUPPORTED" in cases["test_sigma[quick-control-harmless]"].find("failure").get("message")
    assert junit.stat().st_size < 6_000


def test_no_run_is_removed_while_the_report_of_them_is_written(tried):
    suite, _ = tried
    assert "1 session" in (suite.folder.parent / "refused").read_text()
    assert len(list((suite.folder / ".runs" / "results").iterdir())) == 63
    assert not list((suite.folder / ".runs" / "progress").glob("*/")), "the session has ended"


def test_a_report_on_all_claims_or_to_a_named_file_goes_where_the_option_says(tmp_path):
    settings = SimpleNamespace(report=tmp_path / "a.html", report_named=False, claim_ids=("hole", "seeds"))
    assert Settings.report_of(settings, ["hole"]).name == "a-subset.html"
    assert Settings.report_of(settings, ["seeds", "hole", "one of mine"]) == tmp_path / "a.html"
    settings.report_named = True
    assert Settings.report_of(settings, ["hole"]) == tmp_path / "a.html"


def test_the_claims_of_a_project_are_found_by_their_files(tmp_path):
    for name in ("test_b.py", "test_a.py", "conftest.py", "test_c.txt"):
        (tmp_path / name).write_text("1 / 0")
    assert suite_module.ids(tmp_path) == ("a", "b")
    assert len(suite_module.ids(ROOT / "claims")) == len(list((ROOT / "claims").glob("test_*.py")))


def test_without_controls_none_is_tried_and_the_claim_stands(suite):
    """Reached with --rootdir from another folder; a report on one claim leaves that on all claims alone."""
    ended = suite.run("--rootdir", "/", "-k", "sigma", claims=suite.folder / "claims", report=None, folder="/")
    suite.path = suite.folder / "reports" / "claims-quick-subset.json"
    assert f"report: {suite.path.with_suffix('.html')} " in ended.printed
    assert not (suite.folder / "reports" / "claims-quick.html").exists()
    sigma = suite.entries()["sigma"]
    assert (sigma["verdict"], sigma["controls"], sigma["variations"]) == ("SUPPORTED", [], [])
    assert sigma["expected"] is None
    assert ended.status == 0
    assert not re.search(r"\d/\d", ended.printed.partition("claims, profile")[2])
    assert [label for label, _ in suite.trained()] == labels(2, 7)


def test_a_fixed_design_looks_once(suite):
    ended = suite.run("--seeds=8", "--max-seeds=8", "-k", "hole or sigma")
    assert {claim: (entry["verdict"], entry["seeds"]) for claim, entry in suite.entries().items()} == {
        "hole": ("SUPPORTED", 8),
        "sigma": ("SUPPORTED", 8),
    }
    assert "looking after each seed" not in ended.printed


def test_a_variation_that_changes_nothing_is_marked(suite):
    """A choice that this claim's effect does not read, one that turns it, and an effect that is undefined twice."""
    suite.write("density", 'fail(Undefined("planted"))', "{'a': profile.run(seed, dx=4.0)}")
    ended = suite.run("-k", "sigma or density", "--vary", "ema_decay=0.5", "--vary", "prediction=epsilon")
    sigma, density = (suite.entries()[claim]["variations"] for claim in ("sigma", "density"))
    assert {v["name"]: v["idle"] for v in sigma} == {"ema_decay=0.5": True, "prediction=epsilon": False}
    assert [(v["idle"], v["parts"][0]["seeds"][0]["problem"]) for v in density] == [(False, "planted")] * 2
    assert ended.printed.count("(changed nothing)") == 1
    assert (suite.folder / "report.html").read_text().count("changed nothing: ") == 1


def test_a_report_that_cannot_be_written_in_the_end_costs_no_verdict(suite, monkeypatch):
    suite.write("overlap", '__import__("os").makedirs("report.json") or 1.0')
    ended = suite.run("-k", "overlap and verdict")
    assert ended.status == 3
    (line,) = ended.lines("report not written: ")
    assert "report.json" in line
    assert "1 of 1 claims judged" in ended.printed


def test_a_report_with_verdicts_is_not_replaced_by_one_without(suite):
    suite.run("-k", "overlap")
    before = suite.report()
    suite.write("overlap", "fail(KeyboardInterrupt)")
    ended = suite.run("-k", "overlap", "--figures", "figures")
    (line,) = ended.lines("report: ")
    assert "report.html is kept" in line
    assert suite.report() == before
    for written in (suite.folder / "report.json", suite.folder / "report.html"):
        assert holds_verdicts(suite.folder / "report.html"), "what cannot be read may hold verdicts"
        written.unlink()
    suite.write("overlap", "1 / 0")
    for _ in range(2):  # one without a verdict may take the place of another
        suite.run("-k", "overlap")
        assert suite.verdicts() == {"overlap": "ERROR"}
        assert not holds_verdicts(suite.folder / "report.html")


def test_a_stopped_session_leaves_the_report_on_all_claims_alone(suite):
    """All claims are asked for, and overlap stops the session: the verdicts before it are a report on some claims."""
    suite.write("density", "1.0")
    suite.path = suite.folder / "reports" / "claims-quick-subset.json"
    for stop, status in (("KeyboardInterrupt", 2), ('__import__("pytest").exit.Exception("s", returncode=7)', 7)):
        suite.write("overlap", f"fail({stop})")
        assert suite.run(report=None).status == status, stop
        verdicts = suite.verdicts()
        assert verdicts.keys() == {"density", "hole", "sigma", "overlap"}, stop
        assert (verdicts["density"], verdicts["overlap"], verdicts["sigma"]) == ("SUPPORTED", "ERROR", "ERROR"), stop
        assert not (suite.folder / "reports" / "claims-quick.html").exists(), stop
        suite.path.unlink()


def test_where_a_file_cannot_be_written_or_read_nothing_is_trained(suite):
    (suite.folder / "broken").mkdir()
    (suite.folder / "broken" / "partial").write_text("")
    for option, path in (
        ("--report", "pytest.ini/a/report.html"), ("--figures", "pytest.ini"), ("--runs-dir", "pytest.ini"),
        ("--runs-dir", "broken"),
    ):  # fmt: skip
        ended = suite.run("-k", "hole or sigma", option, path)
        assert ended.status == 4, (option, path)
        (line,) = ended.lines("ERROR: ")
        assert option in line, path
        assert "cannot be written" in line, path
    assert not (suite.folder / ".runs").exists(), "no session has begun"
    suite.expected.write_text("[smoke.hole\n")
    ended = suite.run()
    assert ended.status == 4
    (line,) = ended.printed.strip().splitlines()
    assert line.startswith("ERROR: claims/expected.toml: ")
    assert suite.trained() == []


def test_runs_of_one_claim_that_were_computed_differently_are_not_mixed(suite, monkeypatch):
    """A seed on a GPU, whose products have 10 bits, of the first look or a later one: the reason names both kinds."""
    for claim, d, seed in (("sigma", 2, FIRST + 1), ("hole", 1, FIRST + 2)):
        monkeypatch.setenv("SEED_ON_GPU", str(seed))
        ended = suite.run("-k", f"({claim} or overlap) and verdict")
        assert "1 failed, 1 passed" in ended.printed, claim
        entry = suite.entries()[claim]
        assert entry["verdict"] == "ERROR", claim
        for pattern in (rf"float32, .*: d={d} seed \d+ ", rf"TF32, .*: d={d} seed {seed} \(", "--runs-dir"):
            assert re.search(pattern, entry["reason"]), (claim, pattern)


def test_a_variation_may_be_computed_differently_from_its_claim(suite, monkeypatch):
    """It is shown beside the claim, and not mixed with it."""
    monkeypatch.setenv("BF16", "1")
    monkeypatch.setattr("bumplab.diffusion.speed.has_bf16", lambda device: True)
    suite.run("-k", "sigma or overlap", "--vary", "precision=bf16")
    (varied,) = suite.entries()["sigma"]["variations"]
    assert (suite.entries()["sigma"]["verdict"], varied["verdict"]) == ("SUPPORTED", "SUPPORTED")


def test_runs_of_another_version_are_counted_and_not_used(suite):
    """By the same spec under another results format, and by a spec that has a field more."""
    store, spec = RunStore(suite.folder / ".runs"), profiles.get("quick").run(FIRST, dx=4.0)
    store.publish(RunRecord(spec, rows_of(spec)), b"")
    run = store.path(run_key(spec))
    shutil.copytree(run, run.with_name("0" * 20))
    run.rename(run.with_name("1" * 20))
    text = (newer := run.with_name("1" * 20) / "spec.json").read_text()
    newer.write_text(text.replace('"seed":', '"added":1,"seed":'))
    (line,) = suite.run("-k", "density").lines(str(store.root))
    assert ": 2 stored runs of another version" in line
    assert (spec.label(), "main") in suite.trained()
    shutil.rmtree(newer.parent)
    assert summary.passed_over(store.root).startswith(f"{store.root}: 1 stored run of")
    shutil.rmtree(run.with_name("0" * 20))
    assert summary.passed_over(store.root) == ""


def test_a_stored_reason_does_not_steer_the_terminal(suite):
    store = RunStore(suite.folder / ".runs")
    for seed in (FIRST, FIRST + 1):
        spec = profiles.get("quick").run(seed, dx=4.0)
        store.publish(RunRecord(spec, rows_of(spec, 1), failed="\x1b[2J\x9bgone\u202e"), b"")
    printed = suite.run("-k", "density and verdict", "-rx", "--color=yes").printed
    assert printed.count(r"\x1b[2J\x9bgone\u202e") == 2  # as the outcome's reason, and in the summary
    assert not any(steering in printed for steering in ("\x1b[2J", "\x9b", "\u202e"))


def test_an_error_of_a_run_is_one_line_of_its_claim(suite, monkeypatch):
    """A network that draws nothing before it is trained, and a disk that is full from the start."""

    def full(path, text, write=progress.replace_text):
        if ".runs" in path.parts:
            raise OSError(28, "No space left on device")
        write(path, text)

    for fault in ("none is an image", "No space left on device"):
        with monkeypatch.context() as patch:
            if fault == "none is an image":
                patch.setenv("NO_IMAGES", "1")
            else:
                patch.setattr(board, "replace_text", full)
                patch.setattr(progress, "replace_text", full)
            ended = suite.run("-k", "sigma or overlap")
        assert ended.status == 1, fault
        (line,) = set(ended.lines("run store "))
        assert fault in line
        assert line.endswith("What was finished is kept.")
        assert "2 failed, 2 passed" in ended.printed, fault
        assert suite.verdicts() == {"sigma": "ERROR", "overlap": "SUPPORTED"}, fault


def test_a_claim_that_cannot_be_counted_or_written_ends_as_an_error_alone(suite):
    """A file with another name takes no share of the error rate. A title that is no text is no entry."""
    claims = suite.folder / "claims"
    text = (claims / "test_overlap.py").read_text().replace("overlap", "more")
    (claims / "more_test.py").write_text(text)
    (claims / "test_hole.py").write_text(
        (claims / "test_hole.py").read_text().replace("curves={}", "curves={'probe.correct': 1}")
    )
    ended = suite.run("-k", "overlap or more or hole")
    assert ended.status == pytest.ExitCode.TESTS_FAILED
    assert suite.verdicts() == {"overlap": "SUPPORTED", "more": "ERROR", "hole": "ERROR"}
    assert "test_more.py" in suite.entries()["more"]["reason"]
    assert "curves" in suite.entries()["hole"]["reason"]
