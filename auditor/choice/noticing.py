"""What connections that were tried, or are going to be, would have noticed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from auditor.choice.area import Area
from auditor.choice.cover import Weights
from auditor.choice.filter import What
from auditor.diagnosis.dialects import SPECS
from auditor.diagnosis.evidence import is_telling
from auditor.model.dialect import Dialect
from auditor.model.noticing import Noticing
from auditor.model.policy import Direction
from auditor.model.ports import PortRequest
from auditor.model.report import CellResult
from auditor.model.verdict import Cell
from auditor.policy.bits import union
from auditor.probing.plan import Connection

IGNORED = {SPECS[dialect].phrase for dialect in (Dialect.IGNORES_ADMIN, Dialect.IGNORES_BASELINE)}
"""What is wrong, in words, where a policy of administrators is ignored."""
MOST_MISSED = 100
"""So many of the ways of misreading that would go unnoticed are put into words."""


@dataclass(frozen=True)
class Ledger:
    """What each of ``shown`` would notice, as sets of the bundles of ``areas`` by their places when all are in one row.
    ``kinds`` says for each area what its kinds of pods are called, ``policies`` how many there are.
    """

    areas: tuple[Area, ...]
    kinds: tuple[tuple[str, ...], ...]
    policies: int
    shown: Mapping[Connection, int]

    def of(self, connections: Iterable[Connection]) -> Noticing:
        """What ``connections`` notice."""
        noticed = union(self.shown.get(each, 0) for each in connections)
        bundles = [bundle for area in self.areas for bundle in area.bundles]
        weights = [len(bundle.ways) for bundle in bundles]
        everything = (1 << len(bundles)) - 1
        return Noticing(
            policies=self.policies,
            ways=sum(weights),
            noticed=Weights(weights).of(noticed),
            unseen=sum(area.unseen for area in self.areas),
            missed=tuple(dict.fromkeys(islice(self._missed(everything & ~noticed), MOST_MISSED))),
        )

    def ignored_unnoticed(self, connections: Iterable[Connection]) -> frozenset[tuple[str, Direction]]:
        """The policies of administrators, by full name and direction, that could be ignored altogether without any of
        ``connections`` noticing, while others would.
        """
        noticed = union(self.shown.get(each, 0) for each in connections)
        bundles = [(area, bundle) for area in self.areas for bundle in area.bundles]
        ways = [
            (way.policy, way.direction, noticed >> place & 1)
            for place, (area, bundle) in enumerate(bundles)
            for way in (area.whats[number] for number in bundle.ways)
            if way.policy and way.what in IGNORED
        ]
        shown = {(policy, direction) for policy, direction, seen in ways if seen}
        return frozenset((policy, direction) for policy, direction, _ in ways) - shown

    def of_results(self, results: Iterable[CellResult]) -> Noticing:
        """What those of ``results`` notice that say anything of the policies."""
        return self.of(telling_connections(results))

    def _missed(self, mask: int) -> Iterator[str]:
        """The ways of the bundles in ``mask`` in words."""
        bundles = (
            (area, kinds[bundle.kind], bundle)
            for area, kinds in zip(self.areas, self.kinds, strict=True)
            for bundle in area.bundles
        )
        for place, (area, kind, bundle) in enumerate(bundles):
            if mask >> place & 1:
                yield from (_in_words(kind, area.whats[way]) for way in bundle.ways)


def telling_connections(results: Iterable[CellResult]) -> frozenset[Connection]:
    """Those of ``results`` that say anything of the policies, over whichever family."""
    cells = (result.cell for result in results if is_telling(result))
    return frozenset(Connection(cell.source, cell.destination, _port(cell)) for cell in cells)


def _in_words(kind: str, way: What) -> str:
    who = f"{way.policy} for {kind}" if way.policy else kind
    return f"{who}, {way.direction.lower()}: {way.what}"


def _port(cell: Cell) -> PortRequest:
    return PortRequest(cell.protocol, number=cell.port)
