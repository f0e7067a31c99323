"""Pages in a real browser: what a person sees, does with mouse and keyboard, and can't be made to run."""

from __future__ import annotations

import io
import random
import shutil
import time
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from auditor.history.trend import Trend
from auditor.model.snapshot import Endpoint, EndpointKind
from auditor.report.explorable import Explorable, Square, words_of
from auditor.report.html_page import Page, write_page
from auditor.report.marks import Mark
from auditor.report.registry import EXPECT, HISTORY, LINT, RUN, renderer
from tests.unit.report.reports import finding, leak, report, result
from tests.unit.report.test_expected_graph import alone, pods, view
from tests.unit.report.test_machine_formats import finding as lint_finding
from tests.unit.report.test_machine_formats import lint_report
from tests.unit.report.test_pictures import night

BROWSER = shutil.which("chromium-headless-shell") or shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="needs the Debian package chromium-headless-shell"),
]
HOSTILE = "</script><img src=x onerror=document.title='taken'>\u202e\x1b[2J"


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield running
        running.close()


class Seen:
    """A page in the browser, and what it did."""

    def __init__(self, page):
        self.page, self.requests, self.errors = page, [], []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.append(message.text))

    def chosen(self):
        return self.page.inner_text("#chosen")


@pytest.fixture
def show(browser, tmp_path):
    """Shows a document: a function that takes what renders it, and the view; closed at the end."""

    @contextmanager
    def shown(write, fragment="", **options):
        stream = io.StringIO()
        write(stream)
        (tmp_path / "page.html").write_text(stream.getvalue(), encoding="utf-8")
        page = browser.new_page(**{"viewport": {"width": 1280, "height": 800}, **options})
        seen = Seen(page)
        page.goto(f"file://{tmp_path}/page.html{fragment}")
        yield seen
        assert seen.errors == []
        assert [url for url in seen.requests if not url.startswith("file:")] == []
        assert len(seen.requests) == 1
        page.close()

    return shown


def small_run(name="prod/web"):
    cells = [
        leak(name, "prod/db", "TCP/5432"),
        result(name, "prod/api", "TCP/80"),
        result("prod/api", "prod/db", "TCP/5432"),
    ]
    made = report(cells, [finding(cells[:1])])
    return lambda stream: renderer(RUN, "html")(made, stream)


def small_expectation(stream):
    renderer(EXPECT, "html")(view(pods("prod/a", "prod/b", "prod/c"), alone("prod/a")), stream)


def a_history(stream):
    renderer(HISTORY, "html")(Trend((night(2, 3, "fail"), night(1)), ()), stream)


PAGES = {"run": small_run(), "expect": small_expectation, "history": a_history}


def large(size, namespaces=30):
    """A matrix of ``size`` endpoints, with hidden groups and a little noise."""
    chance = random.Random(1)
    names = [f"team-{number % namespaces}/app-{number:04}" for number in range(size)]
    ends = tuple(Endpoint(name, EndpointKind.POD, name.split("/")[0]) for name in names)
    group = [chance.randrange(12) for _ in ends]
    friends = {(one, other) for one in range(12) for other in range(12) if chance.random() < 0.3}
    kinds = [
        Square(Mark.ALLOWED, ("every port: expected allowed, observed allowed (answered)",)),
        Square(Mark.DENIED, ("every port: expected denied, observed dropped (timeout)",)),
        Square(Mark.LEAK, ("TCP/80: expected denied, observed allowed (answered)",)),
    ]
    squares = {
        (row, column): kinds[2 if chance.random() < 0.001 else int((group[row], group[column]) not in friends)]
        for row in range(size)
        for column in range(size)
    }
    matrix = Explorable(ends, squares, words_of(list(Mark), {}))
    return lambda stream: write_page(Page("large", "fail", "a large matrix", explorable=matrix), stream)


def test_a_square_is_chosen_by_keyboard_and_by_mouse(show):
    with show(small_run()) as seen:
        seen.page.focus("#squares")
        for _ in range(4):
            seen.page.keyboard.press("ArrowUp")
            seen.page.keyboard.press("ArrowLeft")
        first = seen.chosen().splitlines()[0]
        assert "→" in first
        seen.page.keyboard.press("ArrowRight")
        assert seen.chosen().splitlines()[0] != first
        seen.page.keyboard.press("Escape")
        assert "Choose a square" in seen.chosen()
        box = seen.page.locator("#squares").bounding_box()
        seen.page.mouse.click(box["x"] + box["width"] - 15, box["y"] + box["height"] - 15)
        assert "→" in seen.chosen()


def test_the_address_holds_the_view(show):
    with show(small_run(), "#from=web&at=prod%2Fweb%3Eprod%2Fdb") as seen:
        assert "prod/web → prod/db" in seen.chosen()
        assert "leak" in seen.chosen()
        assert "TCP/5432: expected denied, observed allowed" in seen.chosen()
        assert seen.page.input_value("#filter-from") == "web"
        assert "1 source," in seen.page.inner_text("#said")
        seen.page.fill("#filter-from", "api")
        seen.page.wait_for_function("location.hash.includes('from=api')", timeout=10_000)


def test_filters_show_what_calls_for_a_look_and_say_when_nothing_is_left(show):
    with show(small_run()) as seen:
        seen.page.select_option("#filter-kind", "-2")
        assert seen.page.inner_text("#said") == "1 source, 1 destination"
        seen.page.fill("#filter-to", "nobody")
        assert "Nothing here" in seen.page.inner_text("#said")


def test_who_reaches_whom_is_listed(show):
    with show(small_run(), "#at=prod%2Fapi%3Eprod%2Fdb") as seen:
        seen.page.click("summary >> nth=1")
        seen.page.wait_for_selector("details[open] ul")
        assert "prod/web: TCP/5432: expected denied, observed allowed" in seen.chosen()


@pytest.mark.parametrize("document", ["run", "lint"])
def test_a_hostile_name_is_a_text(show, document):
    linted = lint_report(lint_finding(message=HOSTILE), subject=HOSTILE)
    write = small_run(f"prod/{HOSTILE}") if document == "run" else lambda to: renderer(LINT, "html")(linted, to)
    with show(write) as seen:
        assert seen.page.locator("img").count() == 0
        assert "taken" not in seen.page.title() or "onerror" in seen.page.title()
        assert "<img src=x onerror" in seen.page.inner_text("body")
        if document == "run":
            seen.page.focus("#squares")
            seen.page.keyboard.press("ArrowDown")
            assert "onerror" in seen.page.inner_text("main")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [360, 768, 1600])
def test_no_page_is_wider_than_its_window(show, width, name):
    with show(PAGES[name], viewport={"width": width, "height": 700}) as seen:
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width


def test_paper_shows_the_findings_and_no_tools(show):
    with show(small_run()) as seen:
        seen.page.emulate_media(media="print")
        assert not seen.page.is_visible(".tools")
        assert seen.page.is_visible(".finding")


def test_without_a_script_everything_but_the_matrix_is_there(show):
    with show(small_run(), java_script_enabled=False) as seen:
        assert seen.page.is_visible(".finding")
        assert not seen.page.is_visible("#explorer")
        assert "needs JavaScript" in seen.page.inner_text("main")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_for_assistive_technology(browser, tmp_path, scheme, name):
    with (tmp_path / "page.html").open("w", encoding="utf-8") as stream:
        PAGES[name](stream)
    page = browser.new_page(bypass_csp=True, color_scheme=scheme)
    page.goto(f"file://{tmp_path}/page.html")
    found = Axe().run(page).response["violations"]
    page.close()
    assert [(each["id"], each["impact"]) for each in found if each["impact"] in ("serious", "critical")] == []


def test_300_by_300_is_small_and_usable(show, capsys):
    text = io.StringIO()
    large(300)(text)
    assert len(text.getvalue().encode()) < 300_000
    began = time.perf_counter()
    with show(large(300)) as seen:
        opened = time.perf_counter() - began
        seen.page.click("#open-all")
        began = time.perf_counter()
        seen.page.fill("#filter-from", "team-7/")
        filtered = time.perf_counter() - began
        assert seen.page.inner_text("#said") == "10 sources, 300 destinations"
        assert seen.page.evaluate("document.querySelectorAll('*').length") < 200
    with capsys.disabled():
        print(f" [300 x 300: {len(text.getvalue()) // 1000} kB, {opened:.2f} s to open, {filtered:.2f} s to filter]")
