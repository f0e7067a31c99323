"""The policies of administrators, as they are written and as they could be misread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from auditor.choice.admin_misreadings import admin_misreadings
from auditor.choice.answers import ReadPolicy
from auditor.choice.around import Around
from auditor.diagnosis.dialects import SPECS, DialectSpec
from auditor.diagnosis.tiers import TierOrder, turn
from auditor.model.admin_policy import AdminPolicy, AdminTier
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction
from auditor.model.snapshot import Snapshot
from auditor.policy.bits import union
from auditor.policy.compiled_admin import AdminRuleCompiler, CompiledAdminRule
from auditor.policy.tiers import Universe


@dataclass(frozen=True)
class AdminRead:
    """A policy, the ``number``-th of its ``tier``, with what is wrong in each misreading of it in one direction."""

    tier: AdminTier
    number: int
    written: ReadPolicy
    misread: tuple[tuple[str, ReadPolicy], ...]

    @property
    def place(self) -> tuple[AdminTier, int]:
        """Where it stands."""
        return self.tier, self.number

    @cached_property
    def reach(self) -> int:
        """The groups that any reading is for, or names."""
        rules = (rule for each in self.readings for rule in each.rules)
        return union(chain((each.subjects for each in self.readings), map(_peers, rules)))

    @property
    def readings(self) -> Iterator[ReadPolicy]:
        """All of them."""
        return chain([self.written], (each for _, each in self.misread))


def _peers(rule: CompiledAdminRule) -> int:
    return union(found.certain for found in rule.peers.values())


class AdminPolicies:
    """The policies of administrators in ``snapshot``, compiled against ``universe``."""

    def __init__(self, snapshot: Snapshot, universe: Universe) -> None:
        self._policies = snapshot.admin_policies
        self._compiler = AdminRuleCompiler(snapshot, universe)
        self.written = self._around(self._policies)
        self._read: dict[str, dict[Direction, Around]] = {}

    def read(self, spec: DialectSpec) -> dict[Direction, Around]:
        """As an enforcer takes them; what is equal to ``written`` is that."""
        if spec.phrase not in self._read:
            policies = self._policies if spec.admin is None else tuple(spec.admin(self._policies))
            usual = policies == self._policies and spec.order is TierOrder.USUAL
            self._read[spec.phrase] = self.written if usual else self._around(policies, spec.order)
        return self._read[spec.phrase]

    @cached_property
    def otherwise(self) -> list[tuple[DialectSpec, dict[Direction, Around]]]:
        """The dialects that get only them wrong, with what they take them for."""
        own = (spec for spec in SPECS.values() if spec.rewrite is None and spec.timing is None)
        read = ((spec, self.read(spec)) for spec in own)
        return [(spec, around) for spec, around in read if around is not self.written]

    @cached_property
    def reads(self) -> dict[Direction, list[AdminRead]]:
        """Each policy that has rules for a direction, with its misreadings."""
        found: dict[Direction, list[AdminRead]] = {direction: [] for direction in Direction}
        for direction, around in self.written.items():
            for tier, policies in around.policies.items():
                for number, written in enumerate(policies):
                    misread = tuple(
                        (each.what, self._compiled(each.reading.put_into(written.policy, direction), direction))
                        for each in admin_misreadings(written.policy, direction)
                    )
                    found[direction].append(AdminRead(tier, number, written, misread))
        return found

    @cached_property
    def subjects(self) -> int:
        """The groups that any policy is for, however it is misread."""
        reads = chain.from_iterable(self.reads.values())
        return union(each.subjects for read in reads for each in read.readings)

    @cached_property
    def peers(self) -> list[int]:
        """The sets of groups that rules name in any reading."""
        reads = chain.from_iterable(self.reads.values())
        rules = (rule for read in reads for each in read.readings for rule in each.rules)
        return [*dict.fromkeys(found.certain for rule in rules for found in rule.peers.values())]

    def concerning(self, direction: Direction, here: int) -> list[AdminRead]:
        """Those of ``reads`` in ``direction`` that are for any of the groups ``here``, in any reading."""
        return [read for read in self.reads[direction] if any(each.subjects & here for each in read.readings)]

    @cached_property
    def selectors(self) -> frozenset[LabelSelector]:
        """The selectors for pods in any reading."""
        reads = chain.from_iterable(self.reads.values())
        policies = [each.policy for read in reads for each in read.readings]
        peers = (peer for each in policies for rule in (*each.ingress, *each.egress) for peer in rule.peers)
        of_peers = (each.pod_selector for each in peers if each.pod_selector is not None)
        return frozenset(each.pod_selector for each in policies).union(of_peers)

    def touching(self, here: int) -> tuple[AdminPolicy, ...]:
        """The policies that have to do with pods ``here``."""
        reads = chain.from_iterable(self.reads.values())
        return tuple({id(read.written.policy): read.written.policy for read in reads if read.reach & here}.values())

    def _around(self, policies: Iterable[AdminPolicy], order: TierOrder = TierOrder.USUAL) -> dict[Direction, Around]:
        in_order = sorted(policies, key=turn)
        return {
            direction: Around(
                direction,
                {
                    tier: [
                        self._compiled(policy, direction)
                        for policy in in_order
                        if policy.tier is tier and policy.rules(direction)
                    ]
                    for tier in AdminTier
                },
                order,
            )
            for direction in Direction
        }

    def _compiled(self, policy: AdminPolicy, direction: Direction) -> ReadPolicy:
        rules = tuple(self._compiler.rules(policy, direction))
        return ReadPolicy(policy, self._compiler.subjects(policy).certain if rules else 0, rules)
