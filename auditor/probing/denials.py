"""What looks denied so far, and what has to be known before that counts.

Silence and refusals have many causes that are no policy's doing: a dead network link at either end, nodes that don't
reach each other, a link that carries the other protocol alone, packets that get lost. What shows each of these is
known to ``links``, ``paths``, ``protocols`` and to the agents; here stands which of it a denial depends on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import cache

from auditor.model.policy import Direction
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Verdict
from auditor.model.words import pluralize
from auditor.probing.crossings import Crossing, crossing_of
from auditor.probing.disruptions import MOST_LOST, in_vain, packets, tries_needed, unbearable
from auditor.probing.history import AttemptHistory
from auditor.probing.links import End, ends_of
from auditor.probing.paths import Path, forwarding_of, path_of
from auditor.probing.probe_rounds import ProbeRounds
from auditor.probing.protocols import Carried
from auditor.probing.routes import Route

LEAST_SILENCES = 3
"""How often silence is met before it stands for a denial, two of them in the second pass; unless it would take long."""
MOST_OFTEN_SILENT = 4096
"""The most connections that should be denied for which silence has to be met that often."""


class Denials:
    """The denials among the cells of a run, which take ``routes``; ``history`` has what came of them so far."""

    def __init__(self, routes: Mapping[Cell, Route], history: AttemptHistory, probe_rounds: ProbeRounds) -> None:
        self._routes = routes
        self._history = history
        self._expected = history.expected
        self._pool = probe_rounds.pool
        self._links = probe_rounds.links
        self._protocols = probe_rounds.protocols
        self._between_nodes = probe_rounds.paths
        pairs = {route.pair: route for route in routes.values()}
        self._ends = {pair: ends_of(route) for pair, route in pairs.items()}
        self._paths = {
            pair: path for pair, route in pairs.items() if (path := path_of(route.source, route.destination, pair[2]))
        }
        deniable = sum(verdict is Verdict.DENIED for verdict in self._expected.values())
        self._least_silences = LEAST_SILENCES if deniable <= MOST_OFTEN_SILENT else 0

    def needed(self, cells: Iterable[Cell]) -> tuple[list[End], list[Path]]:
        """The ends and the paths that have to carry packets if the silence of ``cells`` is to say anything."""
        pairs = dict.fromkeys(self._routes[cell].pair for cell in cells)
        paths = dict.fromkeys(path for pair in pairs if (path := self._paths.get(pair)))
        return self._ends_of(pairs), list(paths)

    def carried(self, cells: Iterable[Cell]) -> list[Carried]:
        """The protocols that have to be carried, and at which ends."""
        pairs = dict.fromkeys((self._routes[cell].pair, cell.protocol) for cell in cells)
        return list(dict.fromkeys(Carried(end, protocol) for pair, protocol in pairs for end in self._ends[pair]))

    def _ends_of(self, pairs: Iterable[tuple[str, str, Family]]) -> list[End]:
        return list(dict.fromkeys(end for pair in pairs for end in self._ends[pair]))

    def senders(self) -> list[End]:
        """Every site at one end of a cell, as a sender."""
        return sorted({end._replace(direction=Direction.EGRESS) for ends in self._ends.values() for end in ends})

    def watched_ends(self) -> list[End]:
        """The ends of cells that may be denied for which somebody keeps reaching."""
        deniable = (route for cell, route in self._routes.items() if self._expected[cell] is not Verdict.ALLOWED)
        return self._links.watched(self._ends_of(dict.fromkeys(route.pair for route in deniable)))

    # What still has to be shown of what looks denied so far

    def ends_in_doubt(self) -> list[End]:
        """The ends of what looks denied so far, where more must be known of their links before that counts."""
        counting = {
            (end, probe_round)
            for cell, _, probe_round in self._history.denials()
            for end in self._ends[self._routes[cell].pair]
        }
        return sorted({end for end, probe_round in counting if self._links.doubt(end, probe_round)})

    def paths_in_doubt(self) -> list[Path]:
        """The paths of what looks denied so far, where more must be known of them."""
        counting = {
            (path, probe_round)
            for cell, _, probe_round in self._history.denials()
            if (path := self._paths.get(self._routes[cell].pair))
        }
        provable = self._between_nodes.is_provable
        return sorted({path for path, at in counting if not provable(path) or self._between_nodes.doubt(path, at)})

    def protocols_lacking(self) -> list[Carried]:
        """The protocols of what looks denied so far, at the ends where they were not heard before and after."""
        lacks = self._protocols.lacks
        return sorted({carried for carried, at in self._denied_protocols() if lacks(carried, at)})

    def protocols_in_doubt(self) -> list[Carried]:
        """The protocols of what looks denied so far, at the ends that seem to carry the other one alone."""
        doubt = self._protocols.doubt
        return sorted({carried for carried, at in self._denied_protocols() if doubt(carried, at)})

    def _denied_protocols(self) -> set[tuple[Carried, int]]:
        """The protocols and ends of what looks denied so far, as it should, with the rounds that say so."""
        return {
            (Carried(end, cell.protocol), probe_round)
            for cell, _, probe_round in self._history.denials()
            if self._expected[cell] is not Verdict.ALLOWED
            for end in self._ends[self._routes[cell].pair]
        }

    def crossings(self) -> list[Crossing]:
        """How what looks denied so far, as it should, gets from node to node."""
        denied = (cell for cell, *_ in self._history.denials() if self._expected[cell] is not Verdict.ALLOWED)
        return sorted({crossing for cell in denied if (crossing := self._crossing(cell))})

    def _crossing(self, cell: Cell) -> Crossing | None:
        route = self._routes[cell]
        return crossing_of(route.source, route.destination, cell.protocol, cell.family)

    def _nodes_with_outages(self) -> frozenset[str]:
        """The nodes of the ends of what looks denied and should not."""
        cut = (self._routes[cell] for cell, *_ in self._history.denials() if self._expected[cell] is Verdict.ALLOWED)
        return frozenset(end.node for route in cut for end in (route.source, route.destination))

    def _doubts_of_crossing(self, cell: Cell, cut: AbstractSet[str]) -> list[str]:
        """Why what ``cell`` tries may not get from one node to another at all, if anything speaks for that.

        Where what should be allowed is ``cut`` at either of these nodes, the audit fails or is inconclusive as it is,
        and whatever cuts that may keep volunteers from getting through: that they don't says nothing more.
        """
        crossing, path = self._crossing(cell), self._paths.get(self._routes[cell].pair)
        if crossing is None or path is None or not cut.isdisjoint(crossing[:2]):
            return []
        return [self._between_nodes.crossings.doubt(crossing), self._between_nodes.apart(path)]

    # Silence

    @property
    def loses_packets(self) -> bool:
        """Whether any packet of the agents' connections got lost."""
        return any(loss.lost for loss in self._pool.losses)

    @property
    def silences(self) -> int:
        """How many silent tries stand for a denial."""
        return max(self._least_silences, tries_needed(in_vain(self._pool.losses)))

    def silences_missing(self) -> dict[Cell, int]:
        """How often each cell whose silence stands for a denial is to be tried once more for that."""
        needed, late = self.silences, self._history.late
        missing = {cell: self._history.silences_missing(cell, needed) for cell in self._routes}
        # Those that came to agree are confirmed more often than that.
        return {cell: n for cell, n in missing.items() if n and cell not in late}

    def _doubt_of_silence(self, cell: Cell) -> str:
        """Why silence does not stand for a denial; empty if it does."""
        share, needed = in_vain(self._pool.losses), self.silences
        if share > unbearable():
            return f"about {packets(share):.0%} of packets were lost, more than {MOST_LOST:.0%}"
        if not self._history.silences_missing(cell, needed):
            return ""
        return ": ".join(
            filter(None, [f"{cell} could not be tried {pluralize(needed, 'time')}", self._history.last_failure(cell)])
        )

    # What it comes to

    def doubts(self) -> dict[Cell, str]:
        """For each cell that looks denied, why that says nothing of policies; empty where it counts."""
        doubt_of_end, doubt_of_protocol = cache(self._links.doubt), cache(self._protocols.doubt)
        doubts: dict[Cell, str] = {}
        cut = self._nodes_with_outages()
        for cell, decisive, probe_round in self._history.denials():
            ends = self._ends[self._routes[cell].pair]
            reasons = [doubt_of_end(end, probe_round) for end in ends]
            if path := self._paths.get(self._routes[cell].pair):
                reasons.append(self._between_nodes.doubt(path, probe_round))
            if self._expected[cell] is not Verdict.ALLOWED:  # an outage is one, whatever keeps the protocol away
                reasons += [doubt_of_protocol(Carried(end, cell.protocol), probe_round) for end in ends]
                reasons += self._doubts_of_crossing(cell, cut)
            if decisive.silent and ends:
                reasons.append(self._doubt_of_silence(cell))
            doubts[cell] = next(filter(None, reasons), "")
        return doubts

    def facts(self, doubts: Mapping[Cell, str]) -> Iterator[str]:
        """What was not shown of the paths of those denials that count in spite of it: that have no ``doubts``."""
        counts = Counter(self._routes[cell].pair for cell, doubt in doubts.items() if not doubt)
        routes = {self._routes[cell].pair: self._routes[cell] for cell, doubt in doubts.items() if not doubt}
        unshown: Counter[Path] = Counter()
        for pair, route in routes.items():
            # The paths on which nodes forward, and for what nodes themselves send or get those that are tried.
            path = forwarding_of(route.source, route.destination, pair[2]) or self._paths.get(pair)
            if path and not self._between_nodes.is_shown(path, route):
                unshown[path] += counts[pair]
        return self._between_nodes.unshown(unshown)
