"""Reports as pages: what is in them can't become anything but text, and they load nothing."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.model.snapshot import Endpoint, EndpointKind
from auditor.report.explorable import ALPHABET, Explorable, Square, in_blocks, words_of
from auditor.report.html_page import Article, Page, Section, write_page
from auditor.report.marks import Mark
from auditor.report.registry import FORMATS, LINT, RUN, renderer
from tests.unit.report.hostile import is_harmless, texts
from tests.unit.report.reports import finding, leak, report, small
from tests.unit.report.test_machine_formats import lint_report

MARKUP = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "<!--",
    "]]>",
    "{{ 7 * 7 }}",
    "&lt;b&gt;",
    "' onmouseover='x",
    '" onmouseover="x',
    "\u2028",
)
hostile = st.lists(st.one_of(st.sampled_from(MARKUP), texts), max_size=3).map(lambda parts: "".join(parts) or "a")


class _Seen(HTMLParser):
    """The elements, attributes and texts of a page, and the content of its scripts."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.elements, self.attributes, self.texts, self.data = [], set(), [], ""
        self._in_data = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append(tag)
        self.attributes |= {name for name, _ in attributes}
        self._in_data = dict(attributes).get("type") == "application/json"

    def handle_endtag(self, tag):
        self._in_data = False

    def handle_data(self, data):
        if self._in_data:
            self.data += data
        else:
            self.texts.append(data)


def page_of(document, value):
    stream = io.StringIO()
    renderer(document, "html")(value, stream)
    return stream.getvalue()


def hostile_run(text):
    cells = [leak(f"prod/{text}", "prod/b", "TCP/1")]
    made = finding(cells, title=text, expected_by=(text,), reproduce=text, advice=text)
    return report(cells, [made])


@given(hostile)
def test_no_name_becomes_an_element_or_an_attribute(text):
    for document, value, plain in (
        (RUN, hostile_run(text), hostile_run("a")),
        (LINT, lint_report(subject=text), lint_report(subject="a")),
    ):
        seen, usual = _Seen(page_of(document, value)), _Seen(page_of(document, plain))
        assert seen.elements == usual.elements
        assert seen.attributes == usual.attributes
        assert not {name for name in seen.attributes if name.startswith("on")}
        assert is_harmless(page_of(document, value))


@given(hostile)
def test_the_data_is_json_in_which_nothing_ends_its_element(text):
    page = page_of(RUN, hostile_run(text))
    seen = _Seen(page)
    assert not set("<>&") & set(seen.data)
    assert seen.data.isascii()
    assert len(json.loads(seen.data)["ends"]) == 2


def test_a_page_loads_nothing_and_runs_its_own_script_alone():
    page = page_of(RUN, small())
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "://" not in page
    for kind, element in (("script", r"<script>(.*?)</script>"), ("style", r"<style>(.*?)</style>")):
        content = re.search(element, page, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_a_page_without_a_matrix_has_no_script():
    page = page_of(LINT, lint_report())
    assert "<script" not in page
    assert "script-src" not in page


def test_everything_that_is_found_can_be_read_without_a_script():
    made = small()
    text = " ".join(_Seen(page_of(RUN, made)).texts)
    for each in made.findings:
        assert each.title in text
        assert each.reproduce in text


@pytest.mark.parametrize("text", ["{{ 7 * 7 }}", "{% raw %}"])
def test_no_name_is_a_template(text):
    stream = io.StringIO()
    article = Article(text, [text], [(text, text)], text)
    write_page(Page(text, "pass", text, [text], before=[Section(text, [text], [text], [[text]], [article])]), stream)
    assert " ".join(_Seen(stream.getvalue()).texts).count(text) >= 9


def test_every_report_with_findings_has_a_page():
    names = {document.name for document, name in FORMATS if name == "html"}
    histories = {"history", "history of conformance"}
    assert names == {"report", "expected matrix", "intent report", "lint report", "comparison", "scorecard"} | histories


# The matrix


def endpoints(*names):
    return tuple(Endpoint(name, EndpointKind.POD, name.split("/")[0]) for name in names)


def decoded(data):
    """Each pair's square, read as the page's script does."""
    found = {}
    for source in data["ends"]:
        row, width = data["rows"][source[4]], data["width"]
        for place, destination in enumerate(data["ends"]):
            number = 0
            for digit in row[place * width : (place + 1) * width]:
                number = number * 64 + ALPHABET.index(digit)
            found[source[0], destination[0]] = data["squares"][number]
    return found


@given(st.integers(1, 12), st.data())
def test_the_data_says_of_each_pair_what_is_known(size, data):
    ends = endpoints(*(f"n{number % 3}/p{number}" for number in range(size)))
    pairs = st.tuples(st.integers(0, size - 1), st.integers(0, size - 1))
    marks = st.sampled_from([Mark.LEAK, Mark.ALLOWED, Mark.SOME, Mark.DENIED])
    squares = data.draw(st.dictionaries(pairs, st.builds(Square, marks, st.tuples(st.text(alphabet="ab", max_size=3)))))
    words = words_of((square.mark for square in squares.values()), {})
    shown = decoded(Explorable(ends, squares, words).data())
    assert len(shown) == size * size
    for (row, column), square in squares.items():
        number, *lines = shown[ends[row].name, ends[column].name]
        assert list(words)[number] is square.mark
        assert tuple(lines) == square.lines
    assert sum(number != -1 for number, *_ in shown.values()) == len(squares)


def test_more_kinds_of_squares_than_digits():
    ends = endpoints(*(f"n/p{number}" for number in range(70)))
    squares = {(number, 0): Square(Mark.ALLOWED, (str(number),)) for number in range(70)}
    data = Explorable(ends, squares, words_of([Mark.ALLOWED], {})).data()
    assert data["width"] == 2
    assert decoded(data)["n/p69", "n/p0"][1] == "69"


def test_those_that_are_alike_are_neighbours_and_namespaces_stay_together():
    ends = endpoints("a/1", "b/1", "a/2", "b/2", "a/3", "a/4")
    opened = [(0, 1), (4, 1), (2, 3), (5, 3)]
    order = in_blocks(ends, {pair: Square(Mark.ALLOWED, ()) for pair in opened})
    names = [ends[number].name for number in order]
    assert names[:4] in (["a/1", "a/3", "a/2", "a/4"], ["a/1", "a/3", "a/4", "a/2"])
    assert [name[0] for name in names] == ["a"] * 4 + ["b"] * 2
