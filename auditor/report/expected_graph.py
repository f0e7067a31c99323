"""Who may reach whom as a graph: groups of endpoints that no policy tells apart or, where these are too many to draw,
namespaces.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from auditor.model.snapshot import EndpointKind
from auditor.policy.matrix import MatrixView
from auditor.report.expected_as_table import NO_PORT, ports_text
from auditor.report.expected_parties import Party, cells_of, pairs_in_doubt, parties_of

MOST_NODES = 60
MOST_EDGES = 300
"""Mermaid draws 500 (its option maxEdges), and nobody can follow as many."""
LONGEST_PORTS = 60
SOME = "some connections"
OUTSIDE = "outside the cluster"


@dataclass(frozen=True, slots=True)
class Node:
    """``label`` names it; ``group`` is the namespace that it is drawn in, empty for none."""

    label: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """From node ``source`` to node ``destination``, by number, on ``ports``. ``sure``: nothing about it is in doubt,
    and it holds for all that the nodes stand for.
    """

    source: int
    destination: int
    ports: str
    sure: bool


@dataclass(frozen=True, slots=True)
class Graph:
    """``remark`` says what it doesn't show, empty where it shows everything."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    remark: str = ""

    @property
    def groups(self) -> Mapping[str, list[int]]:
        """The numbers of the nodes by namespace, in order."""
        groups: dict[str, list[int]] = {}
        for number, node in enumerate(self.nodes):
            groups.setdefault(node.group, []).append(number)
        return groups


def graph_of(view: MatrixView) -> Graph:
    """The graph of what ``view`` shows. What may reach itself is not drawn."""
    parties = parties_of(view)
    nodes = tuple(Node(party.label, _group(party)) for party in parties)
    edges = tuple(_edges(view, parties))
    if len(nodes) <= MOST_NODES and len(edges) <= MOST_EDGES:
        return _shown(nodes, edges)
    return _shown(*_by_namespace(parties, edges), "drawn by namespace, since there is too much to draw each group. ")


def _shown(nodes: tuple[Node, ...], edges: tuple[Edge, ...], remark: str = "") -> Graph:
    more = len(edges) - MOST_EDGES
    if more > 0:
        remark += f"{more:,} more arrows are not drawn: choose with --from and --to. "
    return Graph(nodes, edges[:MOST_EDGES], remark.strip())


def _edges(view: MatrixView, parties: Sequence[Party]) -> Iterator[Edge]:
    cells = cells_of(view, parties)
    doubted = pairs_in_doubt(view.matrix, parties, cells)
    texts = {id(same): ports_text(same) for same in cells.values()}
    for pair, same in cells.items():
        ports = texts[id(same)]
        if pair[0] != pair[1] and (ports != NO_PORT or pair in doubted):
            uncertain = pair in doubted or ports == NO_PORT
            yield Edge(*pair, "in doubt" if uncertain else _short(ports), not uncertain)


def _short(ports: str) -> str:
    return ports if len(ports) <= LONGEST_PORTS else f"{ports[:LONGEST_PORTS].rsplit(' ', 1)[0].rsplit(',', 1)[0]}, ..."


def _by_namespace(parties: Sequence[Party], edges: Sequence[Edge]) -> tuple[tuple[Node, ...], tuple[Edge, ...]]:
    """Namespaces, and what lies outside, for their members. An arrow that not every pair of members has, or not with
    the same ports, is unsure.
    """
    labels = [_group(party) or OUTSIDE for party in parties]
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    places = [numbers[label] for label in labels]
    found: dict[tuple[int, int], list[Edge]] = {}
    for edge in edges:
        pair = places[edge.source], places[edge.destination]
        if pair[0] != pair[1]:
            found.setdefault(pair, []).append(edge)
    together = []
    for (source, destination), same in found.items():
        ports = {edge.ports for edge in same}
        everywhere = len(same) == places.count(source) * places.count(destination)
        sure = everywhere and len(ports) == 1 and all(edge.sure for edge in same)
        together.append(Edge(source, destination, min(ports) if len(ports) == 1 else SOME, sure))
    return tuple(map(Node, numbers)), tuple(together)


def _group(party: Party) -> str:
    """The namespace of a party's members; several of them where no policy tells these apart."""
    if party.example.kind is not EndpointKind.POD:
        return ""
    return "/".join(sorted({name.partition("/")[0] for name in party.members}))
