"""Which policies of administrators an audit shows anything of.

They isolate nothing, so such a policy is in scope where one of its rules decides, or passes on, a connection of a pod
that the audit was asked about: it needs a verdict on one of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from auditor.diagnosis.asked import Asked, Seen
from auditor.diagnosis.deciding import Deciding
from auditor.model.admin_policy import AdminPolicy
from auditor.model.policy import Direction
from auditor.model.report import UntestedPolicy
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.policy.traits import admin_selects

TIED = "what it decides is undefined: for a hostNetwork pod, or since a policy of its priority says otherwise"
NOT_CHOSEN = "none of the connections that were chosen would show it: allow more probe pods or connections"


class AdminProof:
    """The policies of administrators in ``snapshot``, and what was ``seen`` of them."""

    def __init__(self, snapshot: Snapshot, seen: Seen, asked: Asked) -> None:
        self._snapshot = snapshot
        self._seen = seen
        self._asked = asked
        self._deciding = {direction: Deciding(seen.filters, direction) for direction in asked.subjects}
        self._pods = {
            direction: [end for end in snapshot.endpoints if end.selectable and end.name in names]
            for direction, names in ((each, frozenset(names)) for each, names in asked.subjects.items())
        }

    def in_scope(self) -> Iterator[tuple[AdminPolicy, Direction]]:
        """Those that decide something here."""
        return (each for each in self._concerned if self._decides(*each))

    def deciding_nothing(self) -> Iterator[tuple[AdminPolicy, Direction]]:
        """Those that are for a pod that was asked about, and decide nothing here."""
        return (each for each in self._concerned if not self._decides(*each))

    @cached_property
    def _concerned(self) -> list[tuple[AdminPolicy, Direction]]:
        """Those with rules, in each direction, that are for a pod that was asked about."""
        return [
            (policy, direction)
            for policy in self._snapshot.admin_policies
            for direction in self._asked.subjects
            if policy.rules(direction) and any(True for _ in self._selected(policy, direction))
        ]

    def _selected(self, policy: AdminPolicy, direction: Direction) -> Iterator[Endpoint]:
        namespaces = self._snapshot.namespaces
        return (pod for pod in self._pods[direction] if admin_selects(policy, namespaces, pod))

    def _decides(self, policy: AdminPolicy, direction: Direction) -> bool:
        return bool(self._own(policy, direction)) or self._is_not_chosen(policy, direction)

    def _is_not_chosen(self, policy: AdminPolicy, direction: Direction) -> bool:
        return (policy.full_name, direction) in self._asked.not_chosen

    def _own(self, policy: AdminPolicy, direction: Direction) -> int:
        return self._deciding[direction].whole(policy) & self._seen.asked[direction]

    def missing(self, policy: AdminPolicy, direction: Direction) -> UntestedPolicy | None:
        """What there is to say where nothing shows whether ``policy`` is enforced in ``direction``; None where
        something does.
        """
        not_chosen = self._is_not_chosen(policy, direction)
        wanted = 0 if not_chosen else self._wanted(policy, direction)
        if wanted & self._seen.telling:
            return None
        reasons = tuple(self._seen.why_gone(list(self._selected(policy, direction))))
        if not reasons:
            reasons = (NOT_CHOSEN,) if not_chosen else tuple(self._seen.why_untelling(wanted, TIED))
        return self._seen.untested(policy.full_name, direction, wanted, reasons)

    def _wanted(self, policy: AdminPolicy, direction: Direction) -> int:
        """Of the cells that ``policy`` decides those of which one must have a verdict: the first of these kinds that
        there are.

        Those that would fare otherwise without it, where the other end lets them through; those that would, if it did;
        those that are denied here, by it or by what it passes them on to; those that are allowed altogether; any.
        """
        filters = self._seen.filters
        own = self._own(policy, direction)
        defined = own & ~self._seen.undefined
        up_to_it = defined & self._deciding[direction].up_to(policy)
        denied = defined & ~filters.passing(direction)
        return (
            (up_to_it & filters.passing(direction.opposite))
            or up_to_it
            or denied
            or (defined & self._seen.allowed)
            or defined
            or own
        )
