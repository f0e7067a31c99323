"""Whether somebody relabelled a pod while it was audited: an operator that takes a probe pod for one of its own, or a
person.

The expectation is computed from the labels that a pod had when it started. Once it has others that policies read, what
is seen of it belongs to no expectation at all.
"""

from __future__ import annotations

from collections.abc import Mapping

from auditor.cluster.kubernetes.objects import keys_read
from auditor.model.labels import Labels
from auditor.model.snapshot import Snapshot


class LabelDrift:
    """Watches over the labels that ``snapshot`` knows of; ``look`` is told what the labels are now."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._read: set[str] = set()
        self.take(snapshot)

    def take(self, state: Snapshot) -> None:
        """The policies of ``state`` are, or were, in force, too."""
        self._read |= keys_read((*state.policies, *state.unknown))

    def look(self, before: Mapping[str, Labels], now: Mapping[str, Labels]) -> dict[str, str]:
        """Those of ``before``, labels by endpoint name, that differ ``now`` to any policy so far, with the reason not
        to judge them.
        """
        changed = {name: _differing(labels, now[name]) & self._read for name, labels in before.items() if name in now}
        return {
            name: f"somebody changed the label {', '.join(sorted(keys))} of its pod during the run, and with it "
            "what policies take it for"
            for name, keys in changed.items()
            if keys
        }


def _differing(one: Labels, other: Labels) -> set[str]:
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
