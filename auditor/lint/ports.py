"""Checks of ports: rules that open a port which no selected pod has, under another protocol, or under the Service's
number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from auditor.lint.covering import FEW, most_compared
from auditor.lint.finding import Check, Remark, port_place
from auditor.lint.listing import listed
from auditor.lint.policy_index import IndexedRule, PolicyIndex
from auditor.model.lint import Severity
from auditor.model.notation import scalar
from auditor.model.policy import Direction, PolicyPort
from auditor.model.ports import Protocol
from auditor.policy.bits import bits

PORTS_PAGE = "https://kubernetes.io/docs/concepts/services-networking/network-policies/#networkpolicy-resource"
SERVICE_PAGE = "https://kubernetes.io/docs/concepts/services-networking/service/#field-spec-ports"


def _port_items(policy_index: PolicyIndex) -> Iterator[tuple[IndexedRule, int, PolicyPort, int]]:
    """Each port of each rule in force, with the pods that would have to have it.

    Left out are egress rules whose peers may not all be in the input, or may be at addresses, where nobody has
    declared what listens.
    """
    for indexed in policy_index.rules:
        destinations = (
            indexed.subjects if indexed.direction is Direction.INGRESS else indexed.peers
        ) & policy_index.groups.selectable
        if not destinations:
            continue
        peers = indexed.rule.peers
        if indexed.direction is Direction.EGRESS and not (peers and all(map(policy_index.is_all_known, peers))):
            continue
        for number, port in enumerate(indexed.rule.ports):
            yield indexed, number, port, destinations


def named_port_undeclared(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Named ports that none of the pods they are looked up on declares with that protocol."""
    names_of: dict[int, list[tuple[Protocol, str]]] = {}
    for indexed, number, port, destinations in _port_items(policy_index):
        if port.name is None or any(meant & destinations for meant in policy_index.port_reach(port).values()):
            continue
        if destinations not in names_of:
            pods = policy_index.members(destinations)
            names_of[destinations] = sorted(
                {(each.protocol, each.name) for pod in pods for each in pod.ports if each.name}
            )
        others = [protocol for protocol, name in names_of[destinations] if name == port.name]
        known = sorted(f"{protocol}/{name}" for protocol, name in names_of[destinations])
        hint = (
            f"Ports with a name there: {listed(known, 8)}."
            if known
            else "None of them gives any port a name: write the number."
        )
        if others:
            hint = (
                f"They declare it for {listed(list(map(str, others)))}:\n- {{protocol: {others[0]}, port: "
                f"{scalar(port.name)}}}"
            )
        message = (
            f"no pod that this rule is about ({policy_index.names(destinations)}) declares a {port.protocol} "
            f"port named {port.name}"
        )
        yield Remark(
            port_place(indexed.policy, indexed.direction, indexed.number, number), f"{message}: it opens nothing", hint
        )


def wrong_protocol(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Numbers that the pods declare for another protocol only, and which no rule for the same pods opens
    for that one.
    """
    offers = policy_index.offers
    opened = _OpenedAtoms(policy_index)
    for indexed, number, port, destinations in _port_items(policy_index):
        if (
            port.number is None
            or port.end_port is not None
            or offers.offering(port.protocol, port.number, port.number) & destinations
        ):
            continue
        others = [other for other in Protocol if offers.offering(other, port.number, port.number) & destinations]
        if not others:
            continue
        reached = opened.for_all_of(indexed)
        missing = [other for other in others if not reached >> policy_index.atoms.index(other, port.number) & 1]
        if missing and missing == others:
            message = (
                f"opens {port}, but {policy_index.names(destinations)} "
                f"{'has' if policy_index.count(destinations) == 1 else 'have'} "
                f"port {port.number} for {listed(list(map(str, others)))}, which no rule opens"
            )
            left_out = " (the protocol is TCP where none is given)" if port.protocol is Protocol.TCP else ""
            hint = f"Write the protocol that is spoken{left_out}:\n- {{protocol: {others[0]}, port: {port.number}}}"
            yield Remark(port_place(indexed.policy, indexed.direction, indexed.number, number), message, hint)


class _OpenedAtoms:
    """The atoms that any rule opens for all of certain pods."""

    def __init__(self, policy_index: PolicyIndex) -> None:
        self._everything = policy_index.atoms.everything
        self._opened: dict[tuple[str, Direction], dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for indexed in policy_index.rules:
            for atoms in indexed.ports:
                self._opened[indexed.policy.namespace, indexed.direction][indexed.subjects] |= atoms
        self._few: dict[tuple[str, Direction], dict[int, list[int]]] = {}
        self._many: dict[tuple[str, Direction], list[int]] = {}
        for key, opened in self._opened.items():
            self._many[key] = [subjects for subjects in opened if subjects.bit_count() > FEW]
            self._few[key] = defaultdict(list)
            for subjects in opened:
                for group in bits(subjects) if subjects.bit_count() <= FEW else ():
                    self._few[key][group].append(subjects)
        self._found: dict[tuple[str, Direction, int], int] = {}

    def for_all_of(self, indexed: IndexedRule) -> int:
        """The atoms that are open for all pods of ``indexed``; all of them where too many rules are for other pods:
        nobody can say then.
        """
        key = (indexed.policy.namespace, indexed.direction)
        if (*key, indexed.subjects) not in self._found:
            self._found[*key, indexed.subjects] = self._find(key, indexed.subjects)
        return self._found[*key, indexed.subjects]

    def _find(self, key: tuple[str, Direction], subjects: int) -> int:
        group = subjects.bit_length() - 1
        several = [*self._many[key], *self._few[key].get(group, ())] if subjects else list(self._opened[key])
        if subjects and len(several) > most_compared(len(self._opened[key])):
            return self._everything
        atoms = 0
        for others in several:
            if not subjects & ~others:
                atoms |= self._opened[key][others]
        return atoms


def service_port(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Numbers that are a Service's port and not the port of the pods behind it."""
    offers = policy_index.offers
    for indexed, number, port, destinations in _port_items(policy_index):
        if port.number is None or offers.offering(port.protocol, *port.bounds) & destinations:
            continue
        found = offers.by_service(port.protocol, port.number, destinations)
        if found is not None:
            name = f"{found.service.namespace}/{found.service.name}"
            message = (
                f"{port} is the port of Service {name}; its pods listen on {found.target}, and that is what a "
                "policy sees"
            )
            hint = f"- {{protocol: {port.protocol}, port: {found.target}}}"
            yield Remark(port_place(indexed.policy, indexed.direction, indexed.number, number), message, hint)


def port_not_offered(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Numbers that no pod has, where all pods declare ports and are behind Services, so that their ports are likely all
    known.
    """
    offers = policy_index.offers
    for indexed, number, port, destinations in _port_items(policy_index):
        if port.number is None or destinations & ~offers.fully_known:
            continue
        first, last = port.bounds
        if any(offers.offering(protocol, first, last) & destinations for protocol in Protocol):
            continue
        if offers.by_service(port.protocol, port.number, destinations) is None:
            message = (
                f"opens {port}, but {policy_index.names(destinations)} "
                f"{'declares' if policy_index.count(destinations) == 1 else 'declare'} no such port"
            )
            hint = f"Known ports: {listed(offers.ports(destinations), 8)}."
            yield Remark(port_place(indexed.policy, indexed.direction, indexed.number, number), message, hint)


CHECKS = (
    Check(
        "named-port-undeclared",
        Severity.WARNING,
        "A named port that no pod declares",
        "A named port is looked up on each destination pod, among its container ports of the same protocol. Where "
        "no pod has it, the rule "
        "opens nothing.",
        named_port_undeclared,
        PORTS_PAGE,
    ),
    Check(
        "wrong-protocol",
        Severity.WARNING,
        "A port that is opened for one protocol and declared for another",
        "TCP 53 and UDP 53 are different ports. The protocol is TCP where a rule gives none, so a rule for a UDP "
        "listener has to say so.",
        wrong_protocol,
        PORTS_PAGE,
    ),
    Check(
        "service-port-not-target-port",
        Severity.WARNING,
        "The port of a Service where the pods' port is meant",
        "A Service's address and port are translated to a pod's, usually before policies are applied. A policy has "
        "to name the port that "
        "the pod listens on (targetPort).",
        service_port,
        SERVICE_PAGE,
    ),
    Check(
        "port-not-offered",
        Severity.INFO,
        "A port that no selected pod offers",
        "The rule opens a port that no selected pod declares and no Service sends to them: left over, or a typing "
        "error. Declaring ports "
        "is optional, so this is reported only for pods that do declare ports and are behind a Service.",
        port_not_offered,
        SERVICE_PAGE,
    ),
)
