"""Between whom policies that are in force and can't be read may decide: there an expected verdict is none.

Coarser than ``auditor.policy.doubt``, which asks for single cells what the extremes of such policies' meanings are:
here a pair of endpoints is in doubt as soon as one of them may be selected, since a whole matrix is too large to be
asked cell by cell.
"""

from __future__ import annotations

from collections.abc import Collection

from auditor.model.snapshot import Endpoint, Snapshot
from auditor.policy.doubt import may_select
from auditor.policy.matrix import always_allowed


class Unreadable:
    """What of ``snapshot`` its unknown policies may decide; nothing where there are none."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.policies = snapshot.unknown
        self._touched = frozenset(
            endpoint.name
            for endpoint in snapshot.endpoints
            if any(may_select(policy, endpoint) for policy in snapshot.unknown)
        )

    def between(self, source: Endpoint, destination: Endpoint) -> bool:
        """Whether they may decide whether ``source`` reaches ``destination``."""
        touched = source.name in self._touched or destination.name in self._touched
        return touched and not always_allowed(source, destination)

    def among(self, sources: Collection[Endpoint], destinations: Collection[Endpoint]) -> bool:
        """Whether they may decide it for any of ``sources`` and any of ``destinations``."""
        if not self._touched:
            return False
        if all(endpoint.name not in self._touched for endpoint in (*sources, *destinations)):
            return False
        return any(self.between(source, destination) for source in sources for destination in destinations)
