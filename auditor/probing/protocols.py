"""Proof that a network link carries both protocols, where a silent one could hide a leak.

A link can lose datagrams and carry connections (a firewall of the host's, a broken checksum), or the other way round;
then everything over that protocol looks denied, though the link is heard. So where one protocol was not heard from an
end, somebody whom policies can't keep apart from it tries both at a port where nobody listens: the kernel there says so
over either. Where it does over one protocol and is silent over the other, the link carries the one alone, and a denial
of the other says nothing of policies. Where it is silent over both, the enforcer keeps apart what it shouldn't, or a
firewall drops whatever is closed: neither tells the protocols apart, and an answer over one proves the link for both.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import NamedTuple

from auditor.model.policy import Direction
from auditor.model.ports import Protocol
from auditor.probing.attempts import Answer, AttemptResult, Listener
from auditor.probing.batches import Attempt, Target
from auditor.probing.links import End, Links, is_reset

CLOSED_PORT = 9
"""Where nobody listens as a rule; the next one that the agent there does not listen on is tried."""
TRIED_IN_VAIN = 3
"""How often both protocols are tried at an end that stays silent over one of them."""
PORT_UNREACHABLE = "icmp-port-unreachable"
"""What a closed UDP port says. No kernel says so of an address for which it finds no neighbour."""

KEPT_INSIDE = "prohibited-locally"
"""What the sender's own kernel says of a packet that it doesn't let out."""


class Carried(NamedTuple):
    """One protocol at one end of a connection."""

    end: End
    protocol: Protocol


class Protocols:
    """What has been heard over each protocol at the ends that ``links`` knows, by round."""

    def __init__(self, links: Links, listeners: Mapping[str, Sequence[Listener]]) -> None:
        self._links = links
        self._listeners = listeners
        self._heard: dict[Carried, list[int]] = defaultdict(list)
        self._silent: dict[Carried, list[int]] = defaultdict(list)
        self._asked: Counter[End] = Counter()
        self._pairs: dict[End, tuple[Attempt, ...]] = {}
        self._answered: dict[Carried, Attempt] = {}

    def calls(self, wanted: Iterable[Carried], *, patiently: bool = False) -> list[Attempt]:
        """Attempts over both protocols at the ends of those ``wanted`` that were not heard so far; ``patiently``, at
        all of them, and whatever was answered over theirs once more.
        """
        asked = {
            carried: carried.end
            for carried in wanted
            if patiently or (carried not in self._heard and self._asked[carried.end] < TRIED_IN_VAIN)
        }
        ends = dict.fromkeys(asked.values())
        self._asked.update(ends.keys())
        again = (self._answered[carried] for carried in asked if carried in self._answered)
        return list(dict.fromkeys([*(attempt for end in ends for attempt in self._pair(end)), *again]))

    def _pair(self, end: End) -> tuple[Attempt, ...]:
        """The same attempt over both protocols; none where nobody can make it."""
        if end not in self._pairs:
            caller = self._links.caller(end)
            self._pairs[end] = () if caller is None else self._at_closed_port(*caller)
        return self._pairs[end]

    def _at_closed_port(self, source: str, destination: str, address: str) -> tuple[Attempt, ...]:
        called = destination or self._links.neighbour_of(source)
        taken = {listener.port for listener in self._listeners.get(called, ())}
        port = next(port for port in count(CLOSED_PORT) if port not in taken)
        targets = [Target(address, protocol, port, None) for protocol in (Protocol.TCP, Protocol.UDP)]
        return tuple(Attempt(source, destination, target) for target in targets)

    def take(self, probe_round: int, attempts: Sequence[Attempt], tries: Sequence[AttemptResult]) -> None:
        """Take in what came of the attempts of one round."""
        through: dict[tuple[str, str, str, Protocol], Attempt] = {}
        answered: set[Attempt] = set()
        called = {attempt for pair in self._pairs.values() for attempt in pair}
        silent: set[Attempt] = set()
        for attempt, one in zip(attempts, tries, strict=True):
            if one.answer is Answer.ALLOWED:
                source, destination, target = attempt
                through.setdefault((source, destination, target.address, target.protocol), attempt)
            if attempt in called and (one.silent or one.outcome.startswith(KEPT_INSIDE)):
                silent.add(attempt)
            elif says_closed(attempt, one) or (one.answer is Answer.ALLOWED and attempt in called):
                answered.add(attempt)
        for attempt in through.values():
            for end in self._links.crossed(attempt.source, attempt.destination, attempt.target.address):
                self._note(Carried(end, attempt.target.protocol), probe_round)
                self._answered.setdefault(Carried(end, attempt.target.protocol), attempt)
        for source, destination, address, protocol in {(*one[:2], *one.target[:2]) for one in answered}:
            for end in self._links.crossed(source, destination, address):
                if end.direction is Direction.EGRESS:
                    self._note(Carried(end, protocol), probe_round)
        self._compare(probe_round, answered, silent)

    def _note(self, carried: Carried, probe_round: int) -> None:
        moments = self._heard[carried]
        if not moments or moments[-1] != probe_round:
            moments.append(probe_round)

    def _compare(self, probe_round: int, answered: set[Attempt], silent: set[Attempt]) -> None:
        """Note the protocols that stayed silent where the other one was answered in the same round."""
        for end, pair in self._pairs.items():
            for one in pair:
                if one in answered:
                    self._note(Carried(end, one.target.protocol), probe_round)
                elif one in silent and not answered.isdisjoint(pair):
                    self._silent[Carried(end, one.target.protocol)].append(probe_round)

    def lacks(self, carried: Carried, probe_round: int) -> bool:
        """Whether it was not heard both in that round or an earlier one, and in a later one."""
        moments = self._heard.get(carried, ())
        return not (moments and moments[0] <= probe_round < moments[-1])

    def doubt(self, carried: Carried, probe_round: int) -> str:
        """Why a denial in that round says nothing of policies; empty if it does."""
        moments, silent = self._heard.get(carried, ()), self._silent.get(carried, ())
        for before in (True, False):
            if any((moment <= probe_round) is before for moment in silent) and not any(
                (moment <= probe_round) is before for moment in moments
            ):
                return f"the network link of {self._links.named(carried.end)} carries no {carried.protocol}"
        return ""


def says_closed(attempt: Attempt, one: AttemptResult) -> bool:
    """Whether a refusal is what a closed port says, which only packets can have brought."""
    if one.answer is not Answer.REFUSED:
        return False
    return is_reset(attempt, one) or (attempt.target.protocol is Protocol.UDP and one.outcome == PORT_UNREACHABLE)
