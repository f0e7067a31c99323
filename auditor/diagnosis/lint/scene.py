"""What the checks look at: the snapshot with everything that its policies do, as bitsets over groups of endpoints.

Checks ask for meaning, not for text, and must be fast on thousands of pods; so who is selected, who is a peer and which ports that opens
is computed once, here, from the same groups and port atoms as the expected matrix.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property

from auditor.diagnosis.lint.offers import Offers
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import FIRST_PORT, LAST_PORT
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Namespace, Snapshot
from auditor.policy.atoms import cut_atoms, policy_ports, port_names
from auditor.policy.bits import bits, mask_of
from auditor.policy.groups import Groups
from auditor.policy.selectors import matches
from auditor.policy.workload_names import workload_name

MOST_NAMES = 3
SYSTEM = "kube-system"
IN_EVERY_CLUSTER = ("default", SYSTEM, "kube-public", "kube-node-lease")
"""Namespaces that exist whether or not the input has them."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What one rule in force opens: its subjects, the reach of each of its peers, and the ports.

    Sets are over groups. ``ports`` maps sets of atoms to the destinations on which they are meant, as a named port needs it.
    """

    policy: NetworkPolicy
    direction: Direction
    number: int
    rule: Rule
    subjects: int
    reach: tuple[int, ...]
    peers: int
    ports: Mapping[int, int]

    @property
    def is_allow_all(self) -> bool:
        """Whether it opens every port to every peer."""
        return not self.rule.peers and not self.rule.ports


class Scene:
    """A snapshot, ready for checks."""

    def __init__(self, snapshot: Snapshot, *, complete: bool = True) -> None:
        """``complete``: the snapshot has every namespace with its labels, as a live cluster's has, and files may not."""
        self.snapshot = snapshot
        self.complete = complete
        self._matching: dict[LabelSelector, list[Namespace]] = {}
        self._names: dict[int, str] = {}
        self._labels: dict[str, Mapping[str, AbstractSet[str]]] = {}
        items = policy_ports(snapshot.policies)
        asked = port_names(items)
        declared = {(port.protocol, port.name) for endpoint in snapshot.endpoints for port in endpoint.ports}
        self.groups = Groups(snapshot, asked | declared)
        self.atoms = cut_atoms(items, asked, snapshot.endpoints)
        self._numbers = {name: self.groups.declaring(name) for name in asked}
        self.subjects = [self.groups.with_labels(policy.pod_selector) & self.pods_in(policy.namespace) for policy in snapshot.policies]
        self.isolated = dict.fromkeys(Direction, 0)
        for policy, subjects in zip(snapshot.policies, self.subjects, strict=True):
            for direction in policy.directions:
                self.isolated[direction] |= subjects
        self.openings = [
            self._opening(policy, direction, number, rule, subjects)
            for policy, subjects in zip(snapshot.policies, self.subjects, strict=True)
            for direction in Direction
            for number, rule in enumerate(policy.rules(direction))
        ]

    def _opening(self, policy: NetworkPolicy, direction: Direction, number: int, rule: Rule, subjects: int) -> Opening:
        reach = tuple(self.reach(policy, peer) for peer in rule.peers)
        peers = 0 if rule.peers else self.groups.everything
        for mask in reach:
            peers |= mask
        return Opening(policy, direction, number, rule, subjects, reach, peers, self._ports(rule.ports))

    def reach(self, policy: NetworkPolicy, peer: Peer) -> int:
        """The groups that ``peer`` means in ``policy``: by selectors, or by address over any family."""
        if peer.ip_block is not None:
            return self.groups.in_block(peer.ip_block, Family(peer.ip_block.cidr.version))
        pods = self.pods_in(policy.namespace) if peer.namespace_selector is None else self.groups.in_namespaces(peer.namespace_selector)
        return pods if peer.pod_selector is None else pods & self.groups.with_labels(peer.pod_selector)

    def _ports(self, ports: Iterable[PolicyPort]) -> Mapping[int, int]:
        opened: dict[int, int] = {}
        for port in ports:
            for atoms, destinations in self.port_reach(port).items():
                opened[atoms] = opened.get(atoms, 0) | destinations
        return opened if ports else {self.atoms.everything: self.groups.everything}

    def port_reach(self, port: PolicyPort) -> Mapping[int, int]:
        """The atoms that ``port`` means, with the destinations on which it means them."""
        if port.name is not None:
            numbers = self._numbers[port.protocol, port.name]
            return {
                self.atoms.mask(port.protocol, number, number): declaring & self.groups.selectable for number, declaring in numbers.items()
            }
        first, last = port_range(port)
        return {self.atoms.mask(port.protocol, first, last): self.groups.everything}

    def pods_in(self, namespace: str) -> int:
        """The selectable groups of ``namespace``."""
        return self.groups.in_namespace(namespace)

    def namespaces_matching(self, selector: LabelSelector) -> list[Namespace]:
        """The known namespaces whose labels match."""
        if selector not in self._matching:
            self._matching[selector] = [each for each in self.namespaces.values() if matches(selector, each.labels)]
        return self._matching[selector]

    @cached_property
    def uncertain(self) -> int:
        """The pods of namespaces with a policy that can't be read: they may be isolated, and may be allowed more than is known."""
        mask = 0
        for policy in self.snapshot.unknown:
            mask |= self.pods_in(policy.namespace)
        return mask

    @cached_property
    def without_address(self) -> int:
        """The groups of pods whose addresses are not known."""
        groups = zip(self.groups.of_endpoint, self.snapshot.endpoints, strict=True)
        return mask_of(group for group, endpoint in groups if endpoint.selectable and not endpoint.addresses)

    @cached_property
    def namespaces(self) -> Mapping[str, Namespace]:
        """The snapshot's namespaces, and those that every cluster has."""
        return {**{name: Namespace.of(name) for name in IN_EVERY_CLUSTER}, **self.snapshot.namespaces}

    @cached_property
    def _members(self) -> Mapping[int, list[Endpoint]]:
        members: dict[int, list[Endpoint]] = defaultdict(list)
        for group, endpoint in zip(self.groups.of_endpoint, self.snapshot.endpoints, strict=True):
            members[group].append(endpoint)
        return members

    def members(self, mask: int) -> Iterator[Endpoint]:
        """The endpoints of the groups in ``mask``."""
        for group in bits(mask):
            yield from self._members[group]

    def count(self, mask: int) -> int:
        """How many endpoints are in the groups of ``mask``."""
        return sum(len(self._members[group]) for group in bits(mask))

    def names(self, mask: int) -> str:
        """The endpoints of ``mask`` for people: the workloads that they belong to, the first few by name, then how many more."""
        if mask not in self._names:
            self._names[mask] = listed(list(dict.fromkeys(name for group in bits(mask) for name in self._workloads[group])))
        return self._names[mask]

    @cached_property
    def _workloads(self) -> Mapping[int, Collection[str]]:
        return {group: dict.fromkeys(map(workload_name, members)) for group, members in self._members.items()}

    @cached_property
    def pod_endpoints(self) -> Mapping[str, list[Endpoint]]:
        """The pods of each namespace, hostNetwork pods included."""
        found: dict[str, list[Endpoint]] = defaultdict(list)
        for endpoint in self.snapshot.endpoints:
            if endpoint.kind is EndpointKind.POD:
                found[endpoint.namespace].append(endpoint)
        return found

    @cached_property
    def on_host_network(self) -> Mapping[str, list[Endpoint]]:
        """The hostNetwork pods of each namespace that has any."""
        found: dict[str, list[Endpoint]] = defaultdict(list)
        for endpoint in self.snapshot.endpoints:
            if endpoint.kind is EndpointKind.POD and endpoint.host_network:
                found[endpoint.namespace].append(endpoint)
        return found

    def labels_in(self, namespace: str) -> Mapping[str, AbstractSet[str]]:
        """The values of each label that any pod of ``namespace`` has."""
        if namespace not in self._labels:
            values: dict[str, set[str]] = defaultdict(set)
            for pod in self.pod_endpoints.get(namespace, ()):
                for key, value in pod.labels.items():
                    values[key].add(value)
            self._labels[namespace] = values
        return self._labels[namespace]

    @cached_property
    def offers(self) -> Offers:
        """What the pods offer."""
        return Offers(self.snapshot, self.groups)


def port_range(port: PolicyPort) -> tuple[int, int]:
    """The first and last number of a port that isn't named."""
    if port.number is None:
        return FIRST_PORT, LAST_PORT
    return port.number, port.number if port.end_port is None else port.end_port


def meet(one: Opening, other: Opening) -> bool:
    """Whether an egress rule and an ingress rule, in either order, together open any port between any two pods."""
    egress, ingress = (one, other) if one.direction is Direction.EGRESS else (other, one)
    if not egress.subjects & ingress.peers:
        return False
    destinations = ingress.subjects & egress.peers
    return bool(destinations) and any(
        atoms & other_atoms and destinations & meant & other_meant
        for atoms, meant in egress.ports.items()
        for other_atoms, other_meant in ingress.ports.items()
    )


def listed(names: list[str], most: int = MOST_NAMES) -> str:
    """``names`` in a sentence, the first of them where there are many."""
    if len(names) <= most + 1:
        return " and ".join(filter(None, (", ".join(names[:-1]), names[-1] if names else "")))
    return f"{', '.join(names[:most])} and {len(names) - most:,} more"
