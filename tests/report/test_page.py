"""The report: what it must say, and in a real browser: self-contained, readable, and a manifold that turns."""

import json
import re
import shutil
from html import unescape
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from bumplab import profiles
from bumplab.measure.accuracy import MODES, TOLERANCE
from bumplab.measure.evaluate import SHOWN
from bumplab.profiles import QUICK
from bumplab.report import charts, figures, page, paper
from bumplab.runs.store import RunRecord, RunStore, run_key
from bumplab.verdicts.curves import Curves

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (make test installs it)")
HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"


def record_of(spec, rng):
    """A record as the trainer writes it, with planted numbers."""
    record = RunRecord(spec, seconds={"training": 3.0}, environment={"torch": "2"})
    n, size = 24, spec.data.image_size
    for step in spec.measured_steps():
        row = {"step": step, "loss": 0.1}
        for labels in ("on_grid", "off_grid", "in_hole"):
            row |= {f"{labels}.{key}": 0.5 for key in ("accuracy", "ceiling", *MODES)}
            record.evidence |= {
                f"{step}/{labels}.images": rng.integers(0, 255, (n, size, size)).astype(np.uint8),
                f"{step}/{labels}.labels": rng.uniform(0, size, (n, 2)).astype(np.float32),
                f"{step}/{labels}.positions": np.full((n, 2), np.nan, np.float32),
                f"{step}/{labels}.modes": rng.integers(0, 4, n).astype(np.uint8),
            }
        record.evidence |= {
            f"{step}/{tap}.embedding": rng.normal(size=(n, 3)).astype(np.float16) for tap in ("up1", "up1-features")
        }
        row |= {"up1-features.umap_r2": 0.25, "up1.umap_r2": 0.75}
        record.evidence[f"{step}/embedding.labels"] = rng.uniform(0, size, (n, 2)).astype(np.float32)
        record.rows.append(row)
    record.rows[-1]["bottleneck.signal"] = 0.2  # measured at the last step alone
    return record


def part_of(name, verdict, **given):
    return {
        "name": name, "unit": "u", "verdict": verdict, "reason": "r", "region": "above 0",
        "bounds": [0.0, None], "designed": 1.0, "why": HOSTILE,
        "judges": True, "datum": "", "effects": [[1.0, 1.0], [0.5, None]], "estimate": 1.0, "low": 0.5, "high": None,
        "stuck": False, **given,
    }  # fmt: skip


def claim_of(claim, verdict, **given):
    return {
        "claim": claim, "verdict": verdict, "unchecked": verdict, "reason": HOSTILE, "statement": HOSTILE,
        "source": "Fig. 3", "prediction": "p", "seeds": 2, "alpha": 0.0031, "looks": {"first": 2, "last": 5},
        "parts": [part_of("one", verdict)], "controls": [], "variations": [], "expected": None, "curves": {},
        "conditions": {}, **given,
    }  # fmt: skip


def runs_of(condition, specs):
    return {condition: [{"key": run_key(spec), "spec": json.loads(spec.to_json())} for spec in specs]}


OWN = [profiles.get("smoke").run(seed) for seed in (10, 11)]
LATER = profiles.get("smoke").run(12)  # a control may need more seeds than its claim
CONTROL = [profiles.get("smoke").shuffled(spec) for spec in OWN]
VARIED = [profiles.get("smoke").run(seed, sigma=2.0) for seed in (10, 11)]


def control_of(name, verdict, positive, passed, conditions):
    return {
        "name": name, "why": HOSTILE, "positive": positive, "verdict": verdict, "reason": HOSTILE, "seeds": 3,
        "parts": [part_of("one", verdict, estimate=0.125)], "passed": passed, "conditions": conditions,
    }  # fmt: skip


REPORT = {
    "profile": "smoke", "purpose": "test", "seeds": 2, "max_seeds": 5, "controls": True, "drift": False,
    "written": "now", "code": "0.1.0 (abc1234+)", "elapsed": 1.0,
    "saved": {"runs_used": 6, "runs_at_last_look": 15, "steps_used": 60, "steps_at_last_look": 240},
    "claims": [
        {"claim": "hole", "verdict": "ERROR", "reason": HOSTILE, "statement": "s", "source": "Fig. 9"},
        claim_of("seeds", "CONTRADICTED", curves={"on_grid.correct": "right"}, conditions={
            **runs_of("d=1", OWN), **runs_of("d=2", OWN), **runs_of("d=4", OWN)}, parts=[
            part_of("count", "CONTRADICTED", datum="log2 increments, then 1 for each run that failed",
                    effects=[[-1.0, 2.0, 0.0, 1.0], [-1.0, 2.0, 0.0, 0.0]])]),
        claim_of("density", "INCONCLUSIVE", curves={"on_grid.correct": "right"}, conditions={
            **runs_of("d=0.1", OWN), **runs_of("d=1", VARIED)},
            controls=[control_of("one name", "CONTRADICTED", False, True, runs_of("d=0.1", CONTROL))]),
        claim_of("overlap", "SUPPORTED", seeds=0, parts=[
            part_of("one", "SUPPORTED", effects=[[1.05, 1.05]], estimate=1.05, low=1.05, high=1.05)]),
        claim_of(
            "phases", "INCONCLUSIVE", unchecked="SUPPORTED",
            parts=[part_of(HOSTILE, "SUPPORTED", noise={"noise": 0.1, "spread": 0.25, "ratio": 0.4})],
            curves={"on_grid.correct": "right", "off_grid.corrected": "corrected", "bottleneck.signal": "at last"},
            conditions=runs_of("dense", OWN), expected={"verdict": "SUPPORTED", "why": HOSTILE},
            controls=[control_of(HOSTILE, "SUPPORTED", False, False, runs_of("dense", CONTROL)),
                      control_of("planted", "SUPPORTED", True, True, runs_of("dense", [*OWN, LATER]))],
            variations=[{"name": HOSTILE, "verdict": "CONTRADICTED", "reason": "r", "seeds": 4,
                         "parts": [part_of("one", "CONTRADICTED", estimate=-3.5)],
                         "conditions": runs_of("dense", VARIED)}],
        ),
    ],
}  # fmt: skip


def write(folder, report, figures_to=None):
    store = RunStore(folder / "runs")
    rng = np.random.default_rng(0)
    for spec in [*OWN, LATER, *CONTROL, *VARIED]:
        store.publish(record_of(spec, rng), b"")
    page.write(report, store, folder / "new" / "report.html", figures_to)
    return folder / "new" / "report.html"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write(tmp_path_factory.mktemp("report"), REPORT)


def section_of(written, claim):
    return written.read_text().partition(f'<h2 id="{claim}">')[2].partition("</section>")[0]


def shown(html):
    """The text a reader sees, on one line."""
    return " ".join(unescape(re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", html, flags=re.DOTALL)).split())


def rows_of(html, head):
    """The rows of the table that has this column, as text."""
    table = next(t for t in html.split("<table>")[1:] if f">{head}</th>" in t.partition("</thead>")[0])
    return [shown(row) for row in table.partition("</table>")[0].split("<tr>")[2:]]


def test_json_is_valid_and_claims_are_in_the_papers_order(written):
    body = json.loads(written.with_suffix(".json").read_text())
    assert [claim["claim"] for claim in body["claims"]] == ["phases", "density", "hole", "overlap", "seeds"]
    assert body["schema"] == page.SCHEMA == 3
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
    assert set(runs) == {run_key(spec) for spec in [*OWN, LATER, *CONTROL, *VARIED]}
    assert all(len(run["rows"]) == 3 for run in runs.values())
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
    assert "by bumplab 0.1.0 (abc1234+). Trained on unknown device, torch 2." in top


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


def test_figures_are_written_for_a_paper(tmp_path, monkeypatch):
    drawn_once, draw = [], figures.learning_curves
    monkeypatch.setattr(figures, "learning_curves", lambda *given: drawn_once.append(given) or draw(*given))
    write(tmp_path, REPORT, tmp_path / "figures")
    assert len(drawn_once) == 5  # three claims and two controls: the page and the folder share what is drawn
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    drawn = {
        "claims", "phases", "phases-control-1", "density", "density-paper", "density-control-1",
        "density-control-1-paper",
        "density-effects", "phases-effects", "overlap-paper", "seeds", "artefacts", "manifold-seed-10",
        "manifold-seed-11",
    }  # fmt: skip
    assert names == {f"{name}.{suffix}" for name in drawn for suffix in ("svg", "png")}
    assert all(path.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml") for path in (tmp_path / "figures").iterdir())


@pytest.mark.parametrize("claim", ["density", "sigma", "hole"])
def test_a_claim_without_conditions_has_no_figure_of_its_runs(claim):
    assert list(charts.of_claim(claim_of(claim, "INCONCLUSIVE"), {})) == []


def test_a_chart_that_cannot_be_drawn_is_a_line_and_costs_nothing_else(tmp_path, monkeypatch):
    def broken(*_):
        raise ValueError("no <such>\nnumber")

    monkeypatch.setattr(charts.paper, "artefacts", broken)
    monkeypatch.setattr(charts.effects, "forest", broken)
    monkeypatch.setattr(charts.figures, "learning_curves", broken)
    text = write(tmp_path, REPORT, tmp_path / "figures").read_text()
    said = shown(text)
    assert "The deciding effect of each claim: cannot be drawn (ValueError: no <such> number)" in said
    assert "What raw accuracy hides: cannot be drawn (ValueError: no <such> number)" in said
    assert said.count("Learning curves: cannot be drawn") == 5
    assert "d=0.1 0.5 0.5 1 1 0.25 0.75" in said  # the artefacts' table
    assert 'aria-label="The paper' in text
    names = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert "density-paper" in names
    assert not names & {"claims", "density", "artefacts"}


def test_names_that_look_like_formulas_are_drawn_as_they_are(tmp_path):
    claim = claim_of("phases", "SUPPORTED", curves={"on_grid.correct": "$cost"}, conditions=runs_of("$\\d_{$", OWN))
    claim["parts"][0]["name"] = "$\\no_{$"
    text = unescape(write(tmp_path, {**REPORT, "claims": [claim]}).read_text())
    assert "cannot be drawn" not in text
    assert all(f">{name}<" in text for name in ("$cost", "$\\d_{$", "phases: $\\no_{$"))


def test_learning_curves_go_on_where_one_seed_failed():
    runs = [
        Curves([{"step": s, "r2": v} for s, v in enumerate(curve)]) for curve in ([0.0, 0.2], [-0.4, 0.2, 0.6, 0.8])
    ]
    axis = figures.learning_curves({"d": runs}, {"r2": "R^2"}, {"d": ["a", "b"]}).axes[0]
    (mean,) = (line for line in axis.lines if line.get_marker() == "o")
    assert mean.get_xdata().tolist() == [0, 1, 2, 3]
    assert np.allclose(mean.get_ydata(), [-0.2, 0.2, 0.6, 0.8])
    assert axis.get_ylim()[0] < -0.4


def test_captions_say_what_a_figure_leaves_out(written):
    density = shown(section_of(written, "density"))
    assert "Colours are raw accuracy" in density
    assert "a seed that never does has no dot" in density
    assert "or at the nearest checkpoint whose samples this page holds" in density
    assert "Accuracy over its ceiling passes 1" not in density
    assert "Accuracy over its ceiling passes 1" in shown(section_of(written, "phases"))
    artefacts = shown(section_of(written, "artefacts"))
    assert "Seeds that failed are left out" in artefacts
    assert "UMAP tears them into islands" in artefacts
    _, hole = paper.FIGURES["hole"]
    for said in ("first 25 samples", "2,000 each at quick", "at least a pixel inside", "failed are left out"):
        assert said in hole
    assert (SHOWN, QUICK.hole_samples, TOLERANCE) == (25, 2_000, 1.0), "the caption of the hole's map says so"
    assert "where none was designed (overlap)" in shown(written.read_text().partition("<h2")[0])


def test_what_raw_accuracy_hides_is_drawn_and_in_numbers(written):
    dense, sparse = rows_of(section_of(written, "artefacts"), "Increment")
    assert dense == "d=0.1 0.5 0.5 1 1 0.25 0.75"
    assert sparse.startswith("d=1 ")
    own = shown(section_of(written, "density")).count("The claim's own runs.")
    control = section_of(written, "density").count("Control: one name.")
    assert (own, control) == (2, 2)  # the paper's figure and the learning curves


def test_controls_say_what_they_must_be_and_whether_they_passed(written):
    broken, planted = rows_of(section_of(written, "phases"), "Must be")
    assert re.search(r"not SUPPORTED ✓ SUPPORTED ✗ failed one: 0.125 u 0.5 to open 3$", broken)
    assert re.search(r"not CONTRADICTED ✓ SUPPORTED ✓ passed one: 0.125 u 0.5 to open 3$", planted)


def test_a_control_with_runs_of_its_own_has_its_curves_beside_the_claims(written):
    captions = [
        shown(caption) for caption in re.findall(r"<figcaption>.*?</figcaption>", section_of(written, "phases"), re.S)
    ]
    assert [caption.split(".")[0] for caption in captions[:2]] == [
        "The claim's own runs",
        f"Control: {HOSTILE}".split(".")[0],
    ]


def test_every_control_stands_beside_its_claim_whatever_it_changes(written):
    phases = section_of(written, "phases")
    drawn = phases.partition('aria-label="Effects beside those of its controls')[2].partition("</figure>")[0]
    assert ">planted<" in drawn  # it changes measurements alone, and has no runs of its own to draw
    assert drawn.count(">(a world where it is ") == 2
    assert "Effects beside" not in section_of(written, "overlap") + section_of(written, "seeds")


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


def test_samples_are_marked_where_the_bump_should_be():
    """A bump rendered at its label lies under its mark on the sheet."""
    import base64

    import cv2
    import torch

    from bumplab.data.bumps import render

    spec = profiles.get("smoke").run(0)
    labels = torch.tensor([[4.0, 9.0], [12.0, 3.0]])
    record = RunRecord(spec, [{"step": 0}])
    record.evidence = {
        "0/on_grid.images": render(labels, 16, 1.0).round().to(torch.uint8).numpy(),
        "0/on_grid.labels": labels.numpy(),
        "0/on_grid.positions": labels.numpy(),
        "0/on_grid.modes": np.array([3, 3], np.uint8),
    }
    sheet = figures.sample_sheet(record, 0)
    png = np.frombuffer(base64.b64decode(sheet["image"].partition(",")[2]), np.uint8)
    pixels = cv2.imdecode(png, cv2.IMREAD_GRAYSCALE)
    for mark in sheet["marks"]:
        x, y = mark["asked"]
        assert pixels[int(y), int(x)] == 0  # the bump's darkest pixel
        assert mark["found"] == mark["asked"]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


@pytest.mark.browser
@needs_browser
class TestInABrowser:
    @pytest.fixture
    def opened(self, browser, written):
        tab = browser.new_page()
        tab.problems, tab.requests = [], []
        tab.on("console", lambda message: tab.problems.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: tab.problems.append(str(error)))
        tab.on("request", lambda request: tab.requests.append(request.url))
        tab.goto(written.as_uri())
        yield tab
        tab.close()

    def test_it_opens_without_errors_or_requests(self, opened, written):
        assert opened.problems == []
        assert [url for url in opened.requests if not url.startswith("data:")] == [written.as_uri()]
        assert opened.locator("main h2").count() == 6

    def test_hostile_text_is_shown_and_not_run(self, opened):
        assert opened.evaluate("window.hacked") is None
        assert "window.hacked = 1" in opened.locator("body").inner_text()

    def test_the_manifold_is_drawn_and_turns(self, opened):
        snapshot = "document.getElementById('cloud').toDataURL()"
        first = opened.evaluate(snapshot)
        blank = opened.evaluate("(() => { const c = document.createElement('canvas'); c.width = c.height = 640;"
                                "return c.toDataURL() })()")  # fmt: skip
        assert first != blank
        opened.locator("#cloud").focus()
        opened.keyboard.press("ArrowRight")
        by_key = opened.evaluate(snapshot)
        assert by_key != first
        box = opened.locator("#cloud").bounding_box()
        opened.mouse.move(box["x"] + 50, box["y"] + 50)
        opened.mouse.down()
        opened.mouse.move(box["x"] + 120, box["y"] + 80)
        opened.mouse.up()
        assert opened.evaluate(snapshot) != by_key

    def test_a_checkpoint_shows_its_own_samples(self, opened):
        visible = "[...document.querySelectorAll('.sheet')].filter(s => !s.hidden).map(s => s.dataset.step)"
        assert opened.evaluate(visible) == ["12"]
        opened.locator("#step").fill("0")
        assert opened.evaluate(visible) == ["0"]
        assert opened.locator("#step-name").inner_text() == "step 0"

    def test_a_point_of_a_curve_opens_its_checkpoint(self, opened):
        point = opened.locator(".chart a").nth(1)
        asked = point.get_attribute("xlink:href")
        point.scroll_into_view_if_needed()
        box = point.bounding_box()
        opened.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        dialog = opened.locator("#checkpoint")
        dialog.wait_for(state="visible")
        assert asked.endswith("/6")
        assert opened.locator("#checkpoint-name").inner_text().endswith(", step 6")
        assert opened.locator("#checkpoint-modes li").count() == page.SHOWN_SIDE**2
        assert opened.locator("#checkpoint-sheet .asked").count() == page.SHOWN_SIDE**2
        opened.locator("#later").click()
        assert opened.locator("#checkpoint-name").inner_text().endswith(", step 12")
        assert opened.locator("#later").is_disabled()
        opened.keyboard.press("Escape")
        assert not dialog.is_visible()
        assert opened.evaluate("location.hash") == ""

    def test_a_run_opens_by_keyboard_and_says_how_to_repeat_it(self, opened):
        opened.locator("section details summary").first.click()
        opened.locator("section details a").first.focus()
        opened.keyboard.press("Enter")
        opened.locator("#checkpoint").wait_for(state="visible")
        opened.locator("#checkpoint summary").click()
        command = opened.locator("#checkpoint-command").inner_text()
        assert command == f"python -m bumplab train '{OWN[0].to_json()}' --runs-dir again"

    @pytest.mark.parametrize("address", ["#nothing/5", "#%", "#__proto__/1", "#constructor/0"])
    def test_an_address_of_nothing_opens_nothing(self, opened, written, address):
        opened.goto("about:blank")
        opened.goto(written.as_uri() + address)
        assert not opened.locator("#checkpoint").is_visible()
        assert [problem for problem in opened.problems if "URI" not in problem] == []

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("dialog", [False, True])
    def test_an_accessibility_check_finds_nothing_serious(self, browser, written, scheme, dialog):
        from axe_playwright_python.sync_playwright import Axe

        tab = browser.new_page(bypass_csp=True, color_scheme=scheme)  # the check is a script of its own
        tab.goto(written.as_uri() + (f"#{run_key(OWN[0])}/6" if dialog else ""))
        assert tab.locator("#checkpoint").is_visible() == dialog
        found = Axe().run(tab).response["violations"]
        tab.close()
        serious = [f"{v['id']}: {v['nodes'][0]['html'][:120]}" for v in found if v["impact"] in ("serious", "critical")]
        assert serious == []

    def test_charts_have_text_of_one_size(self, opened):
        """Each has the room its own width asks for, and not that of some number of panels."""
        scales = "[...document.querySelectorAll('.charts .chart svg')].map(s => s.getBoundingClientRect().width / s."
        found = opened.evaluate(scales + "viewBox.baseVal.width)")
        assert len(found) > 5
        assert max(found) / min(found) < 1.5

    def test_on_a_phone_a_charts_text_can_be_read_and_its_caption_stays(self, opened):
        """A chart scrolls above its caption, by keyboard too, and its tallest text has at least 10 pixels."""
        opened.set_viewport_size({"width": 390, "height": 800})
        heights = "[...document.querySelectorAll('.charts .chart, .forest .chart')].map(c => Math.max(...[...c."
        heights += "querySelectorAll('text')].map(t => t.getBoundingClientRect().height)))"
        assert min(opened.evaluate(heights)) >= 10
        assert opened.evaluate("[...document.querySelectorAll('figure')].every(f => f.scrollWidth <= f.clientWidth)")
        assert opened.evaluate("[...document.querySelectorAll('.chart')].every(c => c.tabIndex === 0)")

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_a_phone_shows_it_without_scrolling_sideways(self, opened, scheme):
        opened.emulate_media(color_scheme=scheme)
        opened.set_viewport_size({"width": 390, "height": 800})
        assert opened.evaluate("document.documentElement.scrollWidth <= 390")

    def test_on_paper_nothing_is_cut_off(self, opened):
        """What scrolls sideways on a screen must fit the 718 CSS pixels of an A4 page within its margins."""
        opened.emulate_media(media="print")
        opened.set_viewport_size({"width": 718, "height": 1000})
        cut = "[...document.querySelectorAll('.wide, .chart')].map(e => e.scrollWidth - e.clientWidth)"
        assert max(opened.evaluate(cut)) <= 0
        assert opened.evaluate("document.documentElement.scrollWidth <= 718")
