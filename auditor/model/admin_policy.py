"""Policies of a cluster's administrators, for pods of all namespaces: ClusterNetworkPolicy, and its elders
AdminNetworkPolicy and BaselineAdminNetworkPolicy (policy.networking.k8s.io), all as one value.

Their rules are asked in order, and the first that matches decides. Parts remember their lines as those of a
``NetworkPolicy`` do.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self

from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, IPBlock, PolicyPort

HIGHEST_PRIORITY, LOWEST_PRIORITY = 0, 1000
EVERY_LABEL = LabelSelector()
CURRENT = "ClusterNetworkPolicy"
"""The kind that stands for all tiers; the others are its elders."""
NAMED_DEFAULT = "BaselineAdminNetworkPolicy"
"""The kind of which a cluster has one at most, called ``default``."""


class AdminTier(StrEnum):
    """Where a policy stands: before every NetworkPolicy, or after them all."""

    __hash__ = str.__hash__

    ADMIN = "Admin"
    BASELINE = "Baseline"


class Action(StrEnum):
    """What a rule does with what it matches. ``PASS`` leaves it to the next tier."""

    __hash__ = str.__hash__

    ACCEPT = "Accept"
    DENY = "Deny"
    PASS = "Pass"  # noqa: S105 - a word of the API


@dataclass(frozen=True, slots=True)
class AdminPeer:
    """One item of ``from`` or ``to``, one of four: pods, by both selectors (``namespaces`` alone has the empty
    ``pod_selector``); nodes, by their labels; ``networks``; or ``domain_names``.

    ``unknown`` names the field of a peer that is not known here. Such a rule fails closed: an Accept matches nothing,
    Deny and Pass deny everything (ClusterNetworkPolicyIngressPeer).
    """

    namespace_selector: LabelSelector | None = None
    pod_selector: LabelSelector | None = None
    nodes: LabelSelector | None = None
    networks: tuple[IPBlock, ...] = ()
    domain_names: tuple[str, ...] = ()
    unknown: str = ""
    line: int = field(default=0, compare=False)

    def __str__(self) -> str:
        if self.namespace_selector is not None and self.pod_selector == EVERY_LABEL:
            return f"namespaces {self.namespace_selector}"
        if self.namespace_selector is not None:
            return f"pods {self.pod_selector} of namespaces {self.namespace_selector}"
        if self.nodes is not None:
            return f"nodes {self.nodes}"
        if self.networks:
            return f"networks {', '.join(map(str, self.networks))}"
        if self.domain_names:
            return f"domainNames {', '.join(self.domain_names)}"
        return f"the unknown field {self.unknown}"


@dataclass(frozen=True, slots=True)
class AdminRule:
    """One item of ``ingress`` or ``egress``. No ``ports``: every port of every protocol. ``peers`` is never empty in
    what was read; there it would mean everybody.

    A name of a port, which the API gives without a protocol, is here once for each.
    """

    action: Action
    peers: tuple[AdminPeer, ...] = ()
    ports: tuple[PolicyPort, ...] = ()
    name: str = ""
    line: int = field(default=0, compare=False)

    @property
    def unknown(self) -> str:
        """The field that makes the rule fail closed; empty where there is none."""
        return next((peer.unknown for peer in self.peers if peer.unknown), "")


@dataclass(frozen=True, slots=True)
class AdminPolicy:
    """A policy of ``kind`` in ``tier``, for the pods of the namespaces that ``namespace_selector`` matches and that
    ``pod_selector`` matches, too.

    ``priority``: lower ones come first in their tier; which of two equal ones does is not defined.
    """

    kind: str
    name: str
    tier: AdminTier
    priority: int
    namespace_selector: LabelSelector
    pod_selector: LabelSelector
    ingress: tuple[AdminRule, ...] = ()
    egress: tuple[AdminRule, ...] = ()
    file: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)

    @property
    def full_name(self) -> str:
        """How people call it: it stands in no namespace, and policies of two kinds may have one name."""
        return f"{self.kind} {self.name}"

    def rules(self, direction: Direction) -> tuple[AdminRule, ...]:
        """The rules for ``direction``, in order."""
        return self.ingress if direction is Direction.INGRESS else self.egress

    def with_rules(self, direction: Direction, rules: tuple[AdminRule, ...]) -> Self:
        """The same with these ``rules`` for ``direction``."""
        return replace(self, ingress=rules) if direction is Direction.INGRESS else replace(self, egress=rules)

    def place(self, direction: Direction, number: int) -> str:
        """Where a rule stands, for people: ``ClusterNetworkPolicy guard ingress[0] "no spies" (guard.yaml:12)``."""
        rule = self.rules(direction)[number]
        name = f' "{rule.name}"' if rule.name else ""
        origin = f" ({self.file}:{rule.line})" if self.file and rule.line else ""
        return f"{self.full_name} {direction.lower()}[{number}]{name}{origin}"


def full_name_of(text: str) -> str:
    """The full name of the policy that ``text`` names: ``KIND/NAME`` is one of a policy in no namespace, since no
    namespace begins with a capital.
    """
    kind, slash, name = text.partition("/")
    return f"{kind} {name}" if slash and kind[:1].isupper() else text
