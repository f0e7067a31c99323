"""What lint is made of: checks, what they have to say, and the places that they say it of.

A check yields remarks; it knows neither its own name nor who has suppressed what. ``lint()`` makes findings of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from auditor.lint.policy_index import PolicyIndex
from auditor.model.lint import Place, Severity
from auditor.model.notation import SIDES
from auditor.model.policy import Direction, NetworkPolicy

CONCEPT_PAGE = "https://kubernetes.io/docs/concepts/services-networking/network-policies/"


@dataclass(frozen=True, slots=True)
class Remark:
    """What a check has to say: one sentence, and what to write instead (several lines, mostly YAML; may be empty).

    ``selector`` is the one that it is about, if it is about one. Remarks of one check with the same ``cause`` are one
    finding with several places; empty: the same message.
    """

    place: Place
    message: str
    instead: str = ""
    selector: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that lint looks for.

    ``title`` is one line, ``why`` says in a few sentences why it matters, ``reference`` is the page that states the
    rule. What ``needs_pods`` can say nothing of a namespace whose pods are not in the input; other checks imagine some.
    """

    id: str
    severity: Severity
    title: str
    why: str
    find: Callable[[PolicyIndex], Iterable[Remark]]
    reference: str = CONCEPT_PAGE
    needs_pods: bool = True

    @property
    def page(self) -> str:
        """Where this project describes it."""
        return f"docs/lint.md#{self.id}"


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
