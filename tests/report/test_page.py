"""The report: what its page and its summary must say."""

import dataclasses
import json
import math
import re
import shlex

import numpy as np
import pytest
from msgspec.structs import replace

from bumplab.config import ROLES
from bumplab.report import document, page
from bumplab.report.wording import SHARE_KEPT
from bumplab.runs.store import RunRecord, run_key
from bumplab.verdicts.looks import Looks
from tests.report.planted import (
    DENSITY,
    ERROR,
    FOREIGN,
    HOSTILE,
    OWN,
    PHASES,
    REPORT,
    SKIPPED,
    SPECS,
    SUBJECT,
    claim_of,
    report_of,
    rows_of,
    runs_of,
    section_of,
    shown,
    write,
)


def card_of(written, claim):
    """What the page shows of a claim before anything is unfolded."""
    return section_of(written, claim).partition("<details")[0]


def test_the_top_says_what_was_found_and_how_far_to_trust_it(written):
    top = shown(written.read_text().partition("<h2")[0])
    for words in (
        "1 of 4 judged claims SUPPORTED ; 1 more without a verdict",
        "✗ CONTRADICTED: seeds",
        "EXPLORATORY. The error rate holds for registered claims",
    ):
        assert words in top
    text = shown(written.read_text())
    assert not re.search("falsely", text), "no rate holds"
    about = shown(section_of(written, "about"))
    for words in (
        "saved 9 runs, 75 % of the training steps",
        f"2 to 5 seeds, {len(SPECS) - 1} training runs and 1 of a single step",
        "this session took 0 min",
        "by bumplab 0.1.0 (abc1234+). Trained on unknown device, torch 2, float32, with umap-learn of some",
    ):
        assert words in about


def test_a_card_has_the_verdict_what_was_seen_the_papers_words_marks_and_evidence(written):
    phases, density, overlap, seeds, hole = (
        shown(card_of(written, claim)) for claim in ("phases", "density", "overlap", "seeds", "hole")
    )
    assert phases.startswith(
        "phases ? INCONCLUSIVE EXPLORATORY In 2 of 2 seeds it rises, but the control did not come out as it must"
    )
    for words in (
        "the paper's words",
        "SUPPORTED before its controls. Accepted for this project: SUPPORTED.",
        "● ●",
        "enough evidence for: 200",
    ):
        assert words in phases
    assert "Not testable at this profile: seen too seldom." in density
    assert "✕ ✕ ○" in seeds
    assert "In 0 of 3 seeds it rises; 1 cannot tell." in seeds
    assert f"Predictions: ✓ one; ✓ {HOSTILE} (not judged)." in phases
    assert "enough evidence against: 200 (needed 180)" in seeds
    assert "Computed exactly, it rises: 1.05 (u)." in overlap
    assert "nothing is drawn at random" in overlap
    assert hole.startswith("hole ! ERROR")
    folded = {claim: shown(section_of(written, claim)) for claim in ("phases", "overlap", "seeds")}
    assert "one, decided after 2 of at most 5 seeds; controls: 1/2 recognised" in folded["phases"]
    assert "one, needs no runs; controls: none needed" in folded["overlap"]
    assert "controls: not run" in folded["seeds"]


def test_a_page_without_samples_keeps_its_words_and_says_what_it_leaves_out(tmp_path, written):
    bare = write(tmp_path, REPORT, with_samples=False)
    for claim in ("phases", "density", "overlap", "seeds", "hole"):
        assert card_of(bare, claim) == card_of(written, claim), claim
    assert section_of(bare, "fig-3").count("<svg") == 3, "Fig. 3 stays"
    assert "--no-samples" in section_of(bare, "about")
    assert "The runs behind it" not in bare.read_text()
    assert "<canvas" not in bare.read_text()
    assert len(bare.read_text()) < 0.6 * len(written.read_text())


def test_runs_whose_images_were_not_kept_are_counted(written, tmp_path):
    """Such as runs of an archive without draws. The report has all else."""
    report = report_of(claim_of("density", conditions=runs_of("dense", OWN)))
    for without in (OWN[:1], OWN):

        def forget(record, without=without):
            if record.spec in without:
                record.evidence = {}

        folder = tmp_path / str(len(without))
        text = shown(write(folder, report, change=forget).read_text())
        assert f"The images of {len(without)} of 2 runs were not kept" in text
    assert "runs were not kept" not in shown(written.read_text())


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
    phases = replace(PHASES, controls=[], variations=[], conditions=runs, curves={"bottleneck.order": "O"})
    density = replace(DENSITY, controls=[], conditions=runs)
    return write(folder, report_of(phases, density, SKIPPED, subject=SUBJECT), folder / "figures", lacking(ROLES[1:]))


def lacking(roles):
    """Makes a record that of a subject which lacks these roles."""
    prefixes = tuple(f"{role}." for role in roles)

    def change(record):
        for row in record.rows:
            row |= {name: math.nan for name in row if name.startswith(prefixes)}
        for name, array in record.evidence.items():
            if name.partition("/")[2].startswith(prefixes):
                array.fill(np.nan)

    return change


def test_the_page_of_a_users_subject_says_what_was_put_to_the_claims(foreign, written):
    top = shown(foreign.read_text().partition("<h2")[0])
    for words in (
        "Claims of the paper, put to it's.py:subject, k=$(id)",
        f"A generator. {HOSTILE}. Its roles: layer4 is its last layer {HOSTILE}. It lacks layer4-injected, encoder",
        "0 of 2 judged claims SUPPORTED ; 1 skipped",
    ):
        assert words in top
    assert "at this profile only, and for this subject" in shown(section_of(foreign, "about"))
    assert "<script>window" not in foreign.read_text()
    summary = foreign.with_suffix(".md").read_text()
    assert "put to it&#39;s.py:subject, k=$(id). A generator. " in summary
    assert "<img" not in summary
    built_in = written.read_text() + written.with_suffix(".md").read_text()
    assert not re.search("put to|for this subject|SKIPPED: ", built_in)


def test_a_skipped_claim_stands_in_its_place_with_its_reason(foreign):
    section = shown(section_of(foreign, "bottleneck"))
    assert section.startswith(f"bottleneck - SKIPPED {HOSTILE}. {SHARE_KEPT}")
    assert "Why this verdict" not in section
    (line,) = (line for line in foreign.with_suffix(".md").read_text().splitlines() if line.startswith("| bottleneck"))
    assert "- SKIPPED" in line
    assert SHARE_KEPT in line


def test_roles_that_a_subject_lacks_leave_gaps_and_stop_no_figure(foreign, tmp_path):
    assert "cannot be drawn" not in foreign.read_text()
    anyway = rows_of(section_of(foreign, "anyway"), "Measure")
    assert any("bottleneck undefined" in row for row in anyway)
    report = document.decode(foreign.with_suffix(".json").read_bytes())
    assert report.runs[run_key(FOREIGN[0])].rows[-1]["bottleneck.order"] is None
    none = replace(PHASES, controls=[], variations=[], conditions=runs_of("dense", FOREIGN))
    bare = write(tmp_path, report_of(none, subject=SUBJECT), tmp_path / "figures", lacking(ROLES)).read_text()
    assert "have no representation of layer 4" in bare
    assert "F is not known" in shown(bare)
    assert "cannot be drawn" not in bare


def test_the_papers_figure_of_the_phases_stands_before_any_claim(written):
    section = section_of(written, "fig-3")
    assert written.read_text().index(section) < written.read_text().index('<h2 id="phases">')
    figure = section.partition("<details")[0]
    assert figure.count("<svg") == 3
    for words in ("A, before single bumps: 0 %", "88 % of the images", "as told F"):
        assert words in shown(figure)


def test_what_would_have_been_seen_anyway_stands_in_numbers(written):
    anyway = rows_of(section_of(written, "anyway"), "Measure")
    assert any("white canvas, told the true labels 0.97 0.94" in row for row in anyway)
    assert any("d=0.1: 0.56; d=1: 0.56" in row for row in anyway), "the ceiling at each increment of density"


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
        assert page._dialog(record, 2)["command"].endswith(end)


def test_the_summary_is_a_table_in_markdown_that_nothing_breaks_out_of(written):
    text = written.with_suffix(".md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {7}
    assert rows[2].startswith("| phases | ? INCONCLUSIVE (EXPLORATORY) (expected SUPPORTED) | one: in 2 of 2 seeds")
    assert "<script" not in text
    assert "1 of 4 judged claims SUPPORTED at the profile smoke" in text


def test_controls_say_what_they_must_be_and_whether_they_were_recognised(written):
    broken, planted = rows_of(section_of(written, "phases"), "Came out")
    counted = (
        "one ● ● In 2 of 2 seeds it rises, evidence 200 (needed 180) 1 10 100 enough evidence for: 200 (needed 180) 3"
    )
    assert broken.endswith(f"✓ SUPPORTED ✗ not recognised must be CONTRADICTED {counted}")
    assert planted.endswith(f"✓ SUPPORTED ✓ recognised must be SUPPORTED {counted}")
    mentions = {claim: "<code>--controls" in section_of(written, claim) for claim in ("seeds", "overlap", "phases")}
    assert mentions == {"seeds": True, "overlap": False, "phases": False}, "named where controls were not run"


def test_variations_stand_beside_the_claim(written):
    own, varied = rows_of(section_of(written, "phases"), "Choice")
    assert own.startswith("as in the profile ? INCONCLUSIVE")
    assert varied.startswith(HOSTILE)
    assert "✗ CONTRADICTED EXPLORATORY one ● ● In 0 of 4 seeds it rises" in varied
    assert varied.endswith("above 0 4")


def test_parts_show_the_papers_words_their_seeds_and_their_premise(written):
    judged, only_shown = rows_of(section_of(written, "phases"), "Each seed")
    assert judged.startswith(f"one the paper's words {HOSTILE} ✓ SUPPORTED ● ● In 2 of 2 seeds")
    assert "mean 1 u, 95 % t interval 0.5 to 1.5" in judged
    assert "shown, not judged" in only_shown
    (pace,) = rows_of(section_of(written, "density"), "Each seed")
    assert (
        "It holds for 0 of 2 seeds: the median of visits is 2.5 times, needed above 9. That is fewer than half" in pace
    )
    section = section_of(written, "seeds")
    assert 'title="seed 10: -1, out of the region"' in section
    assert 'title="seed 12: level not reached, neither in nor out"' in section


def test_bars_of_evidence_end_where_the_evidence_lies(written):
    """The line of what is needed stands at 110 from their beginning."""
    bars = re.findall(r'width="([\d.]+)" height="7" fill="#\w+" class="bar-(\w+)"', card_of(written, "seeds"))
    assert bars == [("0.5", "in"), (f"{110 * math.log(200) / math.log(180) + 0.5:.1f}", "out")]


def test_every_heading_of_a_table_says_what_it_heads_and_hostile_text_is_escaped(written):
    text = written.read_text()
    assert len(re.findall(r"<th[ >]", text)) == len(re.findall(r'<th scope="(?:col|row)"', text)) > 0
    assert "<img src=x" not in text
    assert text.count("<script") == text.count("</script>") == 4


def test_a_report_of_which_little_is_known(tmp_path):
    """A session that stopped early, with one look, no runs that are stored and no commit."""
    path = write(tmp_path, report_of(claim_of("phases"), ERROR, looks=Looks(2, 2, 180.0), saved=None, code=""))
    assert "1 of 1 judged claims SUPPORTED" in shown(path.read_text().partition("<h2")[0])
    about = shown(section_of(path, "about"))
    assert " 2 seeds, 0 training runs, " in about
    assert "by bumplab" not in about


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
        checkpoints = [len(dialog["sheets"]) for dialog in json.loads(samples).values()]
        assert all(checkpoints) if name == "infinite" else not any(checkpoints), "none opens without samples"


def fill_embeddings(record):
    for name, array in record.evidence.items():
        if name.endswith(".embedding"):
            array.fill(np.inf)


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON: the page's scripts would stop there")
