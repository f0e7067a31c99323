"""Who may reach whom as a graph: groups of endpoints that no policy tells apart or, where these are too many to draw,
namespaces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from auditor.model.snapshot import EndpointKind
from auditor.policy.matrix import MatrixView
from auditor.policy.patterns import ExpectedCell
from auditor.report.expected_as_table import NO_PORT, ports_text
from auditor.report.expected_parties import Party, doubts_of, pairs_of, parties_of

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
    together = _Namespaces(nodes)
    edges: list[Edge] = []
    for edge in _edges(view, parties):
        together.add(edge)
        if len(edges) <= MOST_EDGES:
            edges.append(edge)
    if len(nodes) <= MOST_NODES and len(edges) <= MOST_EDGES:
        return _shown(nodes, edges)
    return _shown(together.nodes, together.edges(), "drawn by namespace, since there is too much to draw each group. ")


def _shown(nodes: tuple[Node, ...], edges: Sequence[Edge], remark: str = "") -> Graph:
    more = len(edges) - MOST_EDGES
    if more > 0:
        remark += f"{more:,} more arrows are not drawn: choose with --from and --to. "
    return Graph(nodes, tuple(edges[:MOST_EDGES]), remark.strip())


def _edges(view: MatrixView, parties: Sequence[Party]) -> Iterator[Edge]:
    in_doubt = doubts_of(view.matrix, parties)
    texts: dict[tuple[ExpectedCell, ...], str] = {}
    for pair, same in pairs_of(view, parties):
        if pair[0] == pair[1]:
            continue
        if same not in texts:
            texts[same] = ports_text(same)
        ports, doubted = texts[same], in_doubt(pair)
        if ports != NO_PORT or doubted:
            uncertain = doubted or ports == NO_PORT
            yield Edge(*pair, "in doubt" if uncertain else _short(ports), not uncertain)


def _short(ports: str) -> str:
    return ports if len(ports) <= LONGEST_PORTS else f"{ports[:LONGEST_PORTS].rsplit(' ', 1)[0].rsplit(',', 1)[0]}, ..."


class _Namespaces:
    """Namespaces, and what lies outside, for the groups ``nodes``. An arrow that not every pair of members has, or not
    with the same ports, is unsure.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        labels = [node.group or OUTSIDE for node in nodes]
        numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
        self.nodes = tuple(map(Node, numbers))
        self._places = [numbers[label] for label in labels]
        self._sizes = Counter(self._places)
        self._found: dict[tuple[int, int], Counter[tuple[str, bool]]] = {}

    def add(self, edge: Edge) -> None:
        """Take in an arrow between two of the groups."""
        pair = self._places[edge.source], self._places[edge.destination]
        if pair[0] != pair[1]:
            self._found.setdefault(pair, Counter())[edge.ports, edge.sure] += 1

    def edges(self) -> list[Edge]:
        """The arrows between namespaces, in order."""
        edges = []
        for (source, destination), same in sorted(self._found.items()):
            ports = min(ports for ports, _ in same) if len({ports for ports, _ in same}) == 1 else SOME
            everywhere = same.total() == self._sizes[source] * self._sizes[destination]
            sure = everywhere and ports != SOME and all(sure for _, sure in same)
            edges.append(Edge(source, destination, ports, sure))
        return edges


def _group(party: Party) -> str:
    """The namespace of a party's members; several of them where no policy tells these apart."""
    if party.example.kind is not EndpointKind.POD:
        return ""
    return "/".join(sorted({name.partition("/")[0] for name in party.members}))
