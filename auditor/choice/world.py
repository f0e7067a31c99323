"""The policies of a cluster as bitsets over the pods that probe pods can stand for.

Pods are taken without their own addresses: a probe pod has their labels, and an address that nobody knows yet. It is
taken to be in those ipBlocks that hold the addresses of most pods, and in no others. Hosts outside that are to be tried
keep theirs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from operator import ne

from auditor.choice.columns import Column, Columns
from auditor.choice.misreadings import Reading
from auditor.choice.sides import Side, Sides, is_lone
from auditor.choice.tiers import AdminPolicies
from auditor.model.addresses import IPAddress
from auditor.model.admin_policy import AdminTier
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, IPBlock, NetworkPolicy, PolicyPort, Rule
from auditor.model.ports import PortRequest
from auditor.model.snapshot import Endpoint, Family, Snapshot
from auditor.policy.atoms import cut_atoms, port_names
from auditor.policy.bits import bits, mask_of
from auditor.policy.compiled import CompiledRule, RuleCompiler
from auditor.policy.groups import Groups
from auditor.policy.tier_admin import AdminPolicyTier
from auditor.policy.tiers import Universe
from auditor.policy.traits import network_policy_traits, peers_in_force
from auditor.probing.plan import ALWAYS_PROBED


class World:
    """``snapshot`` with its pods' addresses taken away, and the hosts ``outside``. Every policy may be read as having
    both directions.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        outside: Iterable[Endpoint],
        namespaces: Collection[str] | None = None,
        probes: Iterable[Endpoint] = (),
        seed: int | None = None,
    ) -> None:
        """``namespaces`` are those of which an area is looked at; None: any. ``probes`` are there beside the pods, and
        count as nobody's members. ``seed``: which of equal groups have their turn; None: the largest.
        """
        self.seed = seed
        admin = [tier.traits(snapshot) for tier in map(AdminPolicyTier, AdminTier) if tier.applies(snapshot)]
        blocks = network_policy_traits(snapshot).blocks.union(*(each.blocks for each in admin))
        addresses = _of_any_pod(snapshot, blocks)
        pods = [replace(end, addresses=addresses) for end in snapshot.endpoints if end.selectable]
        self.snapshot = replace(snapshot, endpoints=(*pods, *outside))
        everybody = (*self.snapshot.endpoints, *(replace(end, addresses=addresses) for end in probes))
        both = frozenset(Direction)
        policies = tuple(replace(policy, directions=both) for policy in snapshot.policies)
        traits = network_policy_traits(replace(snapshot, policies=policies))
        of_admin = [port for each in admin for port in each.ports]
        ports = [*traits.ports, *map(_first_alone, [*traits.ports, *of_admin]), *_of_other_protocols(traits.ports)]
        ports += of_admin
        names = port_names(ports)
        self.atoms = cut_atoms(ports, names, everybody)
        self.groups = Groups(replace(self.snapshot, endpoints=everybody), names, [traits, *admin])
        self.blocks_hold_pods = any(address in block.cidr for block in traits.blocks for address in addresses)
        self.declared = {name: self.groups.declaring(name) for name in names}
        self._compiler = RuleCompiler(self.groups, self.atoms, self.declared)
        self._compiled: dict[tuple[str, int], tuple[Rule, CompiledRule]] = {}
        self._columns: dict[tuple[tuple[Family, ...], tuple[PortRequest, ...]], Columns] = {}
        universe = Universe(self.groups, self.atoms, self.declared)
        self.admin = AdminPolicies(snapshot, universe) if snapshot.admin_policies else None
        self._sides = Sides(snapshot.policies, self.groups, self.compiled, namespaces, self.admin)

    @cached_property
    def members(self) -> list[list[Endpoint]]:
        """The endpoints of each group; none of a group of probes alone."""
        members: list[list[Endpoint]] = [[] for _ in self.groups.representatives]
        for endpoint, group in zip(self.snapshot.endpoints, self.groups.of_endpoint, strict=False):
            members[group].append(endpoint)
        return members

    @cached_property
    def sides(self) -> dict[Direction, Side]:
        """The policies as they are written."""
        return self._sides.written()

    @cached_property
    def everywhere(self) -> list[tuple[str, dict[Direction, Side]]]:
        """What is wrong, and the policies, for each dialect that takes any of them for another."""
        return list(self._sides.everywhere())

    @property
    def all_sides(self) -> list[dict[Direction, Side]]:
        """``sides``, and those of each dialect ``everywhere``."""
        return [self.sides, *(sides for _, sides in self.everywhere)]

    @cached_property
    def selectors_everywhere(self) -> set[LabelSelector]:
        """The selectors for pods in the policies as any dialect takes them."""
        sides = [one for _, both in self.everywhere for one in both.values()]
        policies = list({id(each): each for one in sides for each in one.read}.values())
        peers = (peer.pod_selector for peer in peers_in_force(policies))
        of_admin = frozenset[LabelSelector]() if self.admin is None else self.admin.selectors
        return {policy.pod_selector for policy in policies}.union(each for each in peers if each is not None) | of_admin

    def namespaces_with_policies(self, namespaces: Collection[str], audited: int) -> list[str]:
        """Those of ``namespaces`` that have policies of their own, and those with ``audited`` groups that policies of
        administrators are for.
        """
        found = {policy.namespace for policy in self.snapshot.policies}.intersection(namespaces)
        for_them = audited & (0 if self.admin is None else self.admin.subjects)
        return sorted(found.union(name for name in namespaces if self.groups.in_namespace(name) & for_them))

    def policies_of(self, namespace: str) -> list[tuple[NetworkPolicy, int]]:
        """The policies of ``namespace``, each with the groups that it selects."""
        return self._by_namespace.get(namespace, [])

    @cached_property
    def _by_namespace(self) -> dict[str, list[tuple[NetworkPolicy, int]]]:
        found: dict[str, list[tuple[NetworkPolicy, int]]] = {}
        for policy in self.snapshot.policies:
            found.setdefault(policy.namespace, []).append((policy, self.groups.selected_by(policy)))
        return found

    def namespace_of(self, group: int) -> str:
        """Where the pods of ``group`` are; empty for a host outside."""
        return self.groups.representatives[group].namespace

    def compiled(self, policy: NetworkPolicy, rule: Rule) -> CompiledRule:
        """``rule``, one of a policy in the namespace of ``policy``. Each is compiled once, and one that names nobody by
        that namespace once for all.
        """
        key = (policy.namespace if any(map(is_lone, rule.peers)) else "", id(rule))
        if key not in self._compiled:
            self._compiled[key] = rule, self._compiler.rule(policy, rule, 0)
        return self._compiled[key][1]

    def forget(self) -> None:
        """Drop what was compiled so far: rules of misreadings are many."""
        self._compiled.clear()

    def selected(self, namespace: str, reading: Reading) -> int:
        """The groups that ``reading``, of a policy in ``namespace``, isolates."""
        if not reading.isolates:
            return 0
        return self.groups.with_labels(reading.selector) & self.groups.in_namespace(namespace)

    def column(self, family: Family, port: PortRequest) -> Column:
        """Connections on ``port``, given by its number."""
        return Column(family, self.atoms.index(port.protocol, port.number), port)

    def columns(self, families: Iterable[Family], ports: Sequence[PortRequest]) -> Columns:
        """Connections on each of ``ports`` over each of ``families``; the same ones are the same object."""
        key = (tuple(families), tuple(ports))
        if key not in self._columns:
            self._columns[key] = self._columns_of(*key)
        return self._columns[key]

    def _columns_of(self, families: Sequence[Family], ports: Sequence[PortRequest]) -> Columns:
        columns = tuple(self.column(family, port) for family in families for port in ports)
        columns *= 1 + self.blocks_hold_pods
        destinations = [self.reachable(column) for column in columns]
        sources = [self.groups.selectable] * len(columns)
        at_other_end = {Direction.EGRESS: destinations, Direction.INGRESS: sources}
        by_atom: dict[int, list[int]] = {}
        for place, column in enumerate(columns):
            by_atom.setdefault(column.atom, []).append(place)
        return Columns(columns, at_other_end, by_atom, mask_of(by_atom), self.blocks_hold_pods)

    def reachable(self, column: Column) -> int:
        """The groups that can be destinations in ``column``: pods, and hosts on the ports that they declare, which are
        no sources.
        """
        port = column.port
        hosts = 0
        for number in bits(self.groups.hosts):
            host = self.groups.representatives[number]
            declares = any((each.protocol, each.number) == (port.protocol, port.number) for each in host.ports)
            hosts |= declares << number if column.family in host.families else 0
        return self.groups.selectable | hosts


MOST_ADDRESSES = 64
"""Of so many addresses of pods that of any pod is one."""


def _of_any_pod(snapshot: Snapshot, blocks: Collection[IPBlock]) -> tuple[IPAddress, ...]:
    """An address of each family that is in those of ``blocks`` that most pods' addresses are in, and in no others, as
    nearly as any pod's is; none of a family of which no pod's is known.
    """
    addresses = [address for end in snapshot.endpoints if end.selectable for address in end.addresses]
    found = []
    for family in Family:
        here = [block for block in blocks if block.cidr.version == family]
        known = [address for address in addresses if address.version == family]
        some = known[:: 1 + len(known) // MOST_ADDRESSES]
        inside = [[address in block for block in here] for address in some]
        usual = [2 * sum(each) > len(some) for each in zip(*inside, strict=True)]
        unlike = [sum(map(ne, each, usual)) for each in inside]
        found += [some[unlike.index(min(unlike))]] if some else []
    return tuple(found)


def _first_alone(port: PolicyPort) -> PolicyPort:
    """The port that is left of ``port`` where its endPort is overlooked."""
    return replace(port, end_port=None)


def _of_other_protocols(ports: Iterable[PolicyPort]) -> Iterator[PolicyPort]:
    """What is opened besides where the protocol of ``ports`` is overlooked."""
    for port in ports:
        yield from (replace(port, protocol=protocol) for protocol in ALWAYS_PROBED if protocol is not port.protocol)


def opened(rule: CompiledRule, direction: Direction, subject: int, columns: Columns, hosts: int) -> dict[int, int]:
    """The groups to which ``rule`` opens the filter of the group ``subject``, by the place of a column of ``columns``;
    columns that are not there stay closed. ``hosts`` are no pods.
    """
    masks: dict[int, int] = {}
    without = columns.without_blocks
    for atoms, destinations in rule.ports.items():
        if direction is Direction.INGRESS and not destinations >> subject & 1:
            continue
        among = destinations if direction is Direction.EGRESS else -1
        for place, column in columns.of_atoms(atoms):
            blocked = rule.blocked[column.family]
            peers = rule.selected | (blocked if place < without else blocked & hosts)
            masks[place] = masks.get(place, 0) | peers & among
    return masks


def refined(parts: Iterable[int], masks: Iterable[int]) -> list[int]:
    """``parts``, split so that each of ``masks`` has all of a part or nothing of it."""
    split = list(parts)
    for mask in masks:
        finer = []
        for part in split:
            inside = part & mask
            finer += [inside, part & ~mask] if inside and inside != part else [part]
        split = finer
    return split


def lowest(mask: int) -> int:
    """The first number in ``mask``, which is not empty."""
    return next(bits(mask))
