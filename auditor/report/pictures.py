"""Pictures inside a page, as SVG that needs no script: who may reach whom, and a history's trend.

A graph is drawn with its sources down the left and its destinations down the right: that needs no layout engine, and
nothing lies on top of anything else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from auditor.history.trend import NightInBrief
from auditor.model.words import pluralize
from auditor.report.expected_graph import Graph
from auditor.report.headline import percent

ROW = 22
WIDTH, LEFT, RIGHT = 900, 320, 580
LONGEST_LABEL = 42
BAR, GAP = 14, 4
TALLEST = 100
MOST_NIGHTS = 60
FAULTS = ("leaks", "outages", "unstable", "misdelivered")
"""The counts of a night that make up its faults."""


@dataclass(frozen=True, slots=True)
class Label:
    """A text at a place; ``title`` is the whole of a shortened one."""

    x: int
    y: int
    anchor: str
    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """An arrow: its path, and what it says."""

    path: str
    title: str
    sure: bool


@dataclass(frozen=True, slots=True)
class DrawnGraph:
    """Who may reach whom, with every place computed."""

    TEMPLATE = "graph.svg.j2"
    title: str
    height: int
    labels: tuple[Label, ...]
    edges: tuple[Line, ...]
    width: int = WIDTH


@dataclass(frozen=True, slots=True)
class Bar:
    """One night: how many connections were at fault, and what it came to."""

    x: int
    y: int
    height: int
    conclusion: str
    title: str
    width: int = BAR


@dataclass(frozen=True, slots=True)
class DrawnTrend:
    """Nights as bars, the oldest first."""

    TEMPLATE = "trend.svg.j2"
    title: str
    width: int
    bars: tuple[Bar, ...]
    base: int = TALLEST + 4
    height: int = TALLEST + 12


def draw_graph(graph: Graph) -> DrawnGraph | None:
    """``graph`` with its sources down the left and its destinations down the right; None without arrows."""
    if not graph.edges:
        return None
    left = {number: row for row, number in enumerate(sorted({edge.source for edge in graph.edges}))}
    reached_from: defaultdict[int, list[int]] = defaultdict(list)
    for edge in graph.edges:
        reached_from[edge.destination].append(left[edge.source])
    nearest = sorted(reached_from, key=lambda number: (mean(reached_from[number]), number))
    right = {number: row for row, number in enumerate(nearest)}
    names = [node.label for node in graph.nodes]
    labels = [_label(names[number], LEFT - 8, row, "end") for number, row in left.items()]
    labels += [_label(names[number], RIGHT + 8, row, "start") for number, row in right.items()]
    edges = tuple(
        Line(
            _path(left[edge.source], right[edge.destination]),
            f"{names[edge.source]} → {names[edge.destination]}: {edge.ports}",
            edge.sure,
        )
        for edge in graph.edges
    )
    title = "From the left to the right; a dashed line doesn't hold for all that its ends stand for, or is in doubt."
    return DrawnGraph(
        f"{title} {graph.remark}".strip(), ROW * max(len(left), len(right)) + ROW // 2, tuple(labels), edges
    )


def _label(name: str, x: int, row: int, anchor: str) -> Label:
    if len(name) <= LONGEST_LABEL:
        return Label(x, _middle(row) + 5, anchor, name)
    half = LONGEST_LABEL // 2
    return Label(x, _middle(row) + 5, anchor, f"{name[:half]}…{name[-half + 1 :]}", name)


def _middle(row: int) -> int:
    return ROW * row + ROW * 3 // 4


def _path(source: int, destination: int) -> str:
    begin, end, bend = _middle(source), _middle(destination), (LEFT + RIGHT) // 2
    return f"M{LEFT} {begin} C{bend} {begin} {bend} {end} {RIGHT} {end}"


def draw_trend(nights: Sequence[NightInBrief]) -> DrawnTrend | None:
    """The latest of ``nights``, which are given the latest first, as bars; None for fewer than two."""
    shown = list(nights[:MOST_NIGHTS])[::-1]
    if len(shown) < 2:
        return None
    faults = [sum(night.counts.get(kind, 0) for kind in FAULTS) for night in shown]
    most = max(*faults, 1)
    bars = []
    for number, (night, count) in enumerate(zip(shown, faults, strict=True)):
        height = -(-TALLEST * count // most)
        title = (
            f"{night.began or night.run}: {night.conclusion}, {pluralize(count, 'connection')} at fault, "
            f"{pluralize(night.new, 'new finding')}, {night.gone:,} gone, coverage {percent(night.coverage)}"
        )
        bars.append(Bar(number * (BAR + GAP), TALLEST - height, height, night.conclusion, title))
    title = (
        f"The last {len(shown)} runs, the oldest on the left: connections at fault ({most:,} at most), and below each "
        "what the run came to."
    )
    return DrawnTrend(title, len(shown) * (BAR + GAP), tuple(bars))
