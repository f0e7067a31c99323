"""A NetworkPolicy as its author wrote it, with the defaults of networking.k8s.io/v1 filled in.

Each part remembers the line that it stands on (``line``, counted from 1, 0 when unknown), so that whatever is said
about it can name the place. Lines take no part in comparing or hashing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import ip_network
from typing import Self

from auditor.model.addresses import IPAddress, IPNetwork
from auditor.model.labels import LabelSelector
from auditor.model.ports import FIRST_PORT, LAST_PORT, Protocol


class Direction(StrEnum):
    """The two sides on which a policy can isolate a pod (networking/v1 PolicyType)."""

    __hash__ = str.__hash__  # a key of large tables, and Enum's own is ten times as slow

    INGRESS = "Ingress"
    EGRESS = "Egress"

    @property
    def opposite(self) -> Direction:
        """The direction at the other end of a connection."""
        return Direction.EGRESS if self is Direction.INGRESS else Direction.INGRESS


@dataclass(frozen=True, slots=True)
class IPBlock:
    """Addresses inside ``cidr`` and outside every range of ``excepts``. Host bits of legacy CIDRs are cut off."""

    cidr: IPNetwork
    excepts: tuple[IPNetwork, ...] = ()

    @classmethod
    def of_address(cls, address: IPAddress) -> IPBlock:
        """The block that is one address."""
        return cls(ip_network(address))

    @property
    def is_whole_family(self) -> bool:
        """Whether every address of the family is inside."""
        return self.cidr.prefixlen == 0 and not self.excepts

    def __contains__(self, address: IPAddress) -> bool:
        """Whether ``address`` is inside, and in no except."""
        return address in self.cidr and not any(address in network for network in self.excepts)

    def __str__(self) -> str:
        return f"{self.cidr} except {', '.join(map(str, self.excepts))}" if self.excepts else str(self.cidr)


@dataclass(frozen=True, slots=True)
class Peer:
    """One item of ``from`` or ``to``: either ``ip_block`` alone, or one or both selectors (both mean AND)."""

    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IPBlock | None = None
    line: int = field(default=0, compare=False)

    def __str__(self) -> str:
        if self.ip_block is not None:
            return f"ipBlock {self.ip_block}"
        parts = []
        if self.namespace_selector is not None:
            parts.append(f"namespaceSelector {self.namespace_selector}")
        if self.pod_selector is not None:
            parts.append(f"podSelector {self.pod_selector}")
        return " and ".join(parts)


@dataclass(frozen=True, slots=True)
class PolicyPort:
    """One item of ``ports``.

    Every port of ``protocol`` when both ``number`` and ``name`` are None; ``number`` to ``end_port`` inclusive when a
    number is given (``end_port`` None: that number alone); else the ports that each destination pod declares under
    ``name``.
    """

    protocol: Protocol = Protocol.TCP
    number: int | None = None
    end_port: int | None = None
    name: str | None = None
    line: int = field(default=0, compare=False)

    @property
    def bounds(self) -> tuple[int, int]:
        """The first and the last port that it means, where it isn't named: every port without a number."""
        if self.number is None:
            return FIRST_PORT, LAST_PORT
        return self.number, self.number if self.end_port is None else self.end_port

    def __str__(self) -> str:
        if self.name is not None:
            return f"{self.protocol}/{self.name}"
        if self.number is None:
            return f"{self.protocol}/*"
        return f"{self.protocol}/{self.number}" + (f"-{self.end_port}" if self.end_port is not None else "")


@dataclass(frozen=True, slots=True)
class Rule:
    """One item of ``ingress`` or ``egress``. No ``peers``: every peer. No ``ports``: every port of every protocol."""

    peers: tuple[Peer, ...] = ()
    ports: tuple[PolicyPort, ...] = ()
    line: int = field(default=0, compare=False)


class OddityKind(StrEnum):
    """What is valid and mostly not meant."""

    NULL_RULE = "null rule"
    NULL_LIST = "null list"
    EMPTY_LIST = "empty list"
    NULL_SELECTOR = "null selector"
    HOST_BITS = "host bits"


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something in a policy as it is written: the field's name or the CIDR as ``text``, at ``path`` and ``line``."""

    kind: OddityKind
    text: str
    path: str
    line: int


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """A networking.k8s.io/v1 NetworkPolicy.

    ``directions`` are the directions in which it isolates the pods that it selects, after the defaulting of
    policyTypes. The rules of a direction that is not among them are kept here, but mean nothing; ``rules()`` leaves
    them out. ``namespace_assumed``: the file doesn't say which, as one that a kustomization puts into some namespace.
    """

    namespace: str
    name: str
    pod_selector: LabelSelector
    directions: frozenset[Direction]
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
    file: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)
    oddities: tuple[Oddity, ...] = field(default=(), compare=False)
    namespace_assumed: bool = field(default=False, compare=False)

    @property
    def full_name(self) -> str:
        return f"{self.namespace}/{self.name}"

    def rules(self, direction: Direction) -> tuple[Rule, ...]:
        """The rules in force for ``direction``: none when the policy does not isolate in that direction."""
        if direction not in self.directions:
            return ()
        return self.ingress if direction is Direction.INGRESS else self.egress

    def with_rules(self, direction: Direction, rules: tuple[Rule, ...]) -> Self:
        """The same with these ``rules`` for ``direction``."""
        return replace(self, ingress=rules) if direction is Direction.INGRESS else replace(self, egress=rules)


NOT_EVALUATED = "is not evaluated"
"""Of a policy of a CNI's own kind: why its meaning is not known."""


@dataclass(frozen=True, slots=True)
class UnknownPolicy:
    """A policy in force whose meaning is not known: it can't be read. ``why`` says so in words, for people; ``tier``
    names its API.

    ``pod_selector`` None: not even the pods that it selects are known, so it may be all of its namespace. A policy of
    the whole cluster has no ``namespace``, and a ``namespace_selector``; None: all namespaces.
    """

    namespace: str
    name: str
    pod_selector: LabelSelector | None
    why: str
    tier: str = "NetworkPolicy"
    namespace_selector: LabelSelector | None = None

    @property
    def full_name(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name
