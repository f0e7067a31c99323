"""What an intent means, cell by cell and slowly, for tests: who is spoken of, what is demanded, and where the oracle
says otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from random import Random
from typing import Any

from auditor.model.admin_policy import AdminPolicy
from auditor.model.intent import Intent, IntentRule, ProposedChange
from auditor.model.policy import NetworkPolicy, PolicyPort
from auditor.model.ports import Protocol
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Verdict
from auditor.policy.selection import select
from tests.oracle.evaluator import is_own_node, verdict
from tests.strategies import PORT_NAMES, PORT_NUMBERS, PORT_RANGES, boundaries_in_policies
from tests.unit.policy.test_properties import families

SELECTIONS = (
    "space-0",
    "space-1",
    "space-0/app=x",
    "app=x",
    "app=y,tier",
    "!app",
    "space-1/tier in (x,y)",
    "*/pod-1",
    "host",
    "node",
)


def random_intent(random: Random, rules: int = 4) -> Intent:
    """An intent about clusters of ``tests.strategies``."""
    made = [_random_rule(random, number) for number in range(random.randint(1, rules))]
    if random.random() < 0.4:
        made.append(IntentRule("otherwise denied", Verdict.DENIED, closing=True, file="intent.yaml", line=99))
    return Intent(tuple(made), {}, "intent.yaml")


def sparse_intent(random: Random) -> Intent:
    """An intent that denies one thing and is silent of the rest."""
    ends = [(random.choice(SELECTIONS),) for _ in range(2)]
    ends[random.randrange(2)] = random.choice((ends[0], ends[1], ()))
    ports = tuple(_random_port(random) for _ in range(random.choice((0, 0, 1))))
    return Intent((IntentRule("one thing", Verdict.DENIED, *ends, ports, False, "intent.yaml", 1),), {}, "intent.yaml")


def _random_rule(random: Random, number: int) -> IntentRule:
    closing = random.random() < 0.4
    denied = closing or random.random() < 0.3
    return IntentRule(
        f"rule {number}",
        Verdict.DENIED if denied else Verdict.ALLOWED,
        _random_ends(random),
        _random_ends(random),
        tuple(_random_port(random) for _ in range(random.choice((0, 1, 1, 2)))),
        closing,
        "intent.yaml",
        number + 1,
    )


def _random_ends(random: Random) -> tuple[str, ...]:
    return tuple(random.sample(SELECTIONS, random.choice((0, 1, 1, 2))))


def _random_port(random: Random) -> PolicyPort:
    protocol = random.choice((Protocol.TCP, Protocol.TCP, Protocol.UDP))
    form = random.choice(("number", "number", "range", "name", "protocol"))
    if form == "range":
        return PolicyPort(protocol, *random.choice(PORT_RANGES))
    if form == "name":
        return PolicyPort(protocol, name=random.choice(PORT_NAMES))
    return PolicyPort(protocol, random.choice(PORT_NUMBERS)) if form == "number" else PolicyPort(protocol)


class Speaker:
    """A rule with the endpoints that it is about."""

    def __init__(self, rule, snapshot):
        self.rule = rule
        self.sources, self.destinations = (
            {end.name for text in texts or ("*",) for end in select(snapshot.endpoints, text)}
            for texts in (rule.sources, rule.destinations)
        )

    def speaks(self, source, destination, protocol, port):
        """Whether it is about this cell."""
        if source.name not in self.sources or destination.name not in self.destinations:
            return False
        return not self.rule.ports or any(_is_port(item, destination, protocol, port) for item in self.rule.ports)


def _is_port(item, destination, protocol, port):
    if item.protocol is not protocol:
        return False
    if item.name is not None:
        return destination.selectable and any(
            (declared.protocol, declared.name, declared.number) == (protocol, item.name, port)
            for declared in destination.ports
        )
    return item.number is None or item.number <= port <= (item.end_port or item.number)


class Meaning:
    """``intent`` spelt out for every cell of ``snapshot`` at every edge of any range of ports."""

    def __init__(self, snapshot, intent, edges=()):
        numbers = {
            edge
            for rule in intent.rules
            for item in rule.ports
            if item.number
            for edge in (item.number - 1, item.number, item.end_port or item.number, (item.end_port or item.number) + 1)
        }
        self.snapshot = snapshot
        self.edges = sorted(
            boundaries_in_policies(snapshot)
            | set(edges)
            | {(protocol, number) for protocol in Protocol for number in numbers if 1 <= number <= 65535}
        )
        self.demands = {}
        self.contradicts = False
        self._verdicts = {}
        speakers = [Speaker(rule, snapshot) for rule in intent.rules]
        for source, destination in self.pairs():
            for protocol, port in self.edges:
                speaking = [each.rule for each in speakers if each.speaks(source, destination, protocol, port)]
                plain = [rule for rule in speaking if not rule.closing]
                self.contradicts = self.contradicts or len({rule.verdict for rule in plain}) > 1
                if speaking:
                    self.demands[source.name, destination.name, protocol, port] = (plain or speaking)[0]

    def pairs(self):
        """The pairs of which an intent can mean something."""
        for source, destination in product(self.snapshot.endpoints, repeat=2):
            if source is destination or source.host_network or destination.host_network:
                continue
            pods = [end.kind == "pod" for end in (source, destination)]
            own_node = is_own_node(source, destination) or is_own_node(destination, source)
            if any(pods) and not own_node and families(source, destination):
                yield source, destination

    def violation(self, snapshot):
        """The cells, without families, that ``snapshot`` has otherwise in some family, with the rules that
        mean them.
        """
        found = {}
        for source, destination in self.pairs():
            for family in families(source, destination):
                for protocol, port in self.edges:
                    rule = self.demands.get((source.name, destination.name, protocol, port))
                    if (
                        rule
                        and self._verdict(snapshot, source, destination, protocol, port, family) is not rule.verdict
                    ):
                        found[source.name, destination.name, protocol, port, family] = rule
        return found

    def changed(self, before, after):
        """The pairs that differ between two clusters in a cell of which the intent says nothing."""
        return {
            (source.name, destination.name)
            for source, destination in self.pairs()
            for family in families(source, destination)
            for protocol, port in self.edges
            if (source.name, destination.name, protocol, port) not in self.demands
            and self._verdict(before, source, destination, protocol, port, family)
            is not verdict(after, source, destination, protocol, port, family)
        }

    def _verdict(self, snapshot, source, destination, *cell):
        """The oracle's verdict; those on ``self.snapshot``, with which each change is compared, are remembered."""
        if snapshot is not self.snapshot:
            return verdict(snapshot, source, destination, *cell)
        key = (source.name, destination.name, *cell)
        if key not in self._verdicts:
            self._verdicts[key] = verdict(snapshot, source, destination, *cell)
        return self._verdicts[key]

    def closed(self, before, after):
        """The cells of which the intent says nothing that are open in ``before`` and not in ``after``."""
        return {
            (source.name, destination.name, protocol, port, family)
            for source, destination in self.pairs()
            for family in families(source, destination)
            for protocol, port in self.edges
            if (source.name, destination.name, protocol, port) not in self.demands
            and self._verdict(before, source, destination, protocol, port, family) is Verdict.ALLOWED
            and verdict(after, source, destination, protocol, port, family) is Verdict.DENIED
        }

    def is_silent_of_something_open(self, snapshot):
        """Whether ``closed`` could find anything at all."""
        return any(
            self._verdict(snapshot, source, destination, protocol, port, family) is Verdict.ALLOWED
            for source, destination in self.pairs()
            for family in families(source, destination)
            for protocol, port in self.edges[:2]
            if (source.name, destination.name, protocol, port) not in self.demands
        )


def after_change_of(change: ProposedChange, snapshot: Snapshot) -> Snapshot:
    """``snapshot`` once somebody has made ``change``."""
    policies: list[Any] = [*snapshot.policies, *snapshot.admin_policies]
    for edit in change.edits:
        if edit.before is not None and edit.after is not None:
            policies[policies.index(edit.before)] = edit.after
        elif edit.before is not None:
            policies.remove(edit.before)
        elif edit.after is not None:
            policies.append(edit.after)
    of_tenants = tuple(each for each in policies if isinstance(each, NetworkPolicy))
    of_administrators = tuple(each for each in policies if isinstance(each, AdminPolicy))
    return replace(snapshot, policies=of_tenants, admin_policies=of_administrators)
