"""The report in a real browser: self-contained, readable, and a manifold that turns."""

import shutil

import pytest

from bumplab.report import page
from bumplab.runs.store import run_key
from tests.report.planted import OWN

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (make test installs it)")


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
