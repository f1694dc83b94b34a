"""The report: what its page, its JSON and its summary must say."""

import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from bumplab.report import page, wording
from bumplab.runs.store import run_key
from tests.report.planted import (
    CONTROL,
    HOSTILE,
    LATER,
    OWN,
    REPORT,
    UNTRAINED,
    VARIED,
    claim_of,
    control_of,
    part_of,
    rows_of,
    runs_of,
    section_of,
    shown,
    write,
)

ROOT = Path(__file__).parents[2]


def test_json_is_valid_and_claims_are_in_the_papers_order(written):
    body = json.loads(written.with_suffix(".json").read_text())
    assert [claim["claim"] for claim in body["claims"]] == ["phases", "density", "hole", "overlap", "seeds"]
    assert body["schema"] == page.SCHEMA == 4
    assert body["saved"] == REPORT["saved"]


def test_the_json_is_what_its_schema_says(written):
    schema = json.loads((ROOT / "bumplab" / "report" / "schema.json").read_text())
    assert schema["properties"]["schema"]["const"] == page.SCHEMA
    checker = jsonschema.Draft202012Validator(schema)
    checker.check_schema(schema)
    body = json.loads(written.with_suffix(".json").read_text())
    assert [f"{error.json_path}: {error.message}" for error in checker.iter_errors(body)] == []
    said = set(schema["properties"])
    assert set(body) <= said, "a key of the report is not documented"
    parts, documented = body["claims"][0]["parts"], set(schema["$defs"]["part"]["properties"])
    assert all(set(part) <= documented for part in parts)
    del parts[0]["bounds"]
    assert not checker.is_valid(body), "the schema lets anything through"


def test_runs_of_controls_and_variations_are_in_the_json(written):
    runs = json.loads(written.with_suffix(".json").read_text())["runs"]
    assert set(runs) == {run_key(spec) for spec in [*OWN, LATER, *CONTROL, *UNTRAINED, *VARIED]}
    assert [len(run["rows"]) for run in runs.values() if run["spec"]["training"]["steps"] > 1] == [3] * (len(runs) - 1)
    assert "bottleneck.signal" in runs[run_key(OWN[0])]["rows"][-1]


def test_the_top_says_what_was_found_used_and_checked(written):
    phases, _, hole, overlap, seeds = rows_of(written.read_text(), "Profile")
    assert "? INCONCLUSIVE SUPPORTED before its controls expected SUPPORTED" in phases
    assert "2 of at most 5 1/2 passed" in phases
    assert "! ERROR" in hole
    assert "no verdict" in hole
    assert "1.05 u exact" in overlap
    assert "needs no runs none needed" in overlap
    assert "2 of at most 5 not run" in seeds
    top = shown(written.read_text().partition("<h2")[0])
    assert "1 of 4 judged claims SUPPORTED ; 1 more without a verdict" in top
    assert "That saved 9 runs, 75 % of the training steps." in top
    assert "2 to 5 seeds" in top
    assert "by bumplab 0.1.0 (abc1234+). Trained on unknown device, torch 2, float32, with umap-learn of some" in top


def test_the_forest_has_a_row_for_each_judged_claim(written):
    drawn = written.read_text().partition('<figure class="forest">')[2].partition("</figure>")[0]
    assert all(f"{claim}: " in drawn for claim in ("phases", "overlap", "seeds"))
    assert "hole: " not in drawn
    assert "<script" not in drawn


def test_the_dialog_promises_no_more_than_its_command_can_do(written):
    dialog = shown(written.read_text().partition('<dialog id="checkpoint"')[2].partition("</dialog>")[0])
    assert (
        "On a GPU this command gives them nearly: bit for bit they come only from pytest claims --gpu --exact" in dialog
    )
    assert "A point between two checkpoints shown here has opened the nearer one" in dialog


def test_what_has_no_interval_says_why_at_the_top(tmp_path):
    claim = claim_of("coupling", "INCONCLUSIVE", parts=[
        part_of("kappa", "INCONCLUSIVE", estimate=None, low=None, high=None, reason="kappa is undefined")])  # fmt: skip
    written = write(tmp_path, {**REPORT, "claims": [claim]})
    assert ">no interval: kappa is undefined<" in written.read_text()
    assert "| kappa: none u | none: kappa is undefined |" in written.with_suffix(".md").read_text()


def test_the_summary_is_a_table_in_markdown_that_nothing_breaks_out_of(written):
    text = written.with_suffix(".md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {8}
    assert rows[2].startswith("| phases | ? INCONCLUSIVE (expected SUPPORTED) | ")
    assert "<script" not in text
    assert "1 of 4 judged claims SUPPORTED at the profile smoke" in text


def test_controls_say_what_they_must_be_and_whether_they_passed(written):
    broken, planted = rows_of(section_of(written, "phases"), "Came out")
    assert re.search(r"✓ SUPPORTED ✗ failed must not be SUPPORTED one: 0.125 u 0.5 to open 3$", broken)
    assert re.search(r"✓ SUPPORTED ✓ passed must not be CONTRADICTED one: 0.125 u 0.5 to open 3$", planted)


OPEN, STUCK = part_of("open", "INCONCLUSIVE"), part_of("stuck", "INCONCLUSIVE", stuck=True)
HELD, SHOWN = part_of("held", "SUPPORTED"), part_of("shown", "INCONCLUSIVE", stuck=True, judges=False)


@pytest.mark.parametrize(
    ("verdict", "parts", "outcome"),
    [
        ("INCONCLUSIVE", [STUCK], "○ undefined"),
        ("INCONCLUSIVE", [STUCK, HELD], "○ undefined"),
        ("INCONCLUSIVE", [STUCK, OPEN], "✓ passed"),
        ("INCONCLUSIVE", [OPEN, HELD, SHOWN], "✓ passed"),
        ("CONTRADICTED", [STUCK, part_of("against", "CONTRADICTED")], "✓ passed"),
        ("SUPPORTED", [HELD, SHOWN], "✗ failed"),
    ],
)
def test_a_control_without_effects_is_not_said_to_have_passed(verdict, parts, outcome):
    """Where nothing is trained nothing can be measured: that the claim is not supported there says little."""
    control = control_of("c", verdict, positive=False, passed=verdict != "SUPPORTED", conditions={}) | {"parts": parts}
    assert wording.control_outcome(control) == outcome
    other = control_of("d", "CONTRADICTED", positive=False, passed=True, conditions={})
    count = {"○ undefined": "1/2 passed, 1 undefined", "✓ passed": "2/2 passed", "✗ failed": "1/2 passed"}
    assert wording.controls_passed({"controls": [control, other]}) == count[outcome]


def test_runs_that_trained_nothing_are_counted_apart(written):
    head = shown(written.read_text().partition("</h1>")[2].partition("</p>")[0])
    runs = json.loads(written.with_suffix(".json").read_text())["runs"]
    assert f"2 to 5 seeds, {len(runs) - 1} training runs and 1 of a single step, of networks left untrained, " in head
    assert "this session took 0 min" in head


def test_controls_that_were_not_run_name_the_option(written):
    assert "--controls runs them" in shown(section_of(written, "seeds"))
    assert "--controls" not in shown(section_of(written, "overlap"))
    assert "--controls" not in shown(section_of(written, "phases"))


def test_variations_stand_beside_the_claim(written):
    own, varied = rows_of(section_of(written, "phases"), "Choice")
    assert own.startswith("as in the profile ? INCONCLUSIVE")
    assert varied.startswith(HOSTILE)
    assert varied.endswith("✗ CONTRADICTED one: -3.5 u 0.5 to open above 0 4")


def test_parts_show_noise_and_what_a_seed_counts(written):
    assert (
        "sampling noise is 40 % of the spread between seeds" in rows_of(section_of(written, "phases"), "Each seed")[0]
    )
    assert "failed at 4 none failed" in rows_of(section_of(written, "seeds"), "Each seed")[0]


def test_every_heading_of_a_table_says_what_it_heads(written):
    text = written.read_text()
    assert len(re.findall(r"<th[ >]", text)) == len(re.findall(r'<th scope="(?:col|row)"', text)) > 0


def test_hostile_text_is_escaped(written):
    text = written.read_text()
    assert "<img src=x" not in text
    assert text.count("<script") == text.count("</script>") == 4


def test_a_report_without_any_of_the_newer_keys(tmp_path):
    """What an older session or one that stopped early hands over still makes a page."""
    old = {key: REPORT[key] for key in ("profile", "purpose", "seeds", "written", "elapsed")}
    newer = ("controls", "variations", "expected", "looks", "unchecked")
    claim = {key: value for key, value in claim_of("phases", "SUPPORTED").items() if key not in newer}
    claim["conditions"] = runs_of("dense", OWN)
    path = write(tmp_path, {**old, "claims": [claim, REPORT["claims"][0]]})
    assert "1 of 1 judged claims SUPPORTED" in shown(path.read_text())


@pytest.mark.parametrize(
    "change", [lambda record: record.evidence.clear(), lambda record: [a.fill(np.inf) for a in embeddings(record)]]
)
def test_runs_without_evidence_or_with_infinite_coordinates_do_not_stop_the_report(tmp_path, change):
    """What a foreign store may hold: verdicts are made of rows, and stand without what illustrates them."""
    phases = [claim for claim in REPORT["claims"] if claim["claim"] == "phases"]
    path = write(tmp_path, {**REPORT, "claims": phases}, tmp_path / "figures", change)
    text = path.read_text()
    assert "INCONCLUSIVE" in section_of(path, "phases")
    manifolds, samples = re.findall(r'<script [^>]*type="application/json">(.*?)</script>', text, re.DOTALL)
    for data in (manifolds, samples):
        json.loads(data, parse_constant=refuse)


def embeddings(record):
    return [array for name, array in record.evidence.items() if name.endswith(".embedding")]


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON: the page's scripts would stop there")
