"""Proof that what pods send each other gets from one node to another: by those whom policies let through.

Pods that are heard by their own nodes, on nodes that hear each other, may still not reach each other: a tunnel between
the nodes is blocked, a route is missing. Then whatever is denied there looks denied, leaks included. So where nothing
that is audited shows that packets of pods cross between two nodes, others try that policies allow to (*volunteers*,
which ``auditor.run.volunteers`` chooses). If they try in vain, a denial there says nothing of policies.

Where policies let nobody through, nobody can show anything; unless pods that may send what they like reach the kubelets
of other nodes and not that one (``Paths.apart``). Otherwise denials stand, and the report says what was not shown: a
cluster that denies everything between its nodes would have no verdict otherwise (docs/adr/0018).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from auditor.model.ports import Protocol
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell
from auditor.model.words import pluralize
from auditor.probing.attempts import AttemptResult, Listener
from auditor.probing.batches import Attempt
from auditor.probing.merging import DENIALS
from auditor.probing.routes import Route
from auditor.probing.sites import ProbeSite

TRIES = 3
"""How often a volunteer tries in each of the last rounds: packets get lost."""


class Crossing(NamedTuple):
    """What pods on one node send to pods on another over one protocol, by the names of the nodes."""

    source: str
    destination: str
    protocol: Protocol
    family: Family

    def __str__(self) -> str:
        return f"from pods on node {self.source} to pods on node {self.destination} over {self.protocol}/{self.family}"

    @property
    def nodes(self) -> tuple[str, str, Family]:
        """What it shares with what crosses the other way, or over the other protocol."""
        return min(self[:2]), max(self[:2]), self.family


def crossing_of(source: ProbeSite, destination: ProbeSite, protocol: Protocol, family: Family) -> Crossing | None:
    """The crossing that packets between two sites make; None where they stay on one node, a node isn't known, or takes
    part itself.
    """
    if not source.node or not destination.node or source.is_node or destination.is_node:
        return None
    return None if source.node == destination.node else Crossing(source.node, destination.node, protocol, family)


@dataclass(frozen=True, slots=True)
class Volunteers:
    """Who can show that packets of pods cross between nodes, without being audited for it.

    ``cells`` are connections that policies allow; ``free`` the endpoints that policies let send whatever they like.
    """

    cells: tuple[Cell, ...] = ()
    free: frozenset[str] = frozenset()


NO_VOLUNTEERS = Volunteers()


class Crossings:
    """What has crossed between nodes. ``routes`` are those of volunteers."""

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self._made: set[Crossing] = set()
        self._volunteers: dict[Crossing, dict[Attempt, Listener]] = defaultdict(dict)
        self._in_vain: set[Attempt] = set()
        for route in routes:
            source, destination, listener = route.source, route.destination, route.listener
            crossing = crossing_of(source, destination, listener.protocol, listener.family)
            if crossing is not None:
                self._volunteers[crossing][Attempt(source.name, destination.name, route.target)] = listener

    def listeners(self, wanted: Mapping[str, Sequence[Listener]]) -> dict[str, Sequence[Listener]]:
        """``wanted``, and what volunteers are to reach."""
        known: dict[str, Sequence[Listener]] = dict(wanted)
        for listener in (each for ones in self._volunteers.values() for each in ones.values()):
            there = known.get(listener.site, ())
            if listener not in there:
                known[listener.site] = (*there, listener)
        return known

    def note(self, crossing: Crossing) -> None:
        """Take in that an answer came to something that made this crossing."""
        self._made.add(crossing)

    def calls(self, crossings: Iterable[Crossing], unbound: Collection[Listener] = ()) -> list[Attempt]:
        """What volunteers try where it is not shown that ``crossings`` can be made; not at listeners that are
        ``unbound``.
        """
        nodes = {crossing.nodes for crossing in crossings if not self._is_shown(crossing)}
        asked = dict.fromkeys(
            attempt
            for crossing, ones in self._volunteers.items()
            if crossing.nodes in nodes and crossing not in self._made
            for attempt, listener in ones.items()
            if listener not in unbound
        )
        return [attempt for attempt in asked for _ in range(TRIES)]

    def _is_shown(self, crossing: Crossing) -> bool:
        """Whether it was made or, where nobody may try it, any other between these nodes."""
        if crossing in self._made or crossing in self._volunteers:
            return crossing in self._made
        return any(made.nodes == crossing.nodes for made in self._made)

    def take(self, tries: Iterable[tuple[Attempt, AttemptResult]]) -> None:
        """Take in what came of calls between ends that are well; those that were answered are noted by whoever sees all
        attempts.
        """
        self._in_vain |= {call for call, one in tries if one.answer in DENIALS}

    def doubt(self, crossing: Crossing) -> str:
        """Why a denial of something that makes this crossing says nothing of policies; empty if it does."""
        if self._is_shown(crossing):
            return ""
        between = {each: ones for each, ones in self._volunteers.items() if each.nodes == crossing.nodes}
        for each in sorted(between, key=lambda each: (each != crossing, each)):
            vain = len(self._in_vain & between[each].keys())
            if vain and each not in self._made:
                tried = f"{pluralize(vain, 'connection')} that policies allow {'was' if vain == 1 else 'were'} tried"
                return f"nothing was answered {each}, where {tried}"
        return ""
