"""Which policies an audit shows anything of, and which it could have said nothing about, had nobody enforced them.

A report in which every connection that was tried is as expected proves nothing of a policy whose pods were never tried.
So each policy that selects a pod that the audit was asked about needs a verdict that speaks of it: where the policies
deny something at its pods, one of what is denied (at this end alone, where there is such a thing), whether or not it
got through; else one of what is allowed. How much of a policy the verdicts exercise beyond that is a matter of
``auditor.diagnosis.coverage``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from auditor.diagnosis.cells import Cells
from auditor.diagnosis.evidence import is_telling
from auditor.diagnosis.filters import Filters
from auditor.model.admin_policy import AdminTier
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.report import CellResult, PolicyTests, UntestedPolicy
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.model.verdict import Note, Result, Verdict
from auditor.policy.bits import bits, mask_of
from auditor.policy.groups import Groups
from auditor.probe_pods.gaps import listed

MOST_LOOKED_AT = 500
"""How many connections of one policy are asked why they show nothing: more reasons than these would help nobody."""
ONLY_ITSELF = "its pods were tried only with themselves and their own nodes, which no policy can cut"
NOT_PLANNED = "none of its pods takes part in any connection that was to be tried"
UNDEFINED = "only hostNetwork pods were at the other end, and what a policy means for these is undefined"


@dataclass(frozen=True, slots=True)
class Asked:
    """What an audit was asked about: by direction the names of the endpoints whose filters of that direction it was to
    try.

    ``gone`` are those that took no part after all, with the reason; ``accepted`` the full names of policies that may
    stay untested.
    """

    subjects: Mapping[Direction, Collection[str]]
    gone: Mapping[str, str]
    accepted: Collection[str] = ()


NOTHING = Asked({}, {})


def policy_tests(snapshot: Snapshot, results: Sequence[CellResult], asked: Asked) -> PolicyTests:
    """Which of the policies that select a pod of ``asked`` are tested by ``results``, which are all of the audit,
    skipped ones too.
    """
    pods = _Pods(snapshot, asked)
    in_scope = [
        (policy, direction)
        for policy in snapshot.policies
        for direction in asked.subjects
        if pods.are_isolated(policy, direction)
    ]
    idle = sum(pods.has_none(policy) for policy in snapshot.policies)
    if not in_scope:
        return PolicyTests(0, idle)
    evidence = _Evidence(snapshot, results, asked)
    untested = (evidence.missing(policy, direction, pods) for policy, direction in in_scope)
    return PolicyTests(len({policy.full_name for policy, _ in in_scope}), idle, tuple(filter(None, untested)))


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
    """The results as bitsets: which of them show anything, and about which pods."""

    def __init__(self, snapshot: Snapshot, results: Sequence[CellResult], asked: Asked) -> None:
        self._results = {result.cell: result for result in results}
        self._gone = asked.gone
        self._accepted = asked.accepted
        self._cells = Cells(snapshot, list(self._results))
        self._filters = Filters(self._cells)
        self._telling = self._where(is_telling)
        self._undefined = self._where(lambda result: Note.UNDEFINED in result.notes)
        self._allowed = self._where(lambda result: result.expected is Verdict.ALLOWED)
        self._asked = {direction: self._at(names, direction) for direction, names in asked.subjects.items()}

    def _where(self, holds: Callable[[CellResult], bool]) -> int:
        return self._cells.where(lambda cell: holds(self._results[cell]))

    def _at(self, names: Collection[str], direction: Direction) -> int:
        """The cells whose filter of ``direction`` is that of one of ``names``."""
        subjects = self._cells.subjects(direction)
        mask = 0
        for name in names:
            mask |= subjects.get(name, 0)
        return mask

    def missing(self, policy: NetworkPolicy, direction: Direction, pods: _Pods) -> UntestedPolicy | None:
        """What there is to say where nothing shows whether ``policy`` is enforced in ``direction``; None where
        something does.
        """
        own = self._filters.isolated(policy, direction) & self._asked[direction]
        wanted = self._wanted(own, direction)
        if wanted & self._telling:
            return None
        reasons = tuple(self._why_gone(pods.selected(policy, direction))) or tuple(self._why(own, wanted))
        return UntestedPolicy(
            policy.full_name, direction, wanted.bit_count(), reasons, policy.full_name in self._accepted
        )

    def _wanted(self, own: int, direction: Direction) -> int:
        """Of the cells ``own`` of a policy those of which one must have a verdict: the first of these kinds that there
        are.

        Those that the filters of ``direction`` alone deny; those that the other end denies, too; those that are allowed
        altogether; those about which a policy has a say at all. A hostNetwork pod at the other end shows nothing, so
        that only comes last.
        """
        admin = self._filters.decided(AdminTier.ADMIN, direction)
        governed = own & ~self._filters.unfiltered() & ~(admin.accepted | admin.denied)
        defined = governed & ~self._undefined
        denied = defined & ~self._filters.passing(direction)
        return (
            (denied & self._filters.passing(direction.opposite))
            or denied
            or (defined & self._allowed)
            or defined
            or governed
        )

    def _why_gone(self, pods: Sequence[Endpoint]) -> Iterator[str]:
        """Why none of ``pods`` took part; nothing where one did."""
        if all(pod.name in self._gone for pod in pods):
            by_reason: dict[str, list[str]] = {}
            for pod in pods:
                by_reason.setdefault(self._gone[pod.name], []).append(pod.name)
            for reason, names in sorted(by_reason.items(), key=lambda item: -len(item[1])):
                yield f"none of its pods was probed: {listed(names)}: {reason}"

    def _why(self, own: int, wanted: int) -> Iterator[str]:
        if not wanted:
            yield ONLY_ITSELF if own else NOT_PLANNED
        cells = (self._cells.cells[number] for number in islice(bits(wanted), MOST_LOOKED_AT))
        reasons = Counter(_why_untelling(self._results[cell]) for cell in cells)
        yield from (reason for reason, _ in reasons.most_common())


def _why_untelling(result: CellResult) -> str:
    if Note.ADDRESS_UNKNOWN in result.notes and result.result not in (Result.SKIPPED, Result.INCONCLUSIVE):
        return "an address on which the policies depend is not known"
    return UNDEFINED if result.result is Result.UNDEFINED else result.observation.outcome
