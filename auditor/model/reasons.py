"""Why a connection passes one of its ends or does not: what a plain reading of the policies comes to, in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from auditor.model.policy import Direction, NetworkPolicy, Peer, PolicyPort
from auditor.model.words import in_brief, pluralize

MOST_ALIKE = 3
MOST_LACKS = 4
MOST_MISSES = 3
MOST_POLICIES = 3
OUTSIDE = re.compile(r"ipBlock \S+: \S+ is outside")


@dataclass(frozen=True, slots=True)
class Grant:
    """The rule that allows a cell in one direction. ``rule`` counts from 0, as in ``spec.ingress[0]``.

    ``peer`` and ``port`` are None where the rule has no peers or no ports and so means all of them.
    """

    policy: NetworkPolicy
    direction: Direction
    rule: int
    peer: Peer | None
    port: PolicyPort | None

    def __str__(self) -> str:
        return (
            f"{place(self.policy, self.direction, self.rule)}: {self.peer or 'every peer'}, {self.port or 'every port'}"
        )


@dataclass(frozen=True, slots=True)
class Miss:
    """A rule that does not allow a cell: one phrase for each item that fails. ``near`` when some part of it matched."""

    policy: NetworkPolicy
    direction: Direction
    rule: int
    lacks: tuple[str, ...]
    near: bool

    def __str__(self) -> str:
        return f"{place(self.policy, self.direction, self.rule)}: {'; '.join(_few(self.lacks))}"


@dataclass(frozen=True, slots=True)
class Side:
    """One direction's part in a decision: the policies that isolate the pod on that side, and what their rules say.

    ``open_because`` says why no policy isolates it; empty when one does. What each rule lacks is put into words when
    somebody asks for it: there may be thousands.
    """

    direction: Direction
    pod: str
    isolating: tuple[NetworkPolicy, ...] = ()
    grant: Grant | None = None
    open_because: str = ""
    find_misses: Callable[[], tuple[Miss, ...]] = field(default=tuple, compare=False, repr=False)

    @property
    def misses(self) -> tuple[Miss, ...]:
        """The rules of ``isolating`` that don't allow the cell, where none does."""
        return self.find_misses()

    @property
    def allowed(self) -> bool:
        return not self.isolating or self.grant is not None

    @property
    def lines(self) -> tuple[str, ...]:
        """One line for each thing that decided, for people."""
        return tuple(_side_lines(self))

    @property
    def near_misses(self) -> tuple[Miss, ...]:
        """The rules that came near; all rules when none did."""
        misses = self.misses
        return tuple(miss for miss in misses if miss.near) or misses


def _few(lacks: Sequence[str]) -> list[str]:
    """``lacks``, of ipBlocks that are alike one for all, and no more than a person reads."""
    outside = [lack for lack in lacks if OUTSIDE.fullmatch(lack)]
    if len(outside) > MOST_ALIKE:
        address = outside[0].partition(": ")[2].partition(" ")[0]
        example = outside[0].split()[1].rstrip(":")
        alike = f"none of {len(outside):,} ipBlocks, such as {example}, holds {address}"
        lacks = [alike, *(lack for lack in lacks if not OUTSIDE.fullmatch(lack))]
    more = len(lacks) - MOST_LACKS
    return [*lacks[:MOST_LACKS], f"and {more:,} more that do not match"] if more > 0 else list(lacks)


def place(policy: NetworkPolicy, direction: Direction, rule: int) -> str:
    """Where a rule stands, for people: ``prod/db ingress[0] (db.yaml:12)``."""
    line = policy.rules(direction)[rule].line
    origin = f" ({policy.file}:{line})" if policy.file and line else ""
    return f"{policy.full_name} {direction.lower()}[{rule}]{origin}"


def policy_place(policy: NetworkPolicy) -> str:
    """Where a policy stands, for people: ``prod/db (db.yaml:1)``."""
    return f"{policy.full_name} ({policy.file}:{policy.line})" if policy.file and policy.line else policy.full_name


def _side_lines(side: Side) -> list[str]:
    word = side.direction.lower()
    if not side.isolating:
        return [f"{word}: no policy isolates {side.pod}: {side.open_because}"]
    if side.grant is not None:
        return [f"{word}: {side.grant}"]
    names = in_brief([policy_place(policy) for policy in side.isolating], MOST_POLICIES)
    lines = [f"{word}: {side.pod} is isolated by {names}, and no rule allows it"]
    misses = side.near_misses
    lines += [f"{word}: {miss}" for miss in misses[:MOST_MISSES]]
    more = len(misses) - MOST_MISSES
    return (
        [*lines, f"{word}: and {pluralize(more, 'more rule')} that {'do' if more > 1 else 'does'} not"]
        if more > 0
        else lines
    )
