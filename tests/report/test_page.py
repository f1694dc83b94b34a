"""The report: what its page and its summary must say."""

import dataclasses
import json
import math
import re
import shlex

import numpy as np
import pytest
from msgspec.structs import replace

from bumplab.config import LAYER_4, ROLES
from bumplab.report import document, page
from bumplab.report.wording import SHARE_KEPT
from bumplab.runs.store import RunRecord, run_key
from bumplab.verdicts.error_rate import Looks
from tests.report.planted import (
    DENSITY,
    ERROR,
    FOREIGN,
    HOSTILE,
    OWN,
    PHASES,
    SKIPPED,
    SPECS,
    SUBJECT,
    claim_of,
    part_of,
    report_of,
    rows_of,
    runs_of,
    section_of,
    shown,
    write,
)


def test_the_top_says_what_was_found_used_and_checked(written):
    phases, _, overlap, seeds, hole = rows_of(written.read_text(), "Profile")
    assert "? INCONCLUSIVE SUPPORTED before its controls expected SUPPORTED" in phases
    assert "2 of at most 5 1/2 passed" in phases
    assert "! ERROR" in hole
    assert "no verdict" in hole
    assert "1.05 u exact" in overlap
    assert "needs no runs none needed" in overlap
    assert "2 of at most 5 not run" in seeds
    top = shown(written.read_text().partition("<h2")[0])
    for words in (
        "1 of 4 judged claims SUPPORTED ; 1 more without a verdict",
        "saved 9 runs, 75 % of the training steps",
        f"2 to 5 seeds, {len(SPECS) - 1} training runs and 1 of a single step",
        "this session took 0 min",
        "by bumplab 0.1.0 (abc1234+). Trained on unknown device, torch 2, float32, with umap-learn of some",
    ):
        assert words in top
    forest = written.read_text().partition('<figure class="forest">')[2].partition("</figure>")[0]
    assert all(f"{claim}: " in forest for claim in ("phases", "overlap", "seeds"))
    assert "hole: " not in forest
    assert "<script" not in forest


def test_the_dialog_promises_no_more_than_its_command_can_do(written):
    dialog = shown(written.read_text().partition('<dialog id="checkpoint"')[2].partition("</dialog>")[0])
    assert "pytest claims --gpu --exact" in dialog
    assert "nearer one" in dialog


def test_machines_are_named_with_what_decides_their_numbers():
    record, bf16 = RunRecord(OWN[0]), replace_in(OWN[0], "training", precision="bf16")
    library = "with umap-learn of some version and OpenCV of some version"
    cases = [
        (record, {}, f"unknown device, float32, {library}"),
        (record, {"device": "x86_64", "instructions": "AVX2", "threads": 1, "torch": "2"},
         f"x86_64 (AVX2), 1 thread, torch 2, float32, {library}"),
        (record, {"device": "H200", "instructions": "cuda", "threads": 2, "before": "a CPU"},
         f"H200 (cuda), 2 threads, TF32, {library}, before: a CPU"),
        (RunRecord(bf16), {"bf16": True}, f"unknown device, bf16, {library}"),
        (RunRecord(bf16), {}, f"unknown device, float32, {library} (the profile asks for bf16"),
    ]  # fmt: skip
    for case, environment, words in cases:
        assert page._machine(dataclasses.replace(case, environment=environment)).startswith(words), environment


def replace_in(spec, part, **changes):
    return dataclasses.replace(spec, **{part: dataclasses.replace(getattr(spec, part), **changes)})


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """The page of a subject that has layer 4 before its label alone. Its runs hold NaN for all other roles."""
    folder = tmp_path_factory.mktemp("foreign")
    runs = {**runs_of("d=0.1", FOREIGN), **runs_of("d=1", FOREIGN)}
    phases = replace(PHASES, controls=[], variations=[], conditions=runs, curves={f"{LAYER_4[1]}.umap_r2": "R^2"})
    density = replace(DENSITY, controls=[], conditions=runs)
    return write(folder, report_of(phases, density, SKIPPED, subject=SUBJECT), folder / "figures", lacking(ROLES[1:]))


def lacking(roles):
    def change(record):
        for row in record.rows:
            row |= {name: math.nan for name in row if name.startswith(tuple(f"{role}." for role in roles))}
        for name, array in record.evidence.items():
            if name.endswith(tuple(f"/{role}.embedding" for role in roles)):
                array.fill(np.nan)

    return change


def test_the_page_of_a_users_subject_says_what_was_put_to_the_claims(foreign, written):
    top = shown(foreign.read_text().partition("<h2")[0])
    for words in (
        "Claims of the paper, put to it's.py:subject, k=$(id)",
        f"A generator. {HOSTILE}. Its roles: layer4 is its last layer {HOSTILE}. It lacks layer4-injected, encoder",
        "0 of 2 judged claims SUPPORTED ; 1 skipped",
        "at this profile only, and for this subject",
    ):
        assert words in top
    assert "<script>window" not in foreign.read_text()
    summary = foreign.with_suffix(".md").read_text()
    assert "put to it&#39;s.py:subject, k=$(id). A generator. " in summary
    assert "<img" not in summary
    built_in = written.read_text() + written.with_suffix(".md").read_text()
    assert not re.search("put to|for this subject|SKIPPED: ", built_in)


def test_a_skipped_claim_stands_in_its_place_with_its_reason(foreign):
    (row,) = (row for row in rows_of(foreign.read_text(), "Profile") if row.startswith("bottleneck"))
    assert f"- SKIPPED {HOSTILE}. {SHARE_KEPT} no verdict" in row
    section = shown(section_of(foreign, "bottleneck"))
    assert f"Why it was skipped. {HOSTILE}. {SHARE_KEPT}" in section
    assert "Why this verdict" not in section
    (line,) = (line for line in foreign.with_suffix(".md").read_text().splitlines() if line.startswith("| bottleneck"))
    assert "- SKIPPED" in line
    assert SHARE_KEPT in line


def test_roles_that_a_subject_lacks_leave_gaps_and_stop_no_figure(foreign, tmp_path):
    text = foreign.read_text()
    assert "cannot be drawn" not in text
    assert re.findall(r'<option value="([^"]+)">', text.partition('id="role"')[2].partition("</select>")[0]) == [
        "layer4"
    ]
    assert rows_of(section_of(foreign, "artefacts"), "Increment")[0] == "d=0.1 0.5 0.5 1 1 0.25 undefined"
    assert (foreign.parents[1] / "figures" / "manifold-seed-10.png").exists()
    report = document.decode(foreign.with_suffix(".json").read_bytes())
    assert report.runs[run_key(FOREIGN[0])].rows[0][f"{LAYER_4[1]}.umap_r2"] is None
    none = replace(PHASES, controls=[], variations=[], conditions=runs_of("dense", FOREIGN))
    bare = write(tmp_path, report_of(none, subject=SUBJECT), tmp_path / "figures", lacking(ROLES))
    assert "have no representation of layer 4" in bare.read_text()
    assert not list((tmp_path / "figures").glob("manifold*"))


def test_the_command_that_repeats_a_run_names_the_users_subject_and_runs_nothing_else(foreign):
    """A subject's name can hold a quote and its arguments a command, as a report may come from others."""
    data = json.loads(re.search(r'<script id="samples"[^>]*>(.*?)</script>', foreign.read_text(), re.S)[1])
    words = shlex.split(data[run_key(FOREIGN[0])]["command"])
    expected = ["python", "-m", "bumplab", "train", FOREIGN[0].to_json(), "--runs-dir", "again"]
    assert words == [*expected, "--subject", "it's.py:subject", "--subject-arg", "k=$(id)"]


def test_checkpoints_are_spaced_evenly_with_the_first_and_the_last():
    assert page._spaced(range(10), 4) == [0, 3, 6, 9]
    assert page._spaced([0, 5, 9], 3) == [0, 5, 9]
    assert page._spaced(range(10), 2) == [0, 9]


def test_a_run_on_a_gpu_is_repeated_on_one():
    for instructions, end in {"cuda": "--runs-dir again --gpu", "AVX2": "--runs-dir again"}.items():
        record = RunRecord(OWN[0], [{"step": 0.0}], environment={"instructions": instructions})
        assert page._samples(record, 2)["command"].endswith(end)


def test_what_has_no_interval_says_why_at_the_top(tmp_path):
    part = part_of("kappa", "INCONCLUSIVE", estimate=None, low=None, high=None, reason="kappa is undefined")
    written = write(tmp_path, report_of(claim_of("coupling", "INCONCLUSIVE", parts=[part])))
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
    mentions = {claim: "--controls" in section_of(written, claim) for claim in ("seeds", "overlap", "phases")}
    assert mentions == {"seeds": True, "overlap": False, "phases": False}, "named where controls were not run"


def test_variations_stand_beside_the_claim(written):
    own, varied = rows_of(section_of(written, "phases"), "Choice")
    assert own.startswith("as in the profile ? INCONCLUSIVE")
    assert varied.startswith(HOSTILE)
    assert varied.endswith("✗ CONTRADICTED one: -3.5 u 0.5 to open above 0 4")


def test_parts_show_noise_and_what_a_seed_counts(written):
    assert "sampling noise is 40 %" in rows_of(section_of(written, "phases"), "Each seed")[0]
    assert "failed at 4 none failed" in rows_of(section_of(written, "seeds"), "Each seed")[0]


def test_every_heading_of_a_table_says_what_it_heads_and_hostile_text_is_escaped(written):
    text = written.read_text()
    assert len(re.findall(r"<th[ >]", text)) == len(re.findall(r'<th scope="(?:col|row)"', text)) > 0
    assert "<img src=x" not in text
    assert text.count("<script") == text.count("</script>") == 4


def test_a_report_of_which_little_is_known(tmp_path):
    """A session that stopped early, with one look, no runs that are stored and no commit."""
    path = write(tmp_path, report_of(claim_of("phases"), ERROR, looks=Looks(2, 2), saved=None, code=""))
    top = shown(path.read_text().partition("<h2")[0])
    assert "1 of 1 judged claims SUPPORTED" in top
    assert "), 2 seeds, 0 training runs, " in top
    assert "by bumplab" not in top


def test_runs_without_evidence_or_with_infinite_coordinates_do_not_stop_the_report(tmp_path):
    """What a foreign store may hold: verdicts are made of rows, and stand without what illustrates them."""
    report = report_of(replace(PHASES, controls=[], variations=[], conditions=runs_of("dense", OWN)))
    for name, change in {"empty": lambda record: record.evidence.clear(), "infinite": fill_embeddings}.items():
        path = write(tmp_path / name, report, tmp_path / name / "figures", change)
        text = path.read_text()
        assert "INCONCLUSIVE" in section_of(path, "phases"), name
        manifolds, samples = re.findall(r'<script [^>]*type="application/json">(.*?)</script>', text, re.DOTALL)
        for data in (manifolds, samples):
            json.loads(data, parse_constant=refuse)


def fill_embeddings(record):
    for name, array in record.evidence.items():
        if name.endswith(".embedding"):
            array.fill(np.inf)


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON: the page's scripts would stop there")
