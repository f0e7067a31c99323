"""Pictures inside pages: what they say is right, and no name in them becomes anything but text."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given

from auditor.history.trend import NightInBrief, Trend
from auditor.report.expected_graph import Edge, Graph, Node
from auditor.report.html_page import Page, Section, write_page
from auditor.report.pictures import MOST_NIGHTS, TALLEST, draw_graph, draw_trend
from auditor.report.registry import EXPECT, HISTORY
from tests.unit.report.test_expected_graph import alone, pods, view
from tests.unit.report.test_pages import _Seen, hostile, page_of

NODES = tuple(map(Node, ("prod/a", "prod/b", "prod/c")))


def night(number, leaks=0, conclusion="pass", **more):
    return NightInBrief(f"r{number}", f"2026-01-{number:02}T01:00:00Z", conclusion, 1.0, {"leaks": leaks}, **more)


def picture(drawn):
    stream = io.StringIO()
    write_page(Page("t", "pass", "h", before=[Section("s", picture=drawn)]), stream)
    return stream.getvalue()


def test_each_arrow_leads_from_its_source_to_its_destination():
    edges = (Edge(0, 2, "TCP/80", sure=True), Edge(1, 2, "in doubt", sure=False), Edge(0, 1, "TCP/1", sure=True))
    drawn = draw_graph(Graph(NODES, edges))
    places = {(label.anchor, label.text): label.y - 5 for label in drawn.labels}
    for edge, line in zip(edges, drawn.edges, strict=True):
        source, destination = NODES[edge.source].label, NODES[edge.destination].label
        assert line.title == f"{source} → {destination}: {edge.ports}"
        begin, end = re.match(r"M\d+ (\d+) .* (\d+)$", line.path).groups()
        assert (int(begin), int(end)) == (places["end", source], places["start", destination])
    assert [line.sure for line in drawn.edges] == [True, False, True]


def test_only_what_takes_part_is_drawn_and_a_long_name_is_shortened():
    name = "a-namespace-with-a-long-name/a-workload-with-a-longer-name-0"
    drawn = draw_graph(Graph((Node(name), *NODES), (Edge(0, 3, "TCP/80", sure=True),)))
    assert [label.title or label.text for label in drawn.labels] == [name, "prod/c"]
    assert len(drawn.labels[0].text) <= 42
    assert draw_graph(Graph(NODES, ())) is None


@given(hostile)
def test_no_name_in_a_picture_becomes_an_element(text):
    def drawn(name):
        nodes = (Node(f"prod/{name}"), Node("prod/b"))
        return picture(draw_graph(Graph(nodes, (Edge(0, 1, name, sure=True),), name)))

    seen, usual = _Seen(drawn(text)), _Seen(drawn("a"))
    assert [each for each in seen.elements if each != "title"] == [each for each in usual.elements if each != "title"]
    assert seen.attributes == usual.attributes


def test_bars_are_as_tall_as_what_went_wrong_the_oldest_first():
    drawn = draw_trend([night(3, 4, "fail", new=1), night(2), night(1, 2, "fail")])
    assert [bar.height for bar in drawn.bars] == [TALLEST // 2, 0, TALLEST]
    assert [bar.conclusion for bar in drawn.bars] == ["fail", "pass", "fail"]
    assert "4 connections at fault, 1 new finding, 0 gone" in drawn.bars[-1].title
    assert all(bar.y + bar.height == TALLEST for bar in drawn.bars)


@pytest.mark.parametrize(("count", "bars"), [(0, None), (1, None), (2, 2), (100, MOST_NIGHTS)])
def test_a_trend_needs_two_nights_and_has_a_bound(count, bars):
    drawn = draw_trend([night(number % 28 + 1) for number in range(count)])
    assert (drawn and len(drawn.bars)) == bars


def test_the_page_of_a_history_has_its_trend():
    page = page_of(HISTORY, Trend((night(2, 1, "fail"), night(1)), ()))
    assert page.count('<g class="night') == 2
    assert "style=" not in page


def test_the_page_of_an_expectation_can_be_read_without_a_script():
    page = page_of(EXPECT, view(pods("prod/a", "prod/b", "prod/c"), alone("prod/a")))
    assert page.count('<path class="edge') > 0
    rows = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td></tr>", page)
    assert any("prod/b" in source and ports == "every port" for source, _, ports in rows)
    assert not any("prod/a" in destination for _, destination, _ in rows)
