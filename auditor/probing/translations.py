"""Where pods see other pods come from an address that is not theirs.

Selectors of a policy stand for the addresses of pods. Where the network translates these on the way (a masquerade that
is too wide, say) no selector fits what arrives, and the destination's filter goes by the address of a node. Whoever
answers says which address it saw, so this is told even where everything is as expected; where something differs there,
its outcome says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Observation, Observed, Verdict
from auditor.model.words import in_brief, pluralize
from auditor.probing.attempts import Answer, AttemptResult
from auditor.probing.routes import Route

SHOWN = 3


class Between(NamedTuple):
    """From pods on one node to pods on another, or the same, by the names of the nodes."""

    source: str
    destination: str
    family: Family

    def __str__(self) -> str:
        if self.source == self.destination:
            return f"between pods on node {self.source}"
        return f"from pods on node {self.source} to pods on node {self.destination}"


def _between(route: Route) -> Between | None:
    source, destination = route.source, route.destination
    if source.is_node or destination.is_node or not source.node or not destination.node:
        return None
    return Between(source.node, destination.node, route.listener.family)


class Translations:
    """What answers say of the addresses that questions came from."""

    def __init__(self, routes: Mapping[Cell, Route], tries: Mapping[Cell, Iterable[AttemptResult]]) -> None:
        self._routes = routes
        self._seen: dict[Cell, str] = {}
        self._counts: Counter[tuple[Between, str]] = Counter()
        self._node_of = {
            str(address): site.node
            for route in {route.pair: route for route in routes.values()}.values()
            for site in (route.source, route.destination)
            for address in (site.addresses if site.is_node else site.neighbour_addresses if site.node else ())
        }
        for cell, ones in tries.items():
            seen = next((one.seen for one in ones if one.seen and one.answer is Answer.ALLOWED), "")
            if seen and (between := _between(routes[cell])):
                self._seen[cell] = seen
                self._counts[between, seen] += 1

    def _named(self, address: str) -> str:
        node = self._node_of.get(address)
        return f"{address}, an address of node {node}" if node else address

    def facts(self) -> Iterator[str]:
        """What there is to tell of it, one line for each way and address."""
        for (between, seen), count in sorted(self._counts.items()):
            cells = [
                cell for cell, its in self._seen.items() if its == seen and _between(self._routes[cell]) == between
            ]
            yield (
                f"{pluralize(count, 'connection')} {between} came from {self._named(seen)}, and not from the source's "
                f"own: no selector of a policy stands for that ({in_brief(cells, SHOWN)})"
            )

    def explained(self, cell: Cell, expected: Verdict | None, observation: Observation) -> Observation:
        """``observation``, whose outcome says so where it differs and the source's address is translated on its way."""
        differs = (
            observation.verdict is Observed.ALLOWED if expected is Verdict.DENIED else observation.verdict.is_denied
        )
        seen = self._seen.get(cell) or (self._usual(cell) if observation.verdict.is_denied else "")
        if not seen or not differs or expected is None:
            return observation
        came = "it came" if cell in self._seen else "what others send there comes"
        return replace(observation, outcome=f"{observation.outcome}: {came} from {self._named(seen)}")

    def _usual(self, cell: Cell) -> str:
        """The address from which what takes the same way mostly seems to come; empty where it is the source's own."""
        counts = {
            seen: count for (between, seen), count in self._counts.items() if between == _between(self._routes[cell])
        }
        return max(counts, key=lambda seen: (counts[seen], seen), default="")
