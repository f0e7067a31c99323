"""Which policies an audit shows anything of, and which it could have said nothing about, had nobody enforced them.

A report in which every connection that was tried is as expected proves nothing of a policy whose pods were never tried.
So each policy that selects a pod that the audit was asked about needs a verdict that speaks of it: where the policies
deny something at its pods, one of what is denied (at this end alone, where there is such a thing), whether or not it
got through; else one of what is allowed. A policy of administrators isolates nothing: it needs a verdict on what one of
its rules decides. Of what decides nothing there is nothing to show. How much of a policy the verdicts exercise beyond
that is a matter of ``auditor.diagnosis.coverage``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from auditor.diagnosis.admin_proof import AdminProof
from auditor.diagnosis.asked import Asked, Seen
from auditor.model.admin_policy import AdminTier
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.report import CellResult, PolicyTests, UntestedPolicy
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.policy.bits import bits, mask_of
from auditor.policy.groups import Groups

ONLY_ITSELF = "its pods were tried only with themselves and their own nodes, which no policy can cut"
NOT_PLANNED = "none of its pods takes part in any connection that was to be tried"
UNDEFINED = "only hostNetwork pods were at the other end, and what a policy means for these is undefined"


def policy_tests(snapshot: Snapshot, results: Sequence[CellResult], asked: Asked) -> PolicyTests:
    """Which of the policies that select a pod of ``asked`` are tested by ``results``, which are all of the audit,
    skipped ones too.
    """
    pods = _Pods(snapshot, asked)
    isolating = [
        (policy, direction)
        for policy in snapshot.policies
        for direction in asked.subjects
        if pods.are_isolated(policy, direction)
    ]
    idle = sum(pods.has_none(policy) for policy in snapshot.policies)
    if not isolating and not snapshot.admin_policies:
        return PolicyTests(0, idle)
    seen = Seen(snapshot, results, asked)
    evidence, admin = _Evidence(seen), AdminProof(snapshot, seen, asked)
    overruled = [each for each in isolating if evidence.is_overruled(*each)]
    counting = [each for each in isolating if each not in overruled]
    deciding = list(admin.in_scope())
    untested = (
        *(evidence.missing(policy, direction, pods) for policy, direction in counting),
        *(admin.missing(policy, direction) for policy, direction in deciding),
    )
    names = {policy.full_name for policy, _ in counting} | {policy.full_name for policy, _ in deciding}
    nothing = [(policy.full_name, direction) for policy, direction in overruled]
    nothing += ((policy.full_name, direction) for policy, direction in admin.deciding_nothing())
    return PolicyTests(len(names), idle, tuple(filter(None, untested)), deciding_nothing=tuple(nothing))


class _Pods:
    """The pods that policies can select, as the groups that no policy tells apart."""

    def __init__(self, snapshot: Snapshot, asked: Asked) -> None:
        self._groups = Groups.by_labels(snapshot)
        self._asked = {
            direction: self._members(snapshot, frozenset(names)) for direction, names in asked.subjects.items()
        }
        self._namespaces = {
            pod.namespace for by_group in self._asked.values() for pods in by_group.values() for pod in pods
        }
        self._masks = {direction: mask_of(by_group) for direction, by_group in self._asked.items()}

    def _members(self, snapshot: Snapshot, names: frozenset[str]) -> dict[int, list[Endpoint]]:
        """Those of the pods called ``names``, by group."""
        found: defaultdict[int, list[Endpoint]] = defaultdict(list)
        for endpoint, group in zip(snapshot.endpoints, self._groups.of_endpoint, strict=True):
            if endpoint.selectable and endpoint.name in names:
                found[group].append(endpoint)
        return dict(found)

    def are_isolated(self, policy: NetworkPolicy, direction: Direction) -> bool:
        """Whether ``policy`` isolates any of the pods that were asked about in ``direction``."""
        return direction in policy.directions and bool(self._groups.selected_by(policy) & self._masks[direction])

    def selected(self, policy: NetworkPolicy, direction: Direction) -> list[Endpoint]:
        """Those of the pods that were asked about in ``direction`` that ``policy`` selects."""
        return [
            pod
            for group in bits(self._groups.selected_by(policy) & self._masks[direction])
            for pod in self._asked[direction][group]
        ]

    def has_none(self, policy: NetworkPolicy) -> bool:
        """Whether ``policy``, of a namespace that was asked about, selects none of all pods."""
        return policy.namespace in self._namespaces and not self._groups.selected_by(policy)


class _Evidence:
    """What was ``seen`` of NetworkPolicies."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._filters = seen.filters

    def _own(self, policy: NetworkPolicy, direction: Direction) -> int:
        return self._filters.isolated(policy, direction) & self._seen.asked[direction]

    def _filtered(self, own: int, direction: Direction) -> tuple[int, int]:
        """Those of ``own`` that any policy can cut, and those of these that administrators leave to NetworkPolicies."""
        admin = self._filters.decided(AdminTier.ADMIN, direction)
        filtered = own & ~self._filters.unfiltered()
        return filtered, filtered & ~(admin.accepted | admin.denied)

    def is_overruled(self, policy: NetworkPolicy, direction: Direction) -> bool:
        """Whether policies of administrators decide all that ``policy`` would."""
        filtered, governed = self._filtered(self._own(policy, direction), direction)
        return bool(filtered) and not governed

    def missing(self, policy: NetworkPolicy, direction: Direction, pods: _Pods) -> UntestedPolicy | None:
        """What there is to say where nothing shows whether ``policy`` is enforced in ``direction``; None where
        something does.
        """
        own = self._own(policy, direction)
        wanted = self._wanted(own, direction)
        if wanted & self._seen.telling:
            return None
        gone = tuple(self._seen.why_gone(pods.selected(policy, direction)))
        return self._seen.untested(policy.full_name, direction, wanted, gone or tuple(self._why(own, wanted)))

    def _wanted(self, own: int, direction: Direction) -> int:
        """Of the cells ``own`` of a policy those of which one must have a verdict: the first of these kinds that there
        are.

        Those that the filters of ``direction`` alone deny; those that the other end denies, too; those that are allowed
        altogether; those about which a policy has a say at all. A hostNetwork pod at the other end shows nothing, so
        that only comes last.
        """
        _, governed = self._filtered(own, direction)
        defined = governed & ~self._seen.undefined
        denied = defined & ~self._filters.passing(direction)
        return (
            (denied & self._filters.passing(direction.opposite))
            or denied
            or (defined & self._seen.allowed)
            or defined
            or governed
        )

    def _why(self, own: int, wanted: int) -> Iterator[str]:
        if not wanted:
            yield ONLY_ITSELF if own else NOT_PLANNED
        yield from self._seen.why_untelling(wanted, UNDEFINED)
