"""Why cells are not as meant: those that one policy rule opens, or the same isolation closes, belong together in one finding.

Each cause comes from ``decide()``, the plain reading of the policies for one cell, asked once for each set of ports that the deciding
rules treat alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from auditor.diagnosis.intent.ground import Ground
from auditor.diagnosis.intent.sides import Trial
from auditor.diagnosis.intent.violations import Wrong
from auditor.model.intent import IntentRule
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.snapshot import Endpoint, Family
from auditor.model.verdict import Cell, Verdict
from auditor.policy.bits import bits
from auditor.policy.explain import Decision, Grant, Side, decide

CauseKey: TypeAlias = tuple[object, ...]


@dataclass(slots=True)
class Cause:
    """Cells of one rule that are wrong for one reason. ``sides`` are those at which it can be mended, the likeliest first."""

    rule: int
    decision: Decision
    sides: tuple[Direction, ...]
    wrong: list[Wrong] = field(default_factory=list)

    def side(self, direction: Direction) -> Side:
        """What the policies say on one side of the example."""
        return self.decision.ingress if direction is Direction.INGRESS else self.decision.egress


class Causes:
    """Finds causes in one snapshot."""

    def __init__(self, ground: Ground, trial: Trial) -> None:
        self._ground = ground
        self._trial = trial
        self._policies: dict[str, list[NetworkPolicy]] = defaultdict(list)
        for policy in ground.snapshot.policies:
            self._policies[policy.namespace].append(policy)

    def of(self, rule: int, found: list[Wrong]) -> list[Cause]:
        """The causes of all that is wrong for ``rule``."""
        causes: dict[CauseKey, Cause] = {}
        for wrong in found:
            by_key: dict[CauseKey, dict[Family, int]] = {}
            for family, atoms in wrong.atoms.items():
                for key, cause, covered in self._split(rule, wrong, family, atoms):
                    causes.setdefault(key, cause)
                    sets = by_key.setdefault(key, {})
                    sets[family] = sets.get(family, 0) | covered
            for key, sets in by_key.items():
                causes[key].wrong.append(replace(wrong, atoms=sets))
        return list(causes.values())

    def _split(self, rule: int, wrong: Wrong, family: Family, atoms: int) -> Iterator[tuple[CauseKey, Cause, int]]:
        """``atoms`` of one pair shared out among their causes: key, the cause that a new key begins, and the atoms."""
        ends = wrong.example
        demanded = self._ground.rules[rule].verdict
        while atoms:
            decision = self._decide(ends, next(bits(atoms)), family)
            if demanded is Verdict.DENIED:
                covered = atoms
                for side in (decision.egress, decision.ingress):
                    covered &= self._opened(side, ends[1])
                key, sides = _opening(self._ground.rules[rule], decision, ends)
            else:
                sides = tuple(side.direction for side in (decision.ingress, decision.egress) if not side.allowed)
                covered = self._closed(ends, family, atoms, sides)
                key = tuple((side.direction, side.isolating) for side in (decision.ingress, decision.egress) if not side.allowed)
            yield (demanded, *key), Cause(rule, decision, sides), covered
            atoms &= ~covered

    def _decide(self, ends: tuple[Endpoint, Endpoint], atom: int, family: Family) -> Decision:
        """The decision about one cell; only policies of the two namespaces can have a part in it."""
        policies = tuple(policy for name in sorted({end.namespace for end in ends}) for policy in self._policies.get(name, ()))
        small = replace(self._ground.snapshot, endpoints=ends, policies=policies)
        port = self._ground.atoms.ranges[atom]
        return decide(small, Cell(ends[0].name, ends[1].name, port.protocol, port.first, family))

    def _opened(self, side: Side, destination: Endpoint) -> int:
        """The atoms that the rule which allows the example opens, or all where nothing isolates."""
        if side.grant is None or side.grant.port is None:
            return self._ground.atoms.everything
        return self._ground.ports_at([side.grant.port], destination)

    def _closed(self, ends: tuple[Endpoint, Endpoint], family: Family, atoms: int, sides: tuple[Direction, ...]) -> int:
        """Those of ``atoms`` that are denied on exactly ``sides``."""
        for direction in Direction:
            reached = self._trial.before[direction].reached(ends[0].name, ends[1].name, family)
            atoms &= ~reached if direction in sides else reached
        return atoms


def _opening(rule: IntentRule, decision: Decision, ends: tuple[Endpoint, Endpoint]) -> tuple[CauseKey, tuple[Direction, ...]]:
    """What opens an example, and at which of its ends that can be mended: at the destination first, unless ``rule`` is about sources."""
    about_sources = bool(rule.sources) and not rule.destinations
    order = (Direction.EGRESS, Direction.INGRESS) if about_sources else (Direction.INGRESS, Direction.EGRESS)
    pods = {Direction.EGRESS: ends[0], Direction.INGRESS: ends[1]}
    directions = tuple(direction for direction in order if pods[direction].selectable)
    side = decision.ingress if directions[0] is Direction.INGRESS else decision.egress
    if side.grant is None:
        return (side.direction, pods[side.direction].namespace), directions
    grant: Grant = side.grant
    peers = grant.policy.rules(grant.direction)[grant.rule].peers
    peer = next((number for number, each in enumerate(peers) if each is grant.peer), None)
    return (side.direction, grant.policy, grant.rule, peer), directions
