"""Proof that packets cross the network links at both ends of a cell, in the direction concerned.

A listener that answers over loopback says nothing of the link to its pod, and where that link is dead everything looks
denied. So a denial counts only where each end was heard over its own link in the same run, by somebody whom policies
can't forbid or who got through: the source had an answer to something that it sent, the destination answered something
that somebody else sent. Before the attempt that counts and after it, each end must have been heard in either direction,
so that a link that dies in between doesn't leave its denials proven.

Where nobody is at hand who could try a direction, an answer in the other one has to do: its packets crossed the link
both ways. What a link that carries one protocol alone hides is another matter (``auditor.probing.protocols``).
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from auditor.model.addresses import IPAddress
from auditor.model.policy import Direction
from auditor.model.ports import Protocol
from auditor.model.snapshot import Family
from auditor.probing.attempts import Answer, AttemptResult, Listener
from auditor.probing.batches import Attempt, Target
from auditor.probing.routes import Route, Routing
from auditor.probing.sites import Contact, ProbeSite

KNOCKED_PORTS = (9, 10250)
"""TCP ports of a neighbour that an agent tries: the first is closed as a rule, so that its kernel answers at once;
kubelets have the second, should a node's firewall keep silent about the first."""
ASKED_IN_VAIN = 3
"""How often a neighbour is asked that never answers."""
ANSWERED_KEPT = 2
"""How many attempts that were answered are kept for each end, to be made again where no neighbour answers."""
RESETS = frozenset({"tcp-reset", "reset-after-connect"})
"""Refusals that only a packet can have brought. What looks like an ICMP error may be the pod's own kernel that finds no
neighbour.
"""


class End(NamedTuple):
    """One end of a cell: a site, and in which direction packets of new connections cross its link."""

    site: str
    direction: Direction
    family: Family


def ends_of(route: Route) -> tuple[End, ...]:
    """The ends whose links a cell needs, the destination's first; none where its packets stay inside one kernel."""
    source, destination, family = route.source, route.destination, route.listener.family
    if source.name == destination.name:
        return ()
    # What a neighbour sends to its own pod, or gets from it, crosses that pod's link alone.
    into = () if destination.name == source.neighbour else (End(destination.name, Direction.INGRESS, family),)
    out = () if source.name == destination.neighbour else (End(source.name, Direction.EGRESS, family),)
    return (*into, *out)


def neighbours(routing: Routing, sites: Iterable[ProbeSite]) -> tuple[ProbeSite, ...]:
    """The sites, of all ``sites`` there are, that take no part in ``routing`` but are neighbours of one that answers
    there, or of one that has to do with another node.
    """
    there, listeners = {site.name: site for site in sites}, routing.listeners
    wanted = dict.fromkeys(site.neighbour for site in routing.sites if listeners[site.name])
    pairs = {route.pair: route for route in routing.routes.values()}.values()
    away = (route for route in pairs if "" != route.source.node != route.destination.node != "")
    wanted |= dict.fromkeys(
        end.neighbour for route in away for end in (route.source, route.destination) if not end.is_node
    )
    taking_part = {site.name for site in routing.sites}
    return tuple(there[name] for name in wanted if name in there and name not in taking_part and there[name].agent)


class Links:
    """What has been heard over the links of ``sites``, by round: later rounds have greater numbers.

    ``listeners`` are those of each site's agent, by its name.
    """

    def __init__(self, sites: Iterable[ProbeSite], listeners: Mapping[str, Sequence[Listener]]) -> None:
        self._sites = {site.name: site for site in sites}
        self._listeners = listeners
        self._heard: dict[End, list[int]] = defaultdict(list)
        self._contacts: set[End] = set()
        self._asked: Counter[End] = Counter()
        self._helpful: dict[End, Attempt] = {}
        self._answered: dict[End, deque[Attempt]] = defaultdict(lambda: deque(maxlen=ANSWERED_KEPT))

    def take(
        self, probe_round: int, attempts: Sequence[Attempt], tries: Sequence[AttemptResult], calls: int = 0
    ) -> None:
        """Take in what came of the attempts of one round, the last ``calls`` of which are calls."""
        cells = len(attempts) - calls
        enough: set[tuple[str, str, str, bool]] = set()
        # Pairs are many: once both ends have enough of this round, the rest of theirs tells nothing more.
        kept: defaultdict[tuple[str, bool, bool], int] = defaultdict(int)
        for number, (attempt, one) in enumerate(zip(attempts, tries, strict=True)):
            got_through = one.answer is Answer.ALLOWED
            if not got_through and not (one.answer is Answer.REFUSED and is_reset(attempt, one)):
                continue
            if number < cells:
                source, destination, address = attempt.source, attempt.destination, attempt.target.address
                key = (source, destination, address, got_through)
                if key in enough:
                    continue
                enough.add(key)
                kept_out, kept_in = kept[source, ":" in address, True], kept[destination, ":" in address, False]
                if min(kept_out, kept_in) >= ANSWERED_KEPT:
                    continue
            for end in self.crossed_by(attempt):
                if not got_through and end.direction is Direction.INGRESS:
                    continue
                self._note(end, probe_round)
                if number >= cells:
                    self._helpful.setdefault(end, attempt)
                elif got_through:
                    kept[end.site, end.family is Family.IPV6, end.direction is Direction.EGRESS] += 1
                    self._keep(end, attempt)

    def _keep(self, end: End, attempt: Attempt) -> None:
        if attempt not in self._answered[end]:
            self._answered[end].append(attempt)

    def _note(self, end: End, probe_round: int) -> None:
        moments = self._heard[end]
        if not moments or moments[-1] != probe_round:
            moments.append(probe_round)

    def take_contacts(self, asked: Iterable[str], contacts: Mapping[str, Contact], probe_round: int | None) -> None:
        """Take in who of the sites ``asked`` about is reached now. ``round`` is None where that may be old news."""
        for name in asked:
            for family in Family:
                end = End(name, Direction.INGRESS, family)
                if name not in contacts or family not in contacts[name].families:
                    self._contacts.discard(end)
                    continue
                self._contacts.add(end)
                if probe_round is not None:
                    self._note(end, probe_round)

    def calls(self, ends: Iterable[End], *, patiently: bool = False) -> list[Attempt]:
        """Attempts that let each of ``ends`` be heard if its link is alive: by its neighbour, or by anyone that
        reached or answered it before.

        A neighbour that never answered is left out after a while, unless ``patiently``.
        """
        attempts: dict[Attempt, None] = {}
        for end in dict.fromkeys(map(self._called, ends)):
            helpful = self._helpful.get(end)
            if helpful is not None:
                attempts[helpful] = None
            if helpful is None or patiently:
                attempts |= dict.fromkeys([*self._knocks(end, patiently=patiently), *self._answered[end]])
        return list(attempts)

    def answered(self, ends: Iterable[End]) -> list[Attempt]:
        """Attempts over the links of ``ends``, in their directions, that were answered before."""
        return list(dict.fromkeys(attempt for end in ends for attempt in self._answered.get(end, ())))

    def _called(self, end: End) -> End:
        """The end itself or, where nobody can try its direction, the other one of its site."""
        other = end._replace(direction=Direction.EGRESS)
        return end if self._by_neighbour(end) or not self._by_neighbour(other) else other

    def _knocks(self, end: End, *, patiently: bool) -> list[Attempt]:
        self._asked[end] += 1
        if patiently or 1 < self._asked[end] <= ASKED_IN_VAIN:
            return self._by_neighbour(end)
        return self._by_neighbour(end)[: self._asked[end] == 1]

    def caller(self, end: End) -> tuple[str, str, str] | None:
        """Who can make an attempt between the end's site and its neighbour, in the end's direction: the names of source
        and destination, empty where that is no site that answers, and the address; None where nobody can.
        """
        site = self._sites[end.site]
        if end.direction is Direction.EGRESS:
            address = _of_family(site.neighbour_addresses, end.family)
            return (site.name, "", str(address)) if address and site.agent else None
        neighbour = self._sites.get(site.neighbour)
        if neighbour is None or not _of_family(neighbour.addresses, end.family) or self._lowest_listener(end) is None:
            return None
        return neighbour.name, site.name, str(_of_family(site.addresses, end.family))

    def neighbour_of(self, site: str) -> str:
        """The name of the neighbour of the site with this name; empty if it has none that is a site."""
        return self._sites[site].neighbour

    def _lowest_listener(self, end: End) -> Listener | None:
        return min((each for each in self._listeners.get(end.site, ()) if each.family is end.family), default=None)

    def _by_neighbour(self, end: End) -> list[Attempt]:
        """The attempts between the end's site and its neighbour, in the end's direction; none where nobody can make
        one.
        """
        caller = self.caller(end)
        if caller is None:
            return []
        source, destination, address = caller
        listener = self._lowest_listener(end)
        if not destination or listener is None:
            return [Attempt(source, "", Target(address, Protocol.TCP, port, None)) for port in KNOCKED_PORTS]
        return [Attempt(source, destination, Target(address, listener.protocol, listener.port, destination))]

    def silenced(self, probe_round: int, calls: Iterable[Attempt]) -> dict[tuple[str, Family], str]:
        """The sites, by name and family, that answered such calls before and were not heard in this round; with the
        reason.
        """
        called = {
            end
            for attempt in calls
            for end in self.crossed(attempt.source, attempt.destination, attempt.target.address)
            if self._helpful.get(end) == attempt
        }
        unheard = {(end.site, end.family): end for end in called if probe_round not in self.moments(end)}
        return {
            key: f"nothing was heard from {self.named(end)} over its network link meanwhile"
            for key, end in unheard.items()
        }

    def unheard(self, probe_round: int, calls: Iterable[Attempt]) -> frozenset[tuple[str, Family]]:
        """The sites, by name and family, that were called and not heard in this round."""
        called = {end for attempt in calls for end in self.crossed_by(attempt)}
        return frozenset((end.site, end.family) for end in called if probe_round not in self.moments(end))

    def crossed_by(self, attempt: Attempt) -> tuple[End, ...]:
        """The ends whose links an attempt crosses."""
        return self.crossed(attempt.source, attempt.destination, attempt.target.address)

    def crossed(self, source: str, destination: str, address: str) -> tuple[End, ...]:
        """The ends whose links an attempt at ``address`` crosses, if it crosses any: its source, and its destination if
        that is a site.
        """
        if source == destination or address == "::1" or address.startswith("127."):
            return ()
        family = Family.IPV6 if ":" in address else Family.IPV4
        out, into = End(source, Direction.EGRESS, family), End(destination, Direction.INGRESS, family)
        if not destination:
            return (out,)
        beside_source, beside_destination = self._sites[source].neighbour, self._sites[destination].neighbour
        # Between a pod and its own node there is the pod's link alone.
        ends = (out,) if source != beside_destination or destination == beside_source else ()
        return (*ends, into) if destination != beside_source or source == beside_destination else ends

    def moments(self, end: End) -> list[int]:
        """The rounds in which this end was heard in either direction."""
        return [moment for direction in Direction for moment in self._heard.get(end._replace(direction=direction), ())]

    def doubt(self, end: End, probe_round: int) -> str:
        """Why a denial in that round says nothing about a cell with this end; empty if it does."""
        moments, name = self.moments(end), self.named(end)
        if not self._is_proven(end) and end.direction is Direction.EGRESS:
            return f"nothing that {name} sent over its network link was answered"
        if not self._is_proven(end):
            return f"nothing was heard from {name} over its network link"
        if not any(moment > probe_round for moment in moments):
            return f"nothing was heard from {name} over its network link after the probes"
        if not any(moment <= probe_round for moment in moments):
            return f"nothing was heard from {name} over its network link before the probes"
        return ""

    def _is_proven(self, end: End) -> bool:
        """Whether the end was heard in its direction, or, where nobody could try that one, in the other."""
        if self._heard.get(end) or end in self._contacts:
            return True
        return bool(self.moments(end)) and not self.watched([end]) and not self._by_neighbour(end)

    def watched(self, ends: Iterable[End]) -> list[End]:
        """Those of ``ends`` that somebody keeps reaching for."""
        return [
            end for end in ends if end.direction is Direction.INGRESS and end.family in self._sites[end.site].watched
        ]

    def named(self, end: End) -> str:
        """The end's site, with the family where it has several."""
        return end.site if len(self._sites[end.site].addresses) == 1 else f"{end.site} over {end.family}"


def is_reset(attempt: Attempt, one: AttemptResult) -> bool:
    """Whether a refusal is one that only a packet can have brought."""
    return attempt.target.protocol is Protocol.TCP and one.outcome.partition(":")[0] in RESETS


def _of_family(addresses: Iterable[IPAddress], family: Family) -> IPAddress | None:
    return next((address for address in addresses if address.version == family), None)
