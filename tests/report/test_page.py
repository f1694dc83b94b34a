"""The report in a real browser: self-contained, readable, and a manifold that turns."""

import json
import shutil

import numpy as np
import pytest

from bumplab import profiles
from bumplab.measure.accuracy import MODES
from bumplab.report import figures, page
from bumplab.runs.store import RunRecord, RunStore, run_key

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
        record.evidence[f"{step}/embedding.labels"] = rng.uniform(0, size, (n, 2)).astype(np.float32)
        record.rows.append(row)
    return record


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    store = RunStore(folder / "runs")
    rng = np.random.default_rng(0)
    specs = [profiles.get("smoke").run(seed) for seed in range(2)]
    for spec in specs:
        store.publish(record_of(spec, rng), b"")
    part = {
        "name": HOSTILE, "unit": "u", "verdict": "SUPPORTED", "reason": "r", "region": "above 0", "why": HOSTILE,
        "judges": True, "pair": "", "effects": [[1.0, 1.0], [0.5, None]], "estimate": 1.0, "low": 0.5, "high": None,
    }  # fmt: skip
    claims = [
        {
            "claim": "hole", "verdict": "ERROR", "reason": HOSTILE, "statement": "s", "source": "Fig. 9",
        },
        {
            "claim": "phases", "verdict": "SUPPORTED", "reason": HOSTILE, "seeds": 2, "alpha": 0.0125, "parts": [part],
            "statement": HOSTILE, "source": "Fig. 3", "prediction": "p",
            "curves": {"on_grid.correct": "right", "off_grid.corrected": "corrected"},
            "conditions": {"dense": [{"key": run_key(s), "spec": json.loads(s.to_json())} for s in specs]},
        },
    ]  # fmt: skip
    report = {"profile": "smoke", "purpose": "test", "seeds": 2, "written": "now", "elapsed": 1.0, "claims": claims}
    page.write(report, store, folder / "new" / "report.html")
    return folder / "new" / "report.html"


def test_json_is_valid_and_claims_are_in_the_papers_order(written):
    body = json.loads(written.with_suffix(".json").read_text())
    assert [claim["claim"] for claim in body["claims"]] == ["phases", "hole"]
    assert body["schema"] == page.SCHEMA
    assert len(body["runs"]) == 2


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
        assert opened.locator("h2").count() == 2

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

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_a_phone_shows_it_without_scrolling_sideways(self, opened, scheme):
        opened.emulate_media(color_scheme=scheme)
        opened.set_viewport_size({"width": 390, "height": 800})
        assert opened.evaluate("document.documentElement.scrollWidth <= 390")
