"""The graph of who may reach whom, for Graphviz (https://graphviz.org/doc/info/lang.html) and for Mermaid
(https://mermaid.js.org/syntax/flowchart.html). A dashed arrow doesn't hold for all that its ends stand for, or is in
doubt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TextIO

from auditor.model.printable import printable
from auditor.policy.matrix import MatrixView
from auditor.report.documents import write_text
from auditor.report.expected_graph import Graph, graph_of

TITLE = "who may reach whom, by the policies"
SPECIAL_IN_MERMAID = re.compile(r"[^\w ./:,+*()-]", re.ASCII)
"""Everything else is written by its number: quotes, brackets, what begins Markdown or HTML."""


def render_dot(view: MatrixView, stream: TextIO) -> None:
    """Write what ``view`` shows to ``stream``, for Graphviz."""
    write_text("\n".join(_dot(graph_of(view))), stream)


def render_mermaid(view: MatrixView, stream: TextIO) -> None:
    """Write what ``view`` shows to ``stream``, for Mermaid."""
    write_text("\n".join(_mermaid(graph_of(view))), stream)


def _dot(graph: Graph) -> Iterator[str]:
    yield 'digraph "audit expect" {'
    yield f"  label={_quoted(f'{TITLE}; {graph.remark}' if graph.remark else TITLE)};"
    yield '  rankdir=LR; node [shape=box, fontname="sans-serif"]; edge [fontname="sans-serif", fontsize=10];'
    yield from _grouped(
        graph,
        lambda number, group: [f"subgraph cluster_{number} {{", f"  label={_quoted(group)};"],
        lambda number, label: f"n{number} [label={_quoted(label)}];",
        "}",
    )
    for edge in graph.edges:
        style = "" if edge.sure else ", style=dashed"
        yield f"  n{edge.source} -> n{edge.destination} [label={_quoted(edge.ports)}{style}];"
    yield "}"


def _grouped(
    graph: Graph, begin: Callable[[int, str], list[str]], node: Callable[[int, str], str], end: str
) -> Iterator[str]:
    """The nodes, those of a namespace between what ``begin`` makes of its number and name, and ``end``."""
    for number, (group, members) in enumerate(graph.groups.items()):
        names = [node(member, graph.nodes[member].label) for member in members]
        lines = [*begin(number, group), *(f"  {name}" for name in names), end] if group else names
        yield from (f"  {line}" for line in lines)


def _quoted(text: str) -> str:
    return '"' + printable(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _mermaid(graph: Graph) -> Iterator[str]:
    yield from ("---", f'title: "{TITLE}"', "---", "flowchart LR")
    if graph.remark:
        yield f'  remark["{_entities(graph.remark)}"]'
    yield from _grouped(
        graph,
        lambda number, group: [f'subgraph g{number}["{_entities(group)}"]'],
        lambda number, label: f'n{number}["{_entities(label)}"]',
        "end",
    )
    for edge in graph.edges:
        arrow = "-->" if edge.sure else "-.->"
        yield f'  n{edge.source} {arrow}|"{_entities(edge.ports)}"| n{edge.destination}'


def _entities(text: str) -> str:
    return SPECIAL_IN_MERMAID.sub(lambda match: f"#{ord(match[0])};", printable(text))
