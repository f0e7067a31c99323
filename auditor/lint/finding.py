"""What lint says: findings, each from one check and about one place.

A check yields remarks; it knows neither its own name nor who has suppressed what. ``lint()`` makes findings of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from auditor.lint.policy_index import PolicyIndex
from auditor.model.notation import SIDES
from auditor.model.policy import Direction, NetworkPolicy

CONCEPT_PAGE = "https://kubernetes.io/docs/concepts/services-networking/network-policies/"


class Severity(StrEnum):
    """How grave a finding is, the gravest first."""

    ERROR = "error"
    """The policy can't be what its author meant."""
    WARNING = "warning"
    """The policy is most likely not what its author meant, or will surprise someone."""
    INFO = "info"
    """Worth knowing; often meant so."""

    def reaches(self, threshold: Severity) -> bool:
        """Whether this is as grave as ``threshold``, or graver."""
        order = list(Severity)
        return order.index(self) <= order.index(threshold)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: ``subject`` is a policy as ``NAMESPACE/NAME``, or a namespace.

    ``line`` counts from 1, 0 when unknown; ``file`` means something only with a line. ``path`` is in kubectl's
    notation: ``spec.ingress[0].from[1]``.
    """

    subject: str
    file: str = ""
    line: int = 0
    path: str = ""

    @property
    def namespace(self) -> str:
        """The namespace of the policy, or the one that is meant itself."""
        return self.subject.partition("/")[0]

    def __str__(self) -> str:
        origin = f"{self.file}:{self.line}" if self.line else ""
        return " ".join(part for part in (origin, self.subject, self.path) if part)


@dataclass(frozen=True, slots=True)
class Remark:
    """What a check has to say: one sentence, and what to write instead (several lines, mostly YAML; may be empty)."""

    place: Place
    message: str
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that lint looks for.

    ``title`` is one line, ``why`` says in a few sentences why it matters, ``reference`` is the page that states the
    rule.
    """

    id: str
    severity: Severity
    title: str
    why: str
    find: Callable[[PolicyIndex], Iterable[Remark]]
    reference: str = CONCEPT_PAGE

    @property
    def page(self) -> str:
        """Where this project describes it."""
        return f"docs/lint.md#{self.id}"


@dataclass(frozen=True, slots=True)
class LintFinding:
    """A remark with the check that made it."""

    check: str
    severity: Severity
    place: Place
    message: str
    instead: str = ""


def policy_place(policy: NetworkPolicy, path: str = "", line: int = 0) -> Place:
    """The place of ``policy``, or of the part at ``path``."""
    return Place(policy.full_name, policy.file, line or policy.line, path)


def rule_place(policy: NetworkPolicy, direction: Direction, rule: int) -> Place:
    """The place of a rule, counted from 0, whether or not its section is in force."""
    section = policy.ingress if direction is Direction.INGRESS else policy.egress
    return policy_place(policy, f"spec.{direction.lower()}[{rule}]", section[rule].line)


def peer_place(policy: NetworkPolicy, direction: Direction, rule: int, peer: int) -> Place:
    """The place of a peer of a rule, both counted from 0."""
    line = policy.rules(direction)[rule].peers[peer].line
    return policy_place(policy, f"spec.{direction.lower()}[{rule}].{SIDES[direction]}[{peer}]", line)


def port_place(policy: NetworkPolicy, direction: Direction, rule: int, port: int) -> Place:
    """The place of an item of a rule's ports, both counted from 0."""
    line = policy.rules(direction)[rule].ports[port].line
    return policy_place(policy, f"spec.{direction.lower()}[{rule}].ports[{port}]", line)
