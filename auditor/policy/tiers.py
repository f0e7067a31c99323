"""The seam between the policy APIs: each is a tier, which answers ACCEPT, DENY or NEXT, and this folds the answers.

Traffic is judged twice, as egress at its source and as ingress at its destination, and both must let it through. In
each direction the tiers are asked in order: ACCEPT and DENY are final, what a tier answers NEXT to is for the one after
it, and what no tier decides is allowed (network-policy-api, "Interaction with NetworkPolicy"). Accepting egress says
nothing of the destination's ingress.

A tier is read three ways, which share nothing but the policies: compiled into bitsets for the evaluator, one connection
at a time with reasons for explain, and by the extremes of what a policy of its kind could mean for doubt.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

from auditor.model.policy import Direction, UnknownPolicy
from auditor.model.reasons import Side
from auditor.model.snapshot import Endpoint, Family, Snapshot
from auditor.model.verdict import Cell
from auditor.policy.atoms import PortAtoms, PortName
from auditor.policy.groups import Groups
from auditor.policy.matrix import BlockReading, Rows
from auditor.policy.partition import Part, join_equal
from auditor.policy.traits import Traits

TierPart: TypeAlias = tuple[int, int, int]
"""Port atoms; of all destinations those that traffic on them isn't denied to; those that the tier decides on, accepting
or denying. All others are for the next tier.
"""

TierRow: TypeAlias = tuple[TierPart, ...]
"""What a tier answers for one source: parts whose atoms are disjoint and together all atoms."""


class TierAnswer(StrEnum):
    """What a tier says of a connection in one direction."""

    ACCEPT = "accept"
    DENY = "deny"
    NEXT = "next"


@dataclass(frozen=True, slots=True)
class Decider:
    """The rule that decides, by its policy's full name, and where it stands."""

    policy: str
    file: str
    line: int
    path: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """One tier's answer for one connection and direction. ``because`` has a line for each thing that decided, for
    people; where ``side`` says it, what NetworkPolicies say of that end, the lines are its own. ``decider`` is the one
    rule that accepts or denies, in tiers where one does.
    """

    tier: str
    answer: TierAnswer
    because: tuple[str, ...] = ()
    side: Side | None = None
    decider: Decider | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """What decided, one line for each thing."""
        return self.because if self.side is None else self.side.lines


@dataclass(frozen=True, slots=True)
class Universe:
    """What policies are compiled against: the groups of endpoints, the port atoms, and who declares which port under
    each name.
    """

    groups: Groups
    atoms: PortAtoms
    declared: Mapping[PortName, Mapping[int, int]]


class CompiledTier(Protocol):
    """The policies of one tier as bitsets over the groups of a snapshot."""

    def told_apart(self) -> set[int]:
        """Every set of groups that some policy treats as one; what is in the same of these sets can't be told apart."""

    def fingerprint(self, family: Family, reading: BlockReading) -> Hashable:
        """Equal for two families and readings exactly where ``rows`` are equal."""

    def rows(
        self, sources: Sequence[int], direction: Direction, family: Family, reading: BlockReading
    ) -> Sequence[TierRow]:
        """For each of ``sources``, given as groups, what the tier answers; equal rows are the same object where that is
        cheap.
        """


class Tier(Protocol):
    """One policy API, wherever in the order it stands."""

    @property
    def name(self) -> str:
        """What people call it."""

    def applies(self, snapshot: Snapshot) -> bool:
        """Whether it may decide anything in ``snapshot``: it has policies there."""

    def traits(self, snapshot: Snapshot) -> Traits:
        """What its policies in ``snapshot`` look at."""

    def compile(self, snapshot: Snapshot, universe: Universe) -> CompiledTier:
        """Its policies in ``snapshot``."""

    def judge(self, snapshot: Snapshot, cell: Cell, direction: Direction) -> Judgement:
        """The plain reading of its policies for one connection. KeyError for a name that no endpoint has."""

    def may_select(self, policy: UnknownPolicy, endpoint: Endpoint) -> bool:
        """Whether ``policy``, one of this tier that can't be read, may have a say in traffic of ``endpoint``."""

    def leaning_to(self, snapshot: Snapshot, *, most: bool) -> Tier:
        """This tier, for which labels that nobody knows in ``snapshot`` mean the least that is allowed, or the
        ``most``.
        """

    def extremes(
        self, snapshot: Snapshot, unknown: Sequence[UnknownPolicy]
    ) -> tuple[tuple[Snapshot, Tier], tuple[Snapshot, Tier]]:
        """``snapshot`` and this tier with ``unknown`` meaning the least that they can allow, and the most."""


def fold_rows(rows_by_tier: Sequence[Sequence[TierRow]], everything: int, destinations: int) -> Rows:
    """For each source the parts that all tiers together allow.

    ``rows_by_tier`` has the rows of each tier, in the order of tiers, for the same sources; ``everything`` are all port
    atoms, ``destinations`` all destinations.
    """
    folded: dict[tuple[int, ...], tuple[Part, ...]] = {}
    rows: list[tuple[Part, ...]] = []
    for of_source in zip(*rows_by_tier, strict=True):
        key = tuple(map(id, of_source))
        if key not in folded:
            folded[key] = _fold(of_source, everything, destinations)
        rows.append(folded[key])
    return rows


def _fold(of_source: Sequence[TierRow], everything: int, destinations: int) -> tuple[Part, ...]:
    if len(of_source) == 1:  # the same sets as the tier's: thousands of them are kept
        return tuple((atoms, undenied) for atoms, undenied, _ in of_source[0])
    parts: Sequence[TierPart] = ((everything, destinations, 0),)
    for row in of_source:
        parts = [
            (atoms & tier_atoms, allowed & (undenied | decided), decided | decided_here)
            for atoms, allowed, decided in parts
            for tier_atoms, undenied, decided_here in row
            if atoms & tier_atoms
        ]
    return join_equal((atoms, allowed) for atoms, allowed, _ in parts)


def fold_judgements(judgements: Sequence[Judgement]) -> Judgement | None:
    """The judgement that decides, the first that is not NEXT; None where none does and the connection is allowed."""
    return next((judgement for judgement in judgements if judgement.answer is not TierAnswer.NEXT), None)
