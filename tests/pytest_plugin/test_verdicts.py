"""A claim's way to its outcome, on planted runs: looks, controls, variations, and what is written down of them."""

import re
import shutil
import subprocess
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from bumplab import profiles
from bumplab.pytest_plugin import summary
from bumplab.pytest_plugin.options import Settings
from bumplab.report.document import Saved
from bumplab.runs.store import RunRecord, RunStore, run_key
from bumplab.verdicts.error_rate import CLAIMS
from tests.report.planted import claim_of, control_of, part_of
from tests.rows import rows_of


def labels(d, seeds, control=""):
    return [f"d={d}{control} seed {seed}" for seed in range(10, 10 + seeds)]


def test_no_seed_is_trained_that_no_verdict_needs(tried):
    suite, _ = tried
    trained = [label for label, _ in suite.trained()]
    own, shuffled, varied = labels(1, 3) + labels(4, 3) + labels(2, 2), labels(1, 3, " shuffled"), 2
    assert sorted(trained) == sorted(own * varied + shuffled)  # labels do not name the variation


def test_each_claim_stops_at_the_look_that_settles_it(tried):
    suite, _ = tried
    entries = suite.entries()
    assert {claim: (entry["verdict"], entry["seeds"]) for claim, entry in entries.items()} == {
        "density": ("CONTRADICTED", 3),
        "hole": ("SUPPORTED", 3),
        "sigma": ("INCONCLUSIVE", 2),  # SUPPORTED, were it not for its control
        "overlap": ("SUPPORTED", 0),
    }
    for entry in entries.values():
        for runs in entry["conditions"].values():
            assert [run["spec"]["seed"] for run in runs] == list(range(10, 10 + entry["seeds"]))
    assert entries["overlap"]["conditions"] == {}


def test_controls_are_decided_by_the_claims_code_and_no_later_than_the_claim(tried):
    suite, _ = tried
    controls = {c["name"]: c for entry in suite.entries().values() for c in entry["controls"]}
    assert {name: (c["verdict"], c["passed"], c["seeds"]) for name, c in controls.items()} == {
        "turned": ("CONTRADICTED", True, 3),
        "shuffled": ("CONTRADICTED", True, 3),
        "planted": ("SUPPORTED", True, 3),
        "harmless": ("SUPPORTED", False, 2),
        "shaky": ("INCONCLUSIVE", True, 2),  # open, but its claim was settled at 2
    }
    shuffled = controls["shuffled"]["conditions"]["a"]
    assert {run["spec"]["data"]["pairing"] for run in shuffled} == {"shuffled"}
    assert len(shuffled) == 3
    (part,) = controls["turned"]["parts"]
    assert [effect[0] for effect in part["effects"]] == [-1.0, -1.05, -1.0]


def test_a_control_that_comes_out_supported_withdraws_the_claim(tried):
    suite, done = tried
    sigma = suite.entries()["sigma"]
    assert (sigma["verdict"], sigma["unchecked"]) == ("INCONCLUSIVE", "SUPPORTED")
    assert "the same code says so of the control 'harmless'" in sigma["reason"]
    assert "2 passed, 2 xfailed" in done.stdout


def test_variations_are_verdicts_of_their_own_and_change_no_outcome(tried):
    suite, _ = tried
    varied = {claim: entry["variations"] for claim, entry in suite.entries().items()}
    assert varied.pop("overlap") == []
    assert {claim: [(v["name"], v["verdict"], v["seeds"]) for v in found] for claim, found in varied.items()} == {
        "density": [("prediction=epsilon", "SUPPORTED", 3)],
        "hole": [("prediction=epsilon", "CONTRADICTED", 3)],
        "sigma": [("prediction=epsilon", "CONTRADICTED", 2)],
    }
    for (variation,) in varied.values():
        (runs,) = variation["conditions"].values()
        assert {run["spec"]["diffusion"]["prediction"] for run in runs} == {"epsilon"}
        assert len(runs) == variation["seeds"]
        assert variation["parts"][0]["verdict"] == variation["verdict"]
        assert variation["reason"]


def test_what_looking_after_each_seed_saved(tried):
    """hole: 3 runs and 3 shuffled; density: 3; sigma: 2 of 3. Variations are not counted."""
    suite, done = tried
    report = suite.report()
    assert report["saved"] == {
        "runs_used": 11, "runs_at_last_look": 12, "steps_used": 11 * 12, "steps_at_last_look": 12 * 12,
    }  # fmt: skip
    runs = {entry["claim"]: (entry["runs_used"], entry["runs_at_last_look"]) for entry in report["claims"]}
    assert runs == {"density": (3, 3), "hole": (6, 6), "sigma": (2, 3), "overlap": (0, 0)}
    assert "saved 8% of the training: 11 runs were needed, 12 if all had gone to the last look" in done.stdout


def test_the_report_says_what_was_asked_for(tried):
    suite, _ = tried
    looks = suite.report()["looks"]
    assert (looks["first"], looks["last"], suite.report()["controls"]) == (2, 3, True)


def test_the_summary_has_a_line_for_each_claim_and_each_variation(tried):
    _, done = tried
    *_, told = done.stdout.partition("claims, profile smoke, 2 to 3 seeds")
    lines = [line.strip() for line in told.splitlines()[1:] if line.strip()]
    assert lines[0].split() == [word for column in summary.COLUMNS for word in column.split()]
    assert re.match(r"density +CONTRADICTED +part: -1.02 \(-\S+ to -\S+\), supported above 0 +3$", lines[2])
    assert re.match(r"prediction=epsilon +SUPPORTED +part: 1.02 ", lines[3])
    assert re.match(r"hole +SUPPORTED +part: \S+ .* 3 +3/3$", lines[4])
    assert re.match(r"overlap +SUPPORTED +part: 1 \(exact\)", lines[6])
    assert re.match(r"sigma +INCONCLUSIVE .* 2 +1/2$", lines[7])
    assert lines[9].startswith("sigma: SUPPORTED is withdrawn")
    assert lines[10].startswith("SUPPORTED: 2 of 4 claims judged")
    assert "at most 5%" in lines[10]
    assert lines[11].endswith("the 19 runs took 0.0 min in all, whenever they were trained")  # 11 and 8 of variations
    assert lines[13] == f"report: {tried[0].folder / 'report.html'} (.json and .md beside it)"


ENTRY = claim_of(
    "coupling", reason="why so", process_seconds=6000.0, seeds=8, controls=[control_of("c", "CONTRADICTED")],
    parts=[part_of("ceiling-corrected", estimate=-0.0123, low=-0.187, high=-0.00028, region="between -0.25 and 0.25")],
)  # fmt: skip


def summary_of(*entries, width=80):
    """What the terminal says of these entries where it is so many columns wide."""
    lines = []
    terminal = SimpleNamespace(_tw=SimpleNamespace(fullwidth=width), hasmarkup=False, write_line=lines.append)
    saved = Saved(runs_used=0, runs_at_last_look=0, steps_used=0, steps_at_last_look=0)
    summary.write(terminal, entries, saved, {"a": 60.0, "b": 90.0})
    return lines


@pytest.mark.parametrize("width", [20, 80, 120])
def test_the_summary_cuts_no_word_off(width):
    longest = replace(
        ENTRY, claim="overlap", verdict="INCONCLUSIVE", controls=[control_of("c", "INCONCLUSIVE", stuck=True)]
    )
    lines = summary_of(replace(ENTRY, claim="representation"), longest, width=width)
    table = lines[: next(at for at, text in enumerate(lines) if text.startswith("overlap: why so"))]
    assert max(map(len, table)) <= max(width, summary.LEAST_WIDTH)
    assert table[0].split() == [word for column in summary.COLUMNS for word in column.split()]
    words = {word for text in table for word in text.split()}
    assert words >= {"ceiling-corrected:", "-0.0123", "INCONCLUSIVE", "undefined", "100.0", "min", "-0.00028),"}
    assert not [word for word in words if "…" in word]


def test_the_summary_says_why_a_claim_is_undecided_and_counts_each_run_once():
    lines = summary_of(replace(ENTRY, verdict="INCONCLUSIVE", unchecked="INCONCLUSIVE"))
    assert "coupling: why so" in lines
    assert any("the 2 runs took 2.5 min in all" in line for line in lines)
    assert "coupling: why so" not in summary_of(ENTRY)


def test_a_report_on_some_claims_leaves_that_on_all_alone(suite):
    arguments = suite.command("-k", "overlap")
    at = arguments.index("--report")
    done = subprocess.run(
        arguments[:at] + arguments[at + 2 :], cwd=suite.folder, capture_output=True, text=True, timeout=120,
        check=True, env=suite.environment(),
    )  # fmt: skip
    assert f"report: {suite.folder / 'reports' / 'claims-smoke-subset.html'}" in done.stdout
    assert not (suite.folder / "reports" / "claims-smoke.html").exists()


def test_a_report_on_all_claims_or_to_a_named_file_goes_where_it_was_said(tmp_path):
    settings = SimpleNamespace(report=tmp_path / "a.html", report_named=False)
    assert Settings.report_of(settings, ["hole"]).name == "a-subset.html"
    assert Settings.report_of(settings, [*CLAIMS, "one of mine"]) == tmp_path / "a.html"
    settings.report_named = True
    assert Settings.report_of(settings, ["hole"]) == tmp_path / "a.html"


def test_without_controls_none_is_tried_and_the_claim_stands(suite):
    done = suite.run("-k", "sigma")
    sigma = suite.entries()["sigma"]
    assert (sigma["verdict"], sigma["controls"], sigma["variations"]) == ("SUPPORTED", [], [])
    assert sigma["expected"] is None
    assert done.returncode == 0
    assert not re.search(r"\d/\d", done.stdout.partition("claims, profile")[2])
    assert [label for label, _ in suite.trained()] == labels(2, 2)


def test_a_fixed_design_looks_once(suite):
    done = suite.run("--seeds=2", "--max-seeds=2", "-k", "hole or sigma")
    entries = suite.entries()
    assert {claim: (entry["verdict"], entry["seeds"]) for claim, entry in entries.items()} == {
        "hole": ("INCONCLUSIVE", 2),
        "sigma": ("SUPPORTED", 2),
    }
    assert "looking after each seed" not in done.stdout


def test_a_report_that_cannot_be_written_in_the_end_is_a_line_of_its_own(suite):
    suite.write("overlap", '__import__("os").makedirs("report.json") or 1.0', "{}")
    done = suite.run("-k", "overlap")
    assert done.returncode == 3
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("report not written: ")]
    assert "report.json" in line
    assert "1 of 1 claims judged" in done.stdout


def test_a_number_that_json_cannot_hold_costs_no_verdict(suite, monkeypatch):
    monkeypatch.setenv("NO_NUMBER", "1")
    assert suite.run("-k", "overlap or hole").returncode == 0
    (part,) = suite.entries()["hole"]["parts"]
    assert part["noise"] == {"noise": None, "spread": None, "ratio": None}


@pytest.mark.parametrize(
    ("option", "place", "workers"),
    [("--report", "pytest.ini/a/report.html", ["-n", "2"]), ("--figures", "pytest.ini", [])],
)
def test_where_a_report_cannot_be_written_nothing_is_trained(suite, option, place, workers):
    done = suite.run("-k", "hole or sigma", option, place, *workers)
    assert done.returncode == 4
    (line,) = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("ERROR: ")]
    assert line.startswith(f"ERROR: {option}: ")
    assert "cannot be written" in line
    assert suite.trained() == []


def test_power_prints_a_table_and_trains_nothing(suite):
    done = suite.run("--power", "-k", "hole or sigma", "-n", "2")
    assert done.returncode == 0, done.stdout
    assert "the power of hole sigma at 2 to 3 seeds" in done.stdout
    assert not (suite.folder / ".runs").exists()
    assert not (suite.folder / "report.html").exists()


def test_an_accepted_verdict_is_recorded_in_every_mode(tried):
    suite, _ = tried
    expected = {entry["claim"]: entry["expected"] for entry in suite.entries().values()}
    assert expected == {
        "density": {"verdict": "CONTRADICTED", "why": "planted"},
        "hole": None,
        "sigma": None,
        "overlap": {"verdict": "SUPPORTED", "why": "certain"},
    }


def test_a_damaged_file_of_accepted_verdicts_is_one_line(suite):
    (suite.folder / "claims" / "expected.toml").write_text("[smoke.hole\n")
    done = suite.run()
    assert done.returncode == 4
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("ERROR: claims/expected.toml: cannot be read as TOML: ")


@pytest.mark.parametrize(("claim", "seed"), [("sigma", 11), ("hole", 12)])
def test_runs_of_one_claim_that_were_computed_differently_are_not_mixed(suite, monkeypatch, claim, seed):
    """A seed on a GPU, whose products have 10 bits, of the first look or a later one: the claim says which is which."""
    monkeypatch.setenv("SEED_ON_GPU", str(seed))
    done = suite.run("-k", f"{claim} or overlap")
    assert "1 failed, 1 passed" in done.stdout
    entry = suite.entries()[claim]
    assert entry["verdict"] == "ERROR"
    by = rf"with umap-learn \S+ \S+ \S+ and OpenCV of some version: d={'2' if claim == 'sigma' else '1'} seed"
    for said in (rf"float32, {by} ", rf"TF32, {by} {seed} \(", "--runs-dir"):
        assert re.search(said, entry["reason"])


def test_a_variation_may_be_computed_differently_from_its_claim(suite, monkeypatch):
    """It is shown beside the claim, and not mixed with it."""
    monkeypatch.setenv("BF16", "1")
    suite.run("-k", "sigma or overlap", "--vary", "precision=bf16")
    (varied,) = suite.entries()["sigma"]["variations"]
    assert (suite.entries()["sigma"]["verdict"], varied["verdict"]) == ("SUPPORTED", "SUPPORTED")


def test_runs_of_another_version_are_neither_used_nor_passed_over_in_silence(suite):
    """By the same spec under another results format, and by a spec that has a field more."""
    store, spec = RunStore(suite.folder / ".runs"), profiles.get("smoke").run(10, dx=4.0)
    store.publish(RunRecord(spec, rows_of(spec)), b"")
    place = store.path(run_key(spec))
    shutil.copytree(place, place.with_name("0" * 20))
    place.rename(place.with_name("1" * 20))
    text = (newer := place.with_name("1" * 20) / "spec.json").read_text()
    newer.write_text(text.replace('"seed":', '"added":1,"seed":'))
    done = suite.run("-k", "density")
    assert ".runs: 2 stored runs of another version of the code (results format 2 is this one's)" in done.stdout
    assert f"{spec.label()} by main" in (suite.folder / ".runs" / "trained").read_text()
    shutil.rmtree(newer.parent)
    assert ".runs: 1 stored run of another" in suite.run("-k", "density").stdout
    shutil.rmtree(place.with_name("0" * 20))
    assert "another version" not in suite.run("-k", "density").stdout


def test_a_stored_reason_does_not_steer_the_terminal(suite):
    store = RunStore(suite.folder / ".runs")
    for seed in (10, 11):
        spec = profiles.get("smoke").run(seed, dx=4.0)
        store.publish(RunRecord(spec, rows_of(spec, 1), failed="\x1b[2J\x9bgone\u202e"), b"")
    done = suite.run("-k", "density", "-rx", "--color=yes")
    assert done.stdout.count(r"failed: \x1b[2J\x9bgone\u202e") == 2  # as the outcome's reason, and in the summary
    assert not any(steering in done.stdout for steering in ("\x1b[2J", "\x9b", "\u202e"))


@pytest.mark.parametrize(
    ("fault", "said", "workers"),
    [("FULL", "No space left on device", ("-n", "2")), ("NO_IMAGES", "none is an image", ())],
)
def test_what_stops_a_run_is_one_line_of_its_claim(suite, monkeypatch, fault, said, workers):
    """A disk that is full from the start, and a network that draws nothing before it is trained."""
    monkeypatch.setenv(fault, "1")
    done = suite.run("-k", "hole or overlap", *workers)
    assert done.returncode == 1
    (line,) = {line for line in done.stdout.splitlines() if line.startswith("run store ")}
    assert said in line
    assert line.endswith("What was finished is kept.")
    assert "1 failed, 1 passed" in done.stdout
    assert {claim: entry["verdict"] for claim, entry in suite.entries().items()} == {
        "hole": "ERROR",
        "overlap": "SUPPORTED",
    }


PRUNES = """
from bumplab.report import page
from bumplab.runs import space

write = page.write

def beside(report, store, *rest):
    try:
        said = f"removed {len(space.prune(store, keep=0))}"
    except ValueError as error:
        said = str(error)
    write(report, store, *rest)
    (store.root / "said").write_text(said)

page.write = beside
"""


def test_no_run_is_removed_while_the_report_of_them_is_written(suite):
    with open(suite.folder / "conftest.py", "a") as file:
        file.write(PRUNES)
    suite.run("-k", "density", "-n", "2")
    assert "1 session at work on it" in (suite.folder / ".runs" / "said").read_text()
    assert len(list((suite.folder / ".runs" / "results").iterdir())) == 3
    assert not list((suite.folder / ".runs" / "progress").glob("*/")), "the session has ended"
