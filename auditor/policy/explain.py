"""Why one cell has its expected verdict, tier by tier: what decided, or everything that came near and what it lacked.

Each tier answers by a plain reading of its policies, on purpose without the evaluator's bitsets; the tests hold the two
against each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from auditor.model.policy import Direction
from auditor.model.reasons import Side
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.model.verdict import Cell, Verdict
from auditor.policy.matrix import always_allowed, governed
from auditor.policy.plain_reading import reading_of
from auditor.policy.tiers import Judgement, Tier, TierAnswer, fold_judgements
from auditor.policy.tiers_in_order import TIERS


@dataclass(frozen=True, slots=True)
class Decision:
    """An expected verdict with its reasons. ``exemption`` says why no policy has a say, or is empty.

    ``egress`` and ``ingress`` are what NetworkPolicies say; ``chain`` has for each direction what every tier says, in
    the order of tiers.
    """

    cell: Cell
    verdict: Verdict
    egress: Side
    ingress: Side
    exemption: str = ""
    chain: Mapping[Direction, tuple[Judgement, ...]] = field(default_factory=dict, hash=False)

    def allowed(self, direction: Direction) -> bool:
        """Whether the policies of all tiers let the connection through in ``direction``."""
        deciding = self.deciding(direction)
        return deciding is None or deciding.answer is TierAnswer.ACCEPT

    def deciding(self, direction: Direction) -> Judgement | None:
        """What decides in ``direction``; None where no tier does, and the connection is allowed."""
        return fold_judgements(self.chain[direction])

    def because(self) -> tuple[str, ...]:
        """One line for each thing that decided: exemption, deciding rules, or the isolating policies and their near
        misses.
        """
        if self.exemption:
            return (self.exemption,)
        lines: list[str] = []
        for direction in (Direction.EGRESS, Direction.INGRESS):
            if self.verdict is Verdict.ALLOWED or not self.allowed(direction):
                lines += _chain_lines(self.chain[direction])
        return tuple(lines)


def _chain_lines(chain: Sequence[Judgement]) -> list[str]:
    """What decided in one direction. A tier that comes before and passed the connection on says so where it has
    anything to say.
    """
    deciding = fold_judgements(chain)
    asked = chain if deciding is None else chain[: chain.index(deciding) + 1]
    return [line for judgement in asked for line in judgement.lines]


def decide(snapshot: Snapshot, cell: Cell, tiers: Sequence[Tier] = TIERS) -> Decision:
    """The expected verdict of ``cell`` with its reasons. Raises KeyError when an end is not an endpoint."""
    reading = reading_of(snapshot)
    exemption = _exemption(reading.endpoint(cell.source), reading.endpoint(cell.destination))
    chain = {direction: tuple(tier.judge(snapshot, cell, direction) for tier in tiers) for direction in Direction}
    egress, ingress = (
        _network_policies(chain[direction], direction) for direction in (Direction.EGRESS, Direction.INGRESS)
    )
    decision = Decision(cell, Verdict.ALLOWED, egress, ingress, exemption, chain)
    if exemption or all(map(decision.allowed, Direction)):
        return decision
    return replace(decision, verdict=Verdict.DENIED)


def _network_policies(chain: Sequence[Judgement], direction: Direction) -> Side:
    """What NetworkPolicies say; that none isolates anything where they are not a tier."""
    return next((judgement.side for judgement in chain if judgement.side is not None), Side(direction, ""))


def _exemption(source: Endpoint, destination: Endpoint) -> str:
    if not governed(source, destination):
        return "neither end is a pod: no NetworkPolicy has a say"
    if source.name == destination.name:
        return "a pod can always reach itself"
    if always_allowed(source, destination):
        return f"traffic between a pod and its own node ({source.node}) is always allowed"
    return ""
