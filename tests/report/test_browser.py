"""The report in a real browser: self-contained, readable, and a manifold that turns."""

import shutil

import pytest
from msgspec.structs import replace

from bumplab.report import document, matrix, page
from bumplab.runs.store import run_key
from tests.report.planted import ERROR, OWN, PHASES, SKIPPED, SUBJECT, report_of, write

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


def unfold(tab):
    tab.evaluate("for (const details of document.querySelectorAll('main details')) details.open = true")


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

    def test_it_opens_without_errors_or_requests_and_shows_hostile_text(self, opened, written):
        assert opened.problems == []
        assert [url for url in opened.requests if not url.startswith("data:")] == [written.as_uri()]
        assert opened.locator("main h2").count() == 8, "Fig. 3, five claims, what would be seen anyway, and the session"
        assert opened.evaluate("window.hacked") is None
        assert "window.hacked = 1" in opened.locator("body").inner_text()

    @pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
    def test_each_claim_is_told_before_anything_is_unfolded(self, opened, width, height):
        opened.set_viewport_size({"width": width, "height": height})
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
        for claim in ("phases", "density", "overlap", "seeds"):
            card = opened.locator(f".card:has(#{claim})")
            for part in ("h2 .verdict", ".seen", ".seen + .note", ".chart"):
                assert card.locator(part).is_visible(), (claim, part)
                box = card.locator(part).bounding_box()
                assert 0 <= box["x"] < box["x"] + box["width"] <= width, (claim, part)
            if width < 400:
                assert card.locator(".seen").bounding_box()["width"] > 0.8 * width, "words use the width of a phone"
        assert opened.locator("#fig-3").bounding_box()["y"] < height, "Fig. 3 begins on the first screen"
        for claim, count in {"phases": 2, "seeds": 3, "overlap": 0}.items():
            marks = opened.locator(f".card:has(#{claim}) .marks span")
            assert [mark.is_visible() for mark in marks.all()] == [True] * count, claim
        assert not any(cell.is_visible() for cell in opened.locator("main table:not(#anyway ~ * table)").all())

    def test_it_can_be_read_where_no_script_and_no_style_is_allowed(self, browser, written):
        """As Jenkins serves it, and as a mail program shows it: in the same order, with details that still unfold."""
        tab, problems = browser.new_page(), []
        policy = "sandbox; default-src 'none'; img-src 'self'; style-src 'self'"
        headers = {"Content-Type": "text/html", "Content-Security-Policy": policy}
        tab.route("**/*", lambda route: route.fulfill(body=written.read_text(), headers=headers))
        tab.on("console", lambda message: problems.append(message.text))
        tab.goto("http://jenkins.test/report.html")
        assert any("inline style" in problem for problem in problems), "the policy holds"
        for claim in ("phases", "density", "overlap", "seeds"):
            card = tab.locator(f".card:has(#{claim})")
            assert card.locator("h2 .verdict").is_visible()
            above = [card.locator(part).bounding_box()["y"] for part in ("h2", ".seen", "svg >> nth=-1")]
            assert above == sorted(above), claim
        fills = "[...document.querySelectorAll('.bar-in, .bar-out')].map(bar => getComputedStyle(bar).fill)"
        assert len(set(tab.evaluate(fills))) == 2, "bars for and against differ without the style sheet"
        tab.locator("section:has(#phases) > details summary").click()
        assert tab.locator("section:has(#phases) table").first.is_visible()
        assert tab.evaluate("document.documentElement.scrollWidth") <= 1280 * 2
        tab.close()

    def test_the_manifold_is_drawn_and_turns(self, opened):
        opened.locator("#fig-3 ~ details summary").click()
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
        before = opened.evaluate(snapshot)
        opened.locator("#axis").select_option("y")
        assert opened.evaluate(snapshot) != before
        visible = "[...document.querySelectorAll('.sheet')].filter(s => !s.hidden).map(s => s.dataset.step)"
        assert opened.evaluate(visible) == ["12"]
        opened.locator("#step").fill("0")
        assert opened.evaluate(visible) == ["0"], "a checkpoint shows its own samples"
        assert opened.locator("#step-name").inner_text() == "step 0"

    def test_a_point_of_a_curve_opens_its_checkpoint(self, opened):
        opened.evaluate("location.hash = '#phases'")
        point = opened.locator("section:has(#phases) .chart a").nth(1)
        asked = point.get_attribute("xlink:href")
        point.scroll_into_view_if_needed()
        box = point.bounding_box()
        opened.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        dialog = opened.locator("#checkpoint")
        dialog.wait_for(state="visible")
        _, second, *_, before_last, last = OWN[0].measured_steps()
        assert asked.endswith(f"/{second}")
        assert opened.locator("#checkpoint-name").inner_text().endswith(f", step {second}")
        assert opened.locator("#checkpoint-modes li").count() == page.SHOWN_SIDE**2
        assert opened.locator("#checkpoint-sheet .asked").count() == page.SHOWN_SIDE**2
        sets = "[...document.querySelectorAll('#checkpoint-set option')].filter(o => !o.disabled).map(o => o.value)"
        assert opened.evaluate(sets) == ["probe"], "training labels are drawn at the last checkpoint alone"
        while opened.locator("#later").is_enabled():
            opened.locator("#later").click()
        assert opened.locator("#checkpoint-name").inner_text().endswith(f", step {last}")
        assert opened.evaluate(sets) == ["probe", "on_grid"]
        probe = opened.locator("#checkpoint-modes").inner_text()
        opened.locator("#checkpoint-set").select_option("on_grid")
        assert opened.locator("#checkpoint-modes").inner_text() != probe
        opened.locator("#earlier").click()
        assert opened.locator("#checkpoint-name").inner_text().endswith(f", step {before_last}")
        assert opened.locator("#checkpoint-set").input_value() == "probe"
        opened.keyboard.press("Escape")
        assert not dialog.is_visible()
        assert opened.evaluate("location.hash") == ""

    def test_a_run_opens_by_keyboard_and_says_how_to_repeat_it(self, opened):
        details = opened.locator("section:has(#phases) > details")
        details.locator("summary").focus()
        opened.keyboard.press("Enter")
        details.locator("table a").first.focus()
        opened.keyboard.press("Enter")
        opened.locator("#checkpoint").wait_for(state="visible")
        opened.locator("#checkpoint summary").click()
        command = opened.locator("#checkpoint-command").inner_text()
        assert command == f"python -m bumplab train '{OWN[0].to_json()}' --runs-dir again"

    def test_a_run_without_images_opens_its_command(self, browser, tmp_path):
        """Such as a run of an archive. Nothing of a run that was open before it is left."""
        path = write(tmp_path, report_of(PHASES), change=lambda record: record.evidence.clear())
        tab = browser.new_page()
        tab.goto(f"{path.as_uri()}#{run_key(OWN[0])}/6")
        tab.locator("#checkpoint").wait_for(state="visible")
        assert tab.locator("#checkpoint-none").is_visible()
        assert not any(
            tab.locator(f"#{part}").is_visible() for part in ("checkpoint-sheet", "checkpoint-words", "later")
        )
        tab.locator("#checkpoint summary").click()
        assert "python -m bumplab train" in tab.locator("#checkpoint-command").inner_text()
        tab.locator("#close").click()
        assert not tab.locator("#checkpoint").is_visible()
        tab.close()

    def test_an_address_of_nothing_opens_nothing(self, opened, written):
        for address in ("#nothing/5", "#%", "#__proto__/1", "#constructor/0"):
            opened.goto("about:blank")
            opened.goto(written.as_uri() + address)
            assert not opened.locator("#checkpoint").is_visible(), address
            assert [problem for problem in opened.problems if "URI" not in problem] == [], address

    def test_an_accessibility_check_finds_nothing_serious(self, browser, written):
        from axe_playwright_python.sync_playwright import Axe

        tab = browser.new_page(bypass_csp=True)  # the check is a script of its own
        tab.goto(written.as_uri())
        unfold(tab)
        # the check misplaces what was not laid out: without this it sees texts on grounds of other sections
        tab.add_style_tag(content="section { content-visibility: visible !important; }")
        everything = {"resultTypes": ["violations"]}
        colours = {**everything, "runOnly": {"type": "rule", "values": ["color-contrast"]}}
        for context in ("main", "#checkpoint"):
            if context == "#checkpoint":
                tab.evaluate(f"location.hash = '#{run_key(OWN[0])}/6'")
                tab.locator(context).wait_for(state="visible")
            for scheme, options in (("light", everything), ("dark", colours)):
                tab.emulate_media(color_scheme=scheme)
                violations = Axe().run(tab, context, options).response["violations"]
                serious = [v for v in violations if v["impact"] in ("serious", "critical")]
                assert [f"{v['id']}: {v['nodes'][0]['html'][:120]}" for v in serious] == [], (context, scheme)
        tab.close()

    def test_the_matrix_can_be_read_on_a_screen_a_phone_and_paper(self, browser, tmp_path):
        """On a phone the table alone scrolls sideways, and the claims stay in front of what scrolls."""
        from axe_playwright_python.sync_playwright import Axe

        reports = []
        for name in "abcde":
            subject = replace(SUBJECT, name=f"{name}.py:subject")
            report = report_of(PHASES, ERROR, SKIPPED, subject=subject)
            reports.append(tmp_path / f"{name}.json")
            reports[-1].write_bytes(document.encode(report))
            reports[-1].with_suffix(".html").touch()
        matrix.write(reports, tmp_path / "m.html")
        tab = browser.new_page(bypass_csp=True)
        tab.goto((tmp_path / "m.html").as_uri())
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)
            violations = Axe().run(tab, "main", {"resultTypes": ["violations"]}).response["violations"]
            serious = [v for v in violations if v["impact"] in ("serious", "critical")]
            assert [f"{v['id']}: {v['nodes'][0]['html'][:120]}" for v in serious] == [], scheme
        assert tab.evaluate("window.hacked") is None
        tab.set_viewport_size({"width": 390, "height": 800})
        assert tab.evaluate("document.documentElement.scrollWidth <= 390")
        assert tab.evaluate("[...document.querySelectorAll('.wide')].every(box => box.tabIndex === 0)"), (
            "keys scroll it"
        )
        head = tab.locator(".matrix tbody th").first
        head.scroll_into_view_if_needed()
        tab.evaluate("document.querySelector('.matrix').scrollLeft = 150")
        box = head.bounding_box()
        assert box["x"] >= 0
        in_front = "([x, y]) => document.elementFromPoint(x, y).closest('th')?.textContent.slice(0, 6)"
        places = [(box["x"] + box["width"] / 2, box["y"] + box["height"] * k / 20) for k in range(1, 20)]
        seen = {tab.evaluate(in_front, place) for place in places if place[1] < 800}
        assert seen == {"phases"}, "text that scrolls shines through"
        tab.emulate_media(media="print")
        tab.set_viewport_size({"width": 718, "height": 1000})
        assert tab.evaluate("document.documentElement.scrollWidth <= 718")
        tab.close()

    def test_charts_can_be_read_on_a_screen_a_phone_and_paper(self, opened):
        """All charts have text of one size. On a phone it has at least 10 pixels, and only a chart scrolls sideways.

        On paper nothing scrolls: all must fit the 718 CSS pixels of an A4 page within its margins.
        """
        unfold(opened)
        widths = "[...document.querySelectorAll('.charts .chart svg')].map(s => s.getBoundingClientRect().width / s."
        scales = opened.evaluate(widths + "viewBox.baseVal.width)")
        assert len(scales) > 5
        assert max(scales) / min(scales) < 1.5
        opened.set_viewport_size({"width": 390, "height": 800})
        heights = "[...document.querySelectorAll('.charts .chart')].map(c => Math.max(...[...c."
        heights += "querySelectorAll('text')].map(t => t.getBoundingClientRect().height)))"
        assert min(opened.evaluate(heights)) >= 10
        assert opened.evaluate("[...document.querySelectorAll('figure')].every(f => f.scrollWidth <= f.clientWidth)")
        assert opened.evaluate("[...document.querySelectorAll('.chart')].every(c => c.tabIndex === 0)")
        for scheme in ("light", "dark"):
            opened.emulate_media(color_scheme=scheme)
            assert opened.evaluate("document.documentElement.scrollWidth <= 390"), scheme
        self._dialog_fits_a_phone(opened)
        opened.emulate_media(media="print")
        opened.set_viewport_size({"width": 718, "height": 1000})
        cut = "[...document.querySelectorAll('.wide, .chart')].map(e => e.scrollWidth - e.clientWidth)"
        assert max(opened.evaluate(cut)) <= 0
        assert opened.evaluate("document.documentElement.scrollWidth <= 718")

    def _dialog_fits_a_phone(self, opened):
        """Its samples stand above its words, and its controls are on the screen before anybody scrolls."""
        opened.set_viewport_size({"width": 400, "height": 700})
        opened.evaluate(f"location.hash = '#{run_key(OWN[0])}/6'")
        dialog = opened.locator("#checkpoint")
        dialog.wait_for(state="visible")
        assert dialog.evaluate("d => d.scrollWidth <= d.clientWidth")
        sheet = opened.locator("#checkpoint-sheet").bounding_box()
        for control in opened.locator("#checkpoint select, #checkpoint button").all():
            box = control.bounding_box()
            assert 0 <= box["x"] <= box["x"] + box["width"] <= 400
            assert sheet["y"] + sheet["height"] <= box["y"] <= box["y"] + box["height"] <= 700
        opened.locator("#close").click()

    def test_no_table_is_cut_on_a_screen_of_1200_pixels(self, opened):
        unfold(opened)
        opened.set_viewport_size({"width": 1200, "height": 900})
        cut = "[...document.querySelectorAll('.wide')].map(e => e.scrollWidth - e.clientWidth)"
        assert max(opened.evaluate(cut)) <= 0
