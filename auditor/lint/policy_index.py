"""What the checks look at: the snapshot with everything that its policies do, as bitsets over groups of endpoints.

Checks ask for meaning, not for text, and must be fast on thousands of pods; so who is selected, who is a peer and which
ports that opens is computed once, here, from the same groups and port atoms as the expected matrix.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from auditor.lint.area import Area, PodValues
from auditor.lint.implication import ANYTHING, conditions
from auditor.lint.listing import MOST_NAMES, listed_first
from auditor.lint.offers import Offers
from auditor.model.labels import NAMESPACE_NAME_LABEL, LabelSelector
from auditor.model.policy import Direction, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.skipped import MAKES_PODS, Cause
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Namespace, Snapshot
from auditor.model.workloads import workload_name
from auditor.policy.atoms import cut_atoms, policy_ports, port_names
from auditor.policy.bits import bits, mask_of
from auditor.policy.compiled import RuleCompiler, peer_groups
from auditor.policy.groups import Groups
from auditor.policy.label_index import LabelIndex
from auditor.policy.outside import outside_peers
from auditor.policy.tiers_in_order import TIERS

MOST_LOOKED_AT = 64
SYSTEM = "kube-system"
DEFAULT = "default"
IN_EVERY_CLUSTER = (DEFAULT, SYSTEM, "kube-public", "kube-node-lease")
"""Namespaces that exist whether or not the input has them."""
BEFORE_RENDERING = frozenset({Cause.KUSTOMIZATION, Cause.PATCH, Cause.TEMPLATE, Cause.CHART})


@dataclass(frozen=True, slots=True)
class IndexedRule:
    """What one rule in force opens: its subjects, the reach of each of its peers, and the ports.

    Sets are over groups. ``ports`` maps sets of atoms to the destinations on which they are meant, as a named port
    needs it.
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


class PolicyIndex:
    """A snapshot, ready for checks."""

    def __init__(self, snapshot: Snapshot, *, complete: bool = True) -> None:
        """``complete``: the snapshot has every namespace with its labels, as a live cluster's has, and
        files may not.
        """
        self.snapshot = snapshot
        self.complete = complete
        self._matching: dict[LabelSelector, list[Namespace]] = {}
        self._names: dict[int, str] = {}
        self._areas: dict[int, Area] = {}
        self._values: dict[str, list[str]] = {}
        self._namespaces_of: dict[int, list[str]] = {}
        items = policy_ports(snapshot.policies)
        asked = port_names(items)
        declared = {(port.protocol, port.name) for endpoint in snapshot.endpoints for port in endpoint.ports}
        traits = [tier.traits(snapshot) for tier in TIERS if tier.applies(snapshot)]
        self.groups = Groups(snapshot, asked | declared, traits)
        self.atoms = cut_atoms(items, asked, snapshot.endpoints)
        names = {name: self.groups.declaring(name) for name in asked}
        self._compiler = RuleCompiler(self.groups, self.atoms, names)
        self.subjects = list(map(self.groups.selected_by, snapshot.policies))
        self.isolated = dict.fromkeys(Direction, 0)
        for policy, subjects in zip(snapshot.policies, self.subjects, strict=True):
            for direction in policy.directions:
                self.isolated[direction] |= subjects
        self.rules = [
            self._indexed_rule(policy, direction, number, rule, subjects)
            for policy, subjects in zip(snapshot.policies, self.subjects, strict=True)
            for direction in Direction
            for number, rule in enumerate(policy.rules(direction))
        ]

    def _indexed_rule(
        self, policy: NetworkPolicy, direction: Direction, number: int, rule: Rule, subjects: int
    ) -> IndexedRule:
        reach = tuple(self.reach(policy, peer) for peer in rule.peers)
        peers = 0 if rule.peers else self.groups.everything
        for mask in reach:
            peers |= mask
        return IndexedRule(policy, direction, number, rule, subjects, reach, peers, self._compiler.ports(rule.ports))

    def reach(self, policy: NetworkPolicy, peer: Peer) -> int:
        """The groups that ``peer`` means in ``policy``: by selectors, or by address over any family."""
        family = Family.IPV4 if peer.ip_block is None else Family(peer.ip_block.cidr.version)
        return peer_groups(self.groups, policy, peer, family)

    def port_reach(self, port: PolicyPort) -> Mapping[int, int]:
        """The atoms that ``port`` means, with the destinations on which it means them."""
        return self._compiler.ports((port,))

    def pods_in(self, namespace: str) -> int:
        """The selectable groups of ``namespace``."""
        return self.groups.in_namespace(namespace)

    def namespaces_matching(self, selector: LabelSelector) -> list[Namespace]:
        """The known namespaces whose labels match."""
        if selector not in self._matching:
            self._matching[selector] = self.numbered_namespaces(self.namespace_labels.matching(selector))
        return self._matching[selector]

    def numbered_namespaces(self, mask: int) -> list[Namespace]:
        """The namespaces in ``mask``, a set of the numbers that ``namespace_labels`` has."""
        return [self._numbered_namespaces[number] for number in bits(mask)]

    def area(self, where: str | LabelSelector) -> Area:
        """One namespace, or those that a selector matches."""
        mask = (
            1 << self._number_of_namespace[where] if isinstance(where, str) else self.namespace_labels.matching(where)
        )
        if mask not in self._areas:
            names = [self._numbered_namespaces[number].name for number in islice(bits(mask), MOST_NAMES + 1)]
            self._areas[mask] = Area(
                mask, listed_first(names, mask.bit_count()), self._pod_values, has_pods=bool(mask & self._with_pods)
            )
        return self._areas[mask]

    def namespace_values(self, key: str) -> list[str]:
        """The values that the label ``key`` has on namespaces, sorted."""
        if key not in self._values:
            self._values[key] = sorted(
                {namespace.labels[key] for namespace in self._numbered_namespaces if key in namespace.labels}
            )
        return self._values[key]

    @cached_property
    def _with_pods(self) -> int:
        return mask_of(number for name, number in self._number_of_namespace.items() if self.pod_endpoints.get(name))

    @cached_property
    def is_final(self) -> bool:
        """Whether objects are as a cluster gets them. What is left to be rendered may change labels and namespaces."""
        return self.complete or not any(each.cause in BEFORE_RENDERING for each in self.snapshot.skipped)

    @cached_property
    def has_final_namespaces(self) -> bool:
        """As ``is_final``, of the Namespaces that are given: templates make objects of their own and change no
        others.
        """
        changing = (Cause.KUSTOMIZATION, Cause.PATCH)
        return self.complete or not any(each.cause in changing for each in self.snapshot.skipped)

    def is_placed(self, namespace: str) -> bool:
        """Whether what stands in ``namespace`` is meant for it. Files that name no namespace are mostly applied with
        another than default.
        """
        return self.complete or (self.is_final and (namespace != DEFAULT or self.namespaces[DEFAULT].known))

    @property
    def lacks_policies(self) -> bool:
        """Whether some could not be read, which may open what the others close, and isolate what they leave open."""
        return any(each.kind == "NetworkPolicy" for each in self.snapshot.skipped)

    @cached_property
    def outside(self) -> Sequence[Endpoint]:
        """The peers outside: addresses of no pod, node or Service, apart where rules split them."""
        return outside_peers([self.snapshot])

    def has_its_pods(self, namespace: str) -> bool:
        """Whether pods of ``namespace`` that are not in the input would be surprising: of files, nothing is left to be
        rendered, to be made by an operator, or to be put into another namespace.
        """
        made = any(MAKES_PODS in kind for kind in self.snapshot.ignored)
        return self.complete or (self.is_placed(namespace) and not made)

    def names_namespace(self, namespace: str) -> bool:
        """As ``is_placed``, of policies that are held against each other only: another namespace would be one for all,
        unless it is left to be filled in.
        """
        return self.is_placed(namespace) or namespace != DEFAULT or self.namespaces[DEFAULT].known

    def is_all_known(self, peer: Peer) -> bool:
        """Whether everything that ``peer`` means is among the known pods. In files, other namespaces have pods of which
        nothing is said.
        """
        selector = peer.namespace_selector
        if peer.ip_block is not None or selector is None:
            return peer.ip_block is None
        if not self.complete:
            called = conditions(selector).get(NAMESPACE_NAME_LABEL, ANYTHING)
            return not called.negated and all(self.pod_endpoints.get(name) for name in called.values)
        # A whole cluster has pods in kube-system.
        return all(
            self.pod_endpoints.get(each.name) for each in self.namespaces_matching(selector) if each.name == SYSTEM
        )

    @cached_property
    def unknown_labels(self) -> frozenset[str]:
        """The keys of labels that pods have, or may have, with values that nobody can know."""
        return frozenset[str]().union(*(endpoint.unknown_labels for endpoint in self.snapshot.endpoints))

    @cached_property
    def labels_of_services(self) -> Collection[tuple[str, str]]:
        """The labels by which Services select their pods, which may not be in the input."""
        return {pair for service in self.snapshot.services for pair in (service.selector or {}).items()}

    @cached_property
    def _pod_values(self) -> PodValues:
        return PodValues((self._number_of_namespace[name], pods) for name, pods in self.pod_endpoints.items())

    @cached_property
    def _number_of_namespace(self) -> Mapping[str, int]:
        return {name: number for number, name in enumerate(self.namespaces)}

    @cached_property
    def _numbered_namespaces(self) -> Sequence[Namespace]:
        return tuple(self.namespaces.values())

    @cached_property
    def namespace_labels(self) -> LabelIndex:
        """The known namespaces, numbered in their order, by their labels."""
        return LabelIndex([namespace.labels for namespace in self._numbered_namespaces])

    @cached_property
    def uncertain(self) -> int:
        """The pods of namespaces with a policy that can't be read: they may be isolated, and may be allowed more than
        is known.
        """
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
        always = {name: Namespace.of(name, known=self.complete) for name in IN_EVERY_CLUSTER}
        return {**always, **self.snapshot.namespaces}

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

    def namespaces_of(self, mask: int) -> list[str]:
        """The names of the namespaces of the groups in ``mask``, sorted."""
        if mask not in self._namespaces_of:
            self._namespaces_of[mask] = sorted({self.groups.representatives[group].namespace for group in bits(mask)})
        return self._namespaces_of[mask]

    def count(self, mask: int) -> int:
        """How many endpoints are in the groups of ``mask``."""
        return _total(self._endpoint_counts, mask)

    @cached_property
    def _endpoint_counts(self) -> list[int]:
        return _sliced({group: len(members) for group, members in self._members.items()})

    def names(self, mask: int) -> str:
        """The endpoints of ``mask`` for people: the workloads that they belong to, the first few by name, then how many
        more.
        """
        if mask not in self._names:
            first = list(islice(dict.fromkeys(islice(self._workloads_in(mask), MOST_LOOKED_AT)), MOST_NAMES + 1))
            if len(first) <= MOST_NAMES:
                first = list(islice(dict.fromkeys(self._workloads_in(mask)), MOST_NAMES + 1))
            self._names[mask] = listed_first(first, self._count_workloads(mask))
        return self._names[mask]

    def _workloads_in(self, mask: int) -> Iterator[str]:
        return (name for group in bits(mask) for name in self._workloads[group])

    def _count_workloads(self, mask: int) -> int:
        in_one, in_several = self._workload_counts
        return _total(in_one, mask) + sum(1 for groups in in_several if groups & mask)

    @cached_property
    def _workload_counts(self) -> tuple[list[int], list[int]]:
        """How many workloads each group has that are in no other, sliced; and the groups of each workload that is in
        several.
        """
        groups: dict[str, list[int]] = defaultdict(list)
        for group, names in self._workloads.items():
            for name in names:
                groups[name].append(group)
        in_one = Counter(found[0] for found in groups.values() if len(found) == 1)
        return _sliced(in_one), [mask_of(found) for found in groups.values() if len(found) > 1]

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

    def on_host_network(self, selector: LabelSelector, area: Area) -> list[str]:
        """The names of the hostNetwork pods of ``area`` that ``selector`` would match."""
        pods, by_labels, by_namespace = self._on_host_network
        found = by_labels.matching(selector) if pods else 0
        return [pods[number].name for number in bits(found) if area.mask >> by_namespace[number] & 1]

    @cached_property
    def _on_host_network(self) -> tuple[list[Endpoint], LabelIndex, list[int]]:
        """The hostNetwork pods by namespace, their labels, and the number of each one's namespace."""
        pods = [pod for name in self.namespaces for pod in self.pod_endpoints.get(name, ()) if pod.host_network]
        return (
            pods,
            LabelIndex([pod.labels for pod in pods]),
            [self._number_of_namespace[pod.namespace] for pod in pods],
        )

    @cached_property
    def offers(self) -> Offers:
        """What the pods offer."""
        return Offers(self.snapshot, self.groups)


def _sliced(numbers: Mapping[int, int]) -> list[int]:
    """The numbers of groups, bit by bit: for each power of two the groups whose number has it."""
    most = max(numbers.values(), default=0)
    return [
        mask_of(group for group, number in numbers.items() if number >> power & 1) for power in range(most.bit_length())
    ]


def _total(sliced: Sequence[int], mask: int) -> int:
    """The sum of the numbers of the groups in ``mask``."""
    return sum((groups & mask).bit_count() << power for power, groups in enumerate(sliced))


def meet(one: IndexedRule, other: IndexedRule) -> bool:
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
